"""Writes over UDP that loses datagrams: throughput, latency and what is sent again, over the share that is lost."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from lab.report.rows.loss import LossRow
from lab.report.statistics import Floats
from lab.report.style import (
    MUTED,
    PAPER,
    caption,
    durations,
    error_bars,
    intervals_text,
    new_figure,
    series_colour,
    thousands,
)

TITLE = "Writes over UDP that loses datagrams"
_REACH = 1.5  # how far beyond the largest value an interval is shown
_TICK_GAP = 0.09  # of the axis: what a label needs


def draw(rows: Sequence[LossRow]) -> Figure:
    """Left: writes/s of the largest load; middle: p50 and p99 of each load; right: share of datagrams sent again."""
    loads = list(dict.fromkeys(row.load for row in rows))
    figure, (writes, waits, again) = new_figure(4.3, 3, sharey=False)
    caption(figure, TITLE, _notes(rows), 0.3)
    for number, load in enumerate(loads):
        line, tint = [row for row in rows if row.load == load], series_colour(number)
        xs = [row.loss for row in line]
        if number == 0:
            _line(writes, xs, [(row.writes_per_s, row.writes_low, row.writes_high) for row in line], tint, "o")
        _line(waits, xs, [(row.p50, row.p50_low, row.p50_high) for row in line], tint, "o", load)
        _line(waits, xs, [(row.p99, row.p99_low, row.p99_high) for row in line], tint, "D", filled=False)
        counted = [(row.loss, row.resent) for row in line if row.resent is not None]
        again.plot([x for x, _ in counted], [y for _, y in counted], color=tint, marker="o")
    top = max([row.loss for row in rows] + [row.resent or 0.0 for row in rows])
    again.plot([0, max(row.loss for row in rows)], [0, max(row.loss for row in rows)], color=MUTED, linewidth=1.0,
               linestyle=(0, (4, 3)), zorder=0)  # fmt: skip
    _rooted(again, "y", sorted({row.loss for row in rows}), top)
    for ax in (writes, waits, again):
        _rooted(ax, "x", sorted({row.loss for row in rows}), max(row.loss for row in rows))
        ax.set_xlabel("datagrams lost, each way (%)")
    first = [row for row in rows if row.load == loads[0]]
    most = max(row.writes_per_s for row in first)
    writes.set_ylim(0, 1.12 * min(_REACH * most, max(row.writes_high or row.writes_per_s for row in first)))
    thousands(writes)
    waits.set_yscale("log")
    waits.set_ylim(min(row.p50 for row in rows) / 1.6, 1.6 * max(row.p99 for row in rows))
    durations(waits, "y", 1.0)
    writes.set_title(f"writes/s, {loads[0]}")
    waits.set_title("latency (● p50, ◇ p99)")
    again.set_title("datagrams sent again (%)")
    handles, names = waits.get_legend_handles_labels()
    figure.legend(handles, names, loc="upper left", bbox_to_anchor=(0.005, 1 - 0.32 / figure.get_figheight()),
                  ncols=len(loads), frameon=False, fontsize=9)  # fmt: skip
    return figure


def _line(ax: Axes, xs: Sequence[float], points: Sequence[tuple[float, float | None, float | None]], tint: str,
          marker: str, label: str = "", *, filled: bool = True) -> None:  # fmt: skip
    ax.errorbar(xs, [value for value, _, _ in points], yerr=error_bars(points), color=tint, marker=marker,
                markersize=5.5, capsize=2.5, elinewidth=1.3, linewidth=1.6, label=label,
                linestyle="-" if filled else (0, (3, 2)), markerfacecolor=tint if filled else PAPER)  # fmt: skip


def _rooted(ax: Axes, which: str, losses: Sequence[float], top: float) -> None:
    """A square-root scale holds no loss and a thousandth apart, and still shows a smooth decline as one."""
    axis, reach = (ax.xaxis if which == "x" else ax.yaxis), math.sqrt(top) or 1.0
    (ax.set_xscale if which == "x" else ax.set_yscale)("function", functions=(_root, _square))
    kept: list[float] = []
    for loss in losses:
        if not kept or math.sqrt(loss) - math.sqrt(kept[-1]) >= _TICK_GAP * reach:
            kept.append(loss)
    (ax.set_xlim if which == "x" else ax.set_ylim)(-((0.04 * reach) ** 2), (1.06 * reach) ** 2)
    axis.set_major_locator(FixedLocator(kept))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))


def _root(value: Floats) -> Floats:
    rooted: Floats = np.sign(value) * np.sqrt(np.abs(value))
    return rooted


def _square(value: Floats) -> Floats:
    squared: Floats = np.sign(value) * value**2
    return squared


def _notes(rows: Sequence[LossRow]) -> list[str]:
    return [
        f"Closed loop; {rows[0].settings}; {sum(row.writes for row in rows):,} writes in all. Scales of loss are "
        "square roots. Right: of all datagrams that servers sent, those that carried again what was sent before; "
        "dashed: as many as were lost.",
        intervals_text([row.n for row in rows]),
    ]  # fmt: skip
