"""Clients across an ocean: reads and writes there, and what they cost those near the voters."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from lab.report.rows.far import FarRow
from lab.report.style import (
    INK,
    caption,
    colour,
    duration,
    durations,
    error_bars,
    intervals_text,
    new_grid,
    si,
    si_ticks,
)

TITLE = "An observer near clients of a far region"
COLUMNS = 3
_REACH = 1.6  # times a value: how far its interval is shown
NAMES = {
    "leader": "nobody there ({shape})",
    "observer": "an observer there ({shape})",
    "voter": "a voter there ({shape})",
}
TINTS = {"leader": "none", "observer": "observers", "voter": "voters"}


def draw(rows: Sequence[FarRow]) -> Figure:
    """Above: clients in the far region; below: clients near the voters.  y: who stands in the far region."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    lines = -(-len(metrics) // COLUMNS)
    ways = list(dict.fromkeys(row.way for row in rows))
    height = 0.36 * len(ways) + 0.95
    figure, grid = new_grid(0.95 + height * lines, [1.0] * lines, COLUMNS)
    caption(figure, TITLE, _notes(rows))
    panels = [ax for line in grid for ax in line]
    for place, (ax, metric) in enumerate(zip(panels, metrics, strict=False)):
        _panel(ax, [row for row in rows if row.metric == metric], ways, first=place % COLUMNS == 0)
        ax.set_title(_title(next(row for row in rows if row.metric == metric)), fontsize=9.5)
    for ax in panels[len(metrics) :]:
        ax.set_visible(False)
    return figure


def _title(row: FarRow) -> str:
    more = f", {row.outstanding:,} outstanding" if row.unit == "/s" else ""
    return row.metric + more


def _panel(ax: Axes, rows: Sequence[FarRow], ways: Sequence[str], *, first: bool) -> None:
    unit = rows[0].unit
    for row in rows:
        at, tint = ways.index(row.way), colour(TINTS[row.way])
        bars = [[end[0]] for end in error_bars([(row.value, row.low, row.high)])]
        ax.errorbar([row.value], [at], xerr=bars, color=tint, marker="o", markersize=6, capsize=2.5, elinewidth=1.3)
        ax.annotate(_value(row), (row.value, at), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8.5,
                    color=tint, annotation_clip=False)  # fmt: skip
        if row.floor_us is not None:
            ax.plot([row.floor_us] * 2, [at - 0.19, at + 0.19], color=INK, linewidth=1.6, zorder=1)
    least = min(min(row.value, row.floor_us or row.value) for row in rows)
    most = max(min(row.high or row.value, _REACH * row.value) for row in rows)
    if most > 8 * least:
        ax.set_xscale("log")
        ax.set_xlim(least / 3, 3 * most)
    else:
        ax.set_xlim(0, 1.3 * most)
    if unit == "us":
        durations(ax, "x", 1.0)
    else:
        si_ticks(ax, "x")
    ax.xaxis.set_major_locator(LogLocator(10, numticks=4) if ax.get_xscale() == "log" else MaxNLocator(3))
    shapes = {row.way: row.shape for row in rows}
    ax.set_yticks(range(len(ways)), [NAMES[way].format(shape=shapes.get(way, "")) if first else "" for way in ways])
    ax.set_ylim(len(ways) - 0.5, -0.75)
    ax.grid(visible=False, axis="y")


def _value(row: FarRow) -> str:
    if row.unit == "us":
        return duration(row.value)
    return si(row.value) + ("/s" if row.unit == "/s" else " B")


def _notes(rows: Sequence[FarRow]) -> list[str]:
    first = rows[0]
    left_out = f" Left out: {first.elsewhere} trials led from another site." if first.elsewhere else ""
    return [
        f"Far: clients in {first.far_site}, through whoever stands there, and through the leader where nobody does; "
        f"near: clients at the leader's site; voters in {first.near_sites}. Strokes: the network's floor in "
        "median delays; p50 with 1 outstanding.",
        f"Closed loop; {first.settings}; {sum(row.operations for row in rows):,} operations in all.{left_out}",
        intervals_text([row.n for row in rows]),
    ]
