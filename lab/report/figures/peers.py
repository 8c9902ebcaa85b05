"""Throughput and latency of our ensemble and of systems that others built, under the same loads."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.report.rows.peers import OURS, PeerRow
from lab.report.style import (
    MUTED,
    caption,
    colour,
    decades,
    duration,
    error_bars,
    hollow,
    intervals_text,
    limited_text,
    new_figure,
    si,
)

TITLE = "The same load on ours and on ZooKeeper"
NAMES = {"own": "ours", "zookeeper": "ZooKeeper"}
APART = 0.36  # of two targets of one load


def draw(rows: Sequence[PeerRow]) -> Figure:
    """x: operations/s, and latency (both log); y: the loads, a line for each target."""
    loads = list(dict.fromkeys(row.load for row in rows))
    targets = list(dict.fromkeys(row.target for row in rows))
    figure, (left, right) = new_figure(1.9 + 0.85 * len(loads), 2)
    caption(figure, TITLE, _notes(rows))
    for row in rows:
        y = loads.index(row.load) + APART * (targets.index(row.target) - (len(targets) - 1) / 2)
        tint = colour(row.target)
        _throughput(left, row, y, tint)
        _latency(right, row, y, tint)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_ylim(len(loads) - 0.45, -0.72)
        ax.grid(visible=False, axis="y")
    left.set_yticks(range(len(loads)), loads)
    most, least = max(row.ops_per_s for row in rows), min(row.ops_per_s for row in rows)
    left.set_xlim(least / 6, most * 4.5)
    right.set_xlim(min(row.p50 for row in rows) / 4, max(row.p99 for row in rows) * 2.4)
    decades(left, si)
    decades(right, duration)
    left.set_xlabel("operations/s")
    right.set_xlabel("latency: p50 (round), p99 (diamond)")
    return figure


def _throughput(ax: Axes, row: PeerRow, y: float, tint: str) -> None:
    point = (row.ops_per_s, row.ops_low, row.ops_high)
    ax.errorbar([row.ops_per_s], [y], xerr=error_bars([point]), color=tint, marker="o", linestyle="none")
    if row.client_limited:
        hollow(ax, [(row.ops_per_s, y)], tint)
    ax.annotate(f"{NAMES[row.target]} {si(row.ops_per_s)}", (row.ops_per_s, y), xytext=(0, 6),
                textcoords="offset points", ha="center", color=tint, fontsize=9)  # fmt: skip


def _latency(ax: Axes, row: PeerRow, y: float, tint: str) -> None:
    ax.plot([row.p50, row.p99], [y, y], color=MUTED, linewidth=0.9, alpha=0.6, zorder=0)
    for value, low, high, marker, side in (
        (row.p50, row.p50_low, row.p50_high, "o", "right"), (row.p99, row.p99_low, row.p99_high, "D", "left")
    ):  # fmt: skip
        ax.errorbar([value], [y], xerr=error_bars([(value, low, high)]), color=tint, marker=marker, linestyle="none")
        ax.annotate(duration(value), (value, y), xytext=(4 if side == "right" else -4, 6), textcoords="offset points",
                    ha=side, color=tint, fontsize=8)  # fmt: skip


def _notes(rows: Sequence[PeerRow]) -> list[str]:
    versions = dict.fromkeys(row.version for row in rows if row.target != OURS)
    warmups = max(row.warmup_s for row in rows)
    limited = any(row.client_limited for row in rows)
    return [
        f"{', '.join(versions)}, warmed up for {warmups:g} s; three voters and their clients on the same CPUs, in the "
        "same rounds; every write on disk at a majority; values of 100 bytes.",
        intervals_text([row.n for row in rows]) + limited_text(limited),
    ]
