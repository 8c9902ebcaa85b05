"""Throughput over the share of reads, one line an ensemble."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter

from lab.report.figures.read_throughput import budget_text
from lab.report.rows.reads import MixRow
from lab.report.style import (
    caption,
    error_bars,
    hollow,
    intervals_text,
    label_ends,
    limited_text,
    new_figure,
    series_colour,
    thousands,
)

TITLE = "Throughput by the share of reads"
LOG_FROM = 12  # times between least and most: beyond it a linear axis hides the low end
TICK_GAP = 0.045  # share of the axis that a tick label needs


def draw(rows: Sequence[MixRow], *, log: bool | None = None) -> Figure:
    """x: share of reads; y: operations/s, logarithmic when asked for or, if not said, when the span calls for it."""
    figure, (ax,) = new_figure(4.7)
    caption(figure, TITLE, _notes(rows))
    ends = []
    for i, name in enumerate(dict.fromkeys(row.configuration for row in rows)):
        line = sorted((row for row in rows if row.configuration == name), key=lambda row: row.reads)
        tint = series_colour(i)
        ax.errorbar([r.reads for r in line], [r.ops_per_s for r in line],
                    yerr=error_bars([(r.ops_per_s, r.ops_low, r.ops_high) for r in line]), color=tint,
                    marker="os^Dv"[i % 5], capsize=3)  # fmt: skip
        hollow(ax, [(r.reads, r.ops_per_s) for r in line if r.client_limited], tint, "os^Dv"[i % 5])
        ends.append((line[-1].reads, line[-1].ops_per_s, name, tint))
    values = [row.ops_per_s for row in rows]
    if log or (log is None and max(values) > LOG_FROM * min(values)):
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.08 * max(row.ops_high or row.ops_per_s for row in rows))
    thousands(ax)
    ax.xaxis.set_major_locator(FixedLocator(_ticks([row.reads for row in rows])))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set_xlabel("share of reads")
    ax.set_ylabel("operations per second, whole ensemble")
    label_ends(ax, ends, at_edge=True)
    return figure


def _ticks(shares: list[float]) -> list[float]:
    """The shares that were measured, less those whose label would run into the next one's."""
    kept: list[float] = []
    for share in sorted(set(shares), reverse=True):
        if not kept or kept[-1] - share >= TICK_GAP * (max(shares) - min(shares)):
            kept.append(share)
    return kept


def _notes(rows: Sequence[MixRow]) -> list[str]:
    first, limited = rows[0], limited_text(any(row.client_limited for row in rows))
    budget = budget_text(first.cpu_share, "see the table") if first.cpu_share else budget_text(None, "")
    return [f"{first.load}.", f"{budget}. {intervals_text([row.n for row in rows])}{limited}"]
