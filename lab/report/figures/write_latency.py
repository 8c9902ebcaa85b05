"""Median and 99th percentile of single writes: what durability, attachment and more voters change."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lab.report.rows.latency import LatencyRow
from lab.report.style import MUTED, caption, duration, durations, error_bars, intervals_text, new_figure, series_colour

TITLE = "Write latency by durability, attachment and voters"


def draw(rows: Sequence[LatencyRow]) -> Figure:
    """One line a configuration.  x: latency, logarithmic; filled p50, open p99, bars their intervals."""
    figure, (ax,) = new_figure(1.75 + 0.42 * len(rows))
    caption(figure, TITLE, _notes(rows))
    y = list(range(len(rows)))
    for i, (value, low, high, marker) in enumerate((("p50", "p50_low", "p50_high", "o"),
                                                    ("p99", "p99_low", "p99_high", "D"))):  # fmt: skip
        points = [(getattr(row, value), getattr(row, low), getattr(row, high)) for row in rows]
        xs, tint = [point[0] for point in points], series_colour(i)
        ax.errorbar(xs, y, xerr=error_bars(points), color=tint, marker=marker, linestyle="none", capsize=3)
        for x, at in zip(xs, y, strict=True):
            ax.annotate(duration(x), (x, at), xytext=(0, 7), textcoords="offset points", ha="center", color=tint,
                        fontsize=8.5)  # fmt: skip
        ax.annotate(value, (xs[0], 0), xytext=(0, 20), textcoords="offset points", ha="center", color=tint,
                    fontweight="bold")  # fmt: skip
    for row, at in zip(rows, y, strict=True):
        ax.plot([row.p50, row.p99], [at, at], color=MUTED, linewidth=0.9, alpha=0.6, zorder=0)
    ax.set_xscale("log")
    ax.set_yticks(y, [row.configuration for row in rows])
    ax.set_ylim(len(rows) - 0.55, -0.95)
    least, most = min(row.p50_low or row.p50 for row in rows), max(row.p99_high or row.p99 for row in rows)
    ax.set_xlim(least / 1.35, most * 1.35)
    ax.grid(visible=False, axis="y")
    durations(ax, "x", 1.0)
    ax.set_xlabel("latency of one write")
    return figure


def _notes(rows: Sequence[LatencyRow]) -> list[str]:
    samples = sum(row.samples for row in rows)
    return [f"{rows[0].load}; {samples:,} writes in all.", intervals_text([row.n for row in rows])]
