"""What observers and voters cost writes, at equal numbers of servers."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter

from lab.report.rows.writes import WriteRow
from lab.report.style import (
    caption,
    colour,
    error_bars,
    hollow,
    intervals_text,
    label_ends,
    limited_text,
    new_figure,
    si,
)

TITLE = "What observers and voters cost writes"


def draw(rows: Sequence[WriteRow]) -> Figure:
    """One panel a durability.  x: servers; y: write throughput, the baseline ensemble is 100 %."""
    panels = list(dict.fromkeys(row.panel for row in rows))[:3]
    figure, axes = new_figure(4.7, len(panels))
    shown = [row for row in rows if row.panel in panels]
    caption(figure, TITLE, _notes(shown))
    for i, (panel, ax) in enumerate(zip(panels, axes, strict=True)):
        here = [row for row in rows if row.panel == panel]
        _panel(ax, here, first=i == 0)
        base = next(row for row in here if row.shape == row.baseline)
        ax.set_title(f"{panel}: 100 % = {si(base.writes_per_s)} writes/s")
    for panel, ax in zip(panels, axes, strict=True):
        _labels(ax, [row for row in rows if row.panel == panel])
    return figure


def _panel(ax: Axes, rows: list[WriteRow], *, first: bool) -> None:
    for growth in ("voters", "observers", "both"):
        line = _line(rows, growth)
        if len(line) > 1:
            ax.errorbar([r.servers for r in line], [r.relative for r in line],
                        yerr=error_bars([(r.relative, r.relative_low, r.relative_high) for r in line]),
                        color=colour(growth), marker="o" if growth == "voters" else "s", capsize=3,
                        linestyle="none" if growth == "both" else "-")  # fmt: skip
        hollow(ax, [(r.servers, r.relative) for r in line if r.client_limited], colour(growth))
    base = [r for r in rows if r.shape == r.baseline]
    ax.plot([r.servers for r in base], [r.relative for r in base], "o", color=colour("none"), zorder=5)
    servers = sorted({r.servers for r in rows})
    ax.xaxis.set_major_locator(FixedLocator(servers))
    ax.set_ylim(0, 1.08 * max(r.relative_high or r.relative for r in rows))
    ax.set_xlim(servers[0] - 0.4, servers[-1] + 0.4)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set_xlabel("servers in the ensemble")
    ax.axhline(1.0, color=colour("none"), linewidth=0.8, linestyle=(0, (2, 3)))
    if first:
        ax.set_ylabel(f"write throughput, {rows[0].baseline} = 100 %")


def _line(rows: list[WriteRow], growth: str) -> list[WriteRow]:
    return sorted((r for r in rows if r.growth == growth or r.shape == r.baseline), key=lambda r: r.servers)


def _labels(ax: Axes, rows: list[WriteRow]) -> None:
    ends = []
    for growth, name in (("voters", "voters only"), ("observers", "observers")):
        line = _line(rows, growth)
        if len(line) > 1:
            end = line[-1]
            words = name if growth == "voters" else f"{end.voters} voters\n+ observers"
            ends.append((end.servers, end.relative, f"{words}\n{end.relative:.0%}".replace("%", " %"), colour(growth)))
    label_ends(ax, ends, gap_points=40)


def _notes(rows: Sequence[WriteRow]) -> list[str]:
    loads = list(dict.fromkeys(row.load for row in rows))
    limited = limited_text(any(row.client_limited for row in rows))
    ns = [row.n for row in rows]
    paired = "Ratios paired by round. " if max(ns) > 1 else ""
    return ["; ".join(loads) + ".", f"{paired}{intervals_text(ns)}{limited}"]
