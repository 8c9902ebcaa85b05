"""Throughput over time with the faults shaded, and below it what befell whom."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lab.bench.record_long import Reign, TortureRecord
from lab.report.rows.torture import FAMILIES, FaultRow, ThroughputRow, fault_rows, throughput_rows
from lab.report.style import INK, MUTED, PAPER, caption, colour, new_figure, thousands

TITLE = "Throughput under torture"
LEAST_WIDTH_S = 0.004  # of a bar, as a share of the whole time: what lasts no time is seen, too
BAR = 0.62  # of a lane


def draw(record: TortureRecord) -> Figure:
    """x: time.  Above: acknowledged operations/s, faults shaded, changes of leader ticked; below: a lane a kind."""
    throughput, faults = throughput_rows(record), fault_rows(record)
    kinds = sorted({fault.kind for fault in faults}, key=lambda kind: _lane_order(kind, faults))
    figure, (above, below) = new_figure(
        3.9 + 0.2 * len(kinds), 2, stacked=True, heights=[3.0, max(0.4, 0.2 * len(kinds))]
    )
    caption(figure, f"{TITLE}: seed {record.settings.seed}, {_verdict(record)}", _notes(record))
    _throughput(above, throughput, faults, record)
    _leaders(above, record.reigns, record.seconds)
    _lanes(below, faults, kinds, record.seconds)
    above.sharex(below)
    above.tick_params(labelbottom=False)
    below.set_xlim(0.0, record.seconds)
    return figure


def _throughput(ax: Axes, rows: Sequence[ThroughputRow], faults: Sequence[FaultRow], record: TortureRecord) -> None:
    for fault in faults:
        end_s = max(fault.end_s, fault.start_s + LEAST_WIDTH_S * record.seconds)
        ax.axvspan(fault.start_s, end_s, color=colour(fault.family), alpha=0.16, linewidth=0)
    edges = [row.at_s for row in rows]
    if any(row.reads_per_s for row in rows):
        both = [row.writes_per_s + row.reads_per_s for row in rows]
        ax.step(edges, both, where="post", color=colour("reads"), linewidth=1.0, label="reads and writes")
    ax.step(edges, [row.writes_per_s for row in rows], where="post", color=colour("writes"), linewidth=1.2,
            label="writes")  # fmt: skip
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(f"acknowledged operations/s\n(steps of {rows[0].step_s:g} s)")
    ax.grid(visible=False, axis="x")
    thousands(ax)
    families = [family for family in FAMILIES if any(fault.family == family for fault in faults)]
    for family in families:
        ax.fill_between([], [], [], color=colour(family), alpha=0.4, linewidth=0, label=family)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.10), ncols=2 + len(families), frameon=False, fontsize=9,
              handlelength=1.1, columnspacing=1.0, borderpad=0.0)  # fmt: skip


def _leaders(ax: Axes, reigns: Sequence[Reign], seconds: float) -> None:
    """A tick over the panel where a leader was established, with its id; ids that would collide are left out."""
    ax.annotate("leader", (0.0, 1.0), xycoords="axes fraction", xytext=(-9, 7), textcoords="offset points", ha="right",
                va="bottom", fontsize=8, color=MUTED)  # fmt: skip
    line = {"arrowstyle": "-", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    last = -seconds
    for reign in sorted(reigns, key=lambda reign: reign.at_s):
        ax.annotate("", (reign.at_s, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 6),
                    textcoords="offset points", annotation_clip=False, arrowprops=line)  # fmt: skip
        if reign.at_s - last >= 0.013 * seconds:
            ax.annotate(f"{reign.server}", (reign.at_s, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 7),
                        textcoords="offset points", ha="center", va="bottom", fontsize=8, color=INK,
                        annotation_clip=False)  # fmt: skip
            last = reign.at_s


def _lanes(ax: Axes, faults: Sequence[FaultRow], kinds: Sequence[str], seconds: float) -> None:
    for lane, kind in enumerate(kinds):
        here = [fault for fault in faults if fault.kind == kind]
        spans = [(fault.start_s, max(fault.end_s - fault.start_s, LEAST_WIDTH_S * seconds)) for fault in here]
        ax.broken_barh(spans, (lane - BAR / 2, BAR), facecolors=colour(here[0].family), linewidth=0)
        for (start_s, width_s), fault in zip(spans, here, strict=True):
            if fault.family != "client kill" and len(fault.victims) <= 3:
                ax.annotate(fault.victims, (start_s + width_s, lane), xytext=(2, -0.5), textcoords="offset points",
                            va="center", ha="left", fontsize=7, color=MUTED, annotation_clip=True)  # fmt: skip
    ax.set_yticks(range(len(kinds)), [f"{kind} ({sum(fault.kind == kind for fault in faults)})" for kind in kinds])
    ax.tick_params(axis="y", labelsize=8.5, length=0)
    ax.set_ylim(len(kinds) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set_facecolor(PAPER)
    ax.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("seconds under load")


def _lane_order(kind: str, faults: Sequence[FaultRow]) -> tuple[int, int, str]:
    family = next(fault.family for fault in faults if fault.kind == kind)
    place = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
    return place, -sum(fault.kind == kind for fault in faults), kind


def _verdict(record: TortureRecord) -> str:
    if record.verified:
        return f"{record.acknowledged:,} writes acknowledged, none lost"
    return "NOT VERIFIED" if not record.lost else f"{record.lost:,} of {record.acknowledged:,} writes LOST"


def _notes(record: TortureRecord) -> list[str]:
    s = record.settings
    pace = "" if s.rate is None else f", held to {s.rate:,.0f} operations/s together"
    return [
        "Shaded: from a fault to its repair. Ticks above: a server was established as leader. Lanes: every fault, "
        "beside it the servers that it befell.",
        f"{s.voters} voters + {s.observers} observers, {s.transport}, {s.durability}; tick {s.tick_ms} ms, "
        f"sync_limit {s.sync_limit_ticks} ticks; {record.machine.cpu}, {record.machine.cores} cores, "
        f"{record.machine.filesystem}.",
        f"Closed loop, {s.clients} clients x {s.outstanding} outstanding{pace}, {s.reads:.0%} reads, "
        f"{s.value_bytes}-byte values, {s.keys:,} keys ({s.distribution}).",
        f"{record.leader_crashes} leaders crashed, {record.unknown:,} writes of unknown outcome, "
        f"{record.silence_s:.1f} s at most without an acknowledged write.",
    ]
