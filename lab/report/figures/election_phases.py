"""Where the outage goes: its phases, stacked."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.bench.record import PHASES
from lab.report.rows.election import PhaseRow
from lab.report.style import INK, ON_LIGHT, PAPER, caption, colour, duration, durations, new_figure

TITLE = "Where the outage goes"
LABEL_FROM = 0.055  # share of the widest bar that a number needs


def draw(rows: Sequence[PhaseRow], title: str = TITLE) -> Figure:
    """One panel a fault, one bar a configuration.  x: median of each phase, stacked; mark: median of the outage."""
    faults = list(dict.fromkeys(row.fault for row in rows))
    names = {fault: list(dict.fromkeys(r.configuration for r in rows if r.fault == fault)) for fault in faults}
    bars = [len(names[fault]) for fault in faults]
    figure, axes = new_figure(1.15 + 0.72 * len(faults) + 0.36 * sum(bars), len(faults), stacked=True,
                              heights=[n + 0.6 for n in bars])  # fmt: skip
    caption(figure, title, _notes(rows))
    for fault, ax in zip(faults, axes, strict=True):
        _panel(ax, [row for row in rows if row.fault == fault], names[fault])
        ax.set_title(f"{fault} of the leader")
    axes[-1].set_xlabel("time since the fault")
    _legend(axes[0])
    return figure


def _panel(ax: Axes, rows: list[PhaseRow], names: list[str]) -> None:
    widest = max(max(sum(r.median_ms for r in rows if r.configuration == name) for name in names),
                 max(row.outage_ms for row in rows))  # fmt: skip
    for at, name in enumerate(names):
        left, bar = 0.0, [row for row in rows if row.configuration == name]
        for row in bar:
            ax.barh(at, row.median_ms, left=left, height=0.62, color=colour(row.phase), edgecolor=PAPER, linewidth=0.6)
            if row.median_ms >= LABEL_FROM * widest:
                ax.text(left + row.median_ms / 2, at, _number(row.median_ms), ha="center", va="center", fontsize=8.5,
                        color=PAPER if row.phase not in LIGHT else ON_LIGHT)  # fmt: skip
            left += row.median_ms
        outage = bar[0].outage_ms
        ax.plot([outage, outage], [at - 0.42, at + 0.42], color=INK, linewidth=1.6)
        ax.annotate(f"{duration(1_000 * outage)}, n = {bar[0].n}", (max(left, outage), at), xytext=(8, 0),
                    textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    ax.set_yticks(range(len(names)), [next(r.shape for r in rows if r.configuration == name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, widest * 1.2)
    ax.grid(visible=False, axis="y")
    durations(ax, "x", 1_000.0)


def _number(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 999.5 else f"{ms:.3g}"


LIGHT = {"detection", "discovery", "first_commit"}


def _legend(ax: Axes) -> None:
    """The phases by name over the first panel, in their order and colour."""
    handles = [ax.barh([0], [0], color=colour(phase), label=phase.replace("_", " ")) for phase in PHASES]
    ax.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(PHASES), frameon=False,
              fontsize=8.5, handlelength=0.9, handletextpad=0.4, columnspacing=1.0, borderaxespad=0.1)  # fmt: skip


def _notes(rows: Sequence[PhaseRow]) -> list[str]:
    settings = " | ".join(dict.fromkeys(row.settings for row in rows))
    return [
        "Bars: median of each phase in ms; mark and number: median of the whole outage (medians need not add up).",
        f"{settings}.",
    ]
