"""Median and 99th percentile of single writes by network, against what the network alone takes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lab.report.rows.distance import DistanceRow
from lab.report.style import (
    INK,
    MUTED,
    caption,
    decades,
    duration,
    error_bars,
    intervals_text,
    new_figure,
    series_colour,
)

TITLE = "What distance costs a write"
_REACH = 3.0  # times the 99th percentile: how far its interval is shown


def draw(rows: Sequence[DistanceRow]) -> Figure:
    """One line a network.  x: latency, logarithmic; filled p50, open p99, stroke: the floor."""
    figure, (ax,) = new_figure(1.7 + 0.46 * len(rows))
    caption(figure, TITLE, _notes(rows))
    y = list(range(len(rows)))
    for i, (value, marker) in enumerate((("p50", "o"), ("p99", "D"))):
        points = [(getattr(row, value), getattr(row, f"{value}_low"), getattr(row, f"{value}_high")) for row in rows]
        ax.errorbar([point[0] for point in points], y, xerr=error_bars(points), color=series_colour(i), marker=marker,
                    linestyle="none", capsize=3)  # fmt: skip
        ax.annotate(value, (points[0][0], 0), xytext=(0, 24), textcoords="offset points", ha="center",
                    color=series_colour(i), fontweight="bold")  # fmt: skip
    for row, at in zip(rows, y, strict=True):
        ax.plot([row.p50, row.p99], [at, at], color=MUTED, linewidth=0.9, alpha=0.6, zorder=0)
        if row.floor is not None:
            ax.plot([row.floor, row.floor], [at - 0.2, at + 0.2], color=INK, linewidth=1.8, zorder=1)
        ax.annotate(_said(row), (row.p50, at), xytext=(-5, 9), textcoords="offset points", fontsize=8.5,
                    annotation_clip=False)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yticks(y, [_name(row) for row in rows])
    ax.set_ylim(len(rows) - 0.5, -1.15)
    least = min(min(row.p50, row.floor or row.p50) for row in rows) / 1.5
    most = max(_end(row) for row in rows)
    ax.set_xlim(least, most * (most / least) ** 0.25)  # room for what is said of the farthest
    ax.grid(visible=False, axis="y")
    decades(ax, duration)
    ax.set_xlabel("latency of one write")
    return figure


def _end(row: DistanceRow) -> float:
    """Up to where a line is shown."""
    return min(row.p99_high or row.p99, _REACH * row.p99)


def _name(row: DistanceRow) -> str:
    return f"{row.network}, leader in {row.leader_site}" if row.leader_site else f"{row.network} (loopback)"


def _said(row: DistanceRow) -> str:
    """`93.4 ms, floor 91.1 ms`."""
    if row.floor is None:
        return duration(row.p50) + (", floor not known" if row.leader_site else "")
    return f"{duration(row.p50)}, floor {duration(row.floor)}"


def _notes(rows: Sequence[DistanceRow]) -> list[str]:
    gone = sum(row.elsewhere for row in rows)
    left_out = f" Left out: {gone} trials with a leader elsewhere." if gone else ""
    return [
        f"Closed loop, 1 outstanding; {rows[0].settings}; {sum(row.writes for row in rows):,} writes in all; the "
        "client is at the leader's site. Stroke: the floor, the client's and a quorum's round trip in median "
        f"delays and nothing else. Number: p50.{left_out}",
        intervals_text([row.n for row in rows]),
    ]
