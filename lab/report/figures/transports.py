"""Shared memory against UDP: throughput, latency and CPU under each load."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from lab.report.rows.transports import TransportRow
from lab.report.style import (
    MUTED,
    PAPER,
    caption,
    durations,
    error_bars,
    hollow,
    intervals_text,
    limited_text,
    new_grid,
    series_colour,
    thousands,
)

TITLE = "What UDP costs against shared memory"
_REACH = 1.3  # how far beyond the largest value an axis goes; wider intervals are cut
_APART = 0.13  # of p50 and p99, whose bars may meet


def draw(rows: Sequence[TransportRow]) -> Figure:
    """A row of panels a load.  y: kinds of links; x: operations/s, p50 and p99 latency, CPU for an operation."""
    loads = list(dict.fromkeys(row.load for row in rows))
    of = {load: [row for row in rows if row.load == load] for load in loads}
    heights = [0.9 + len(here) for here in of.values()]
    figure, grid = new_grid(1.2 + 0.34 * sum(heights) + 0.14 * len(loads), heights, 3)
    caption(figure, TITLE, _notes(rows))
    for (load, here), axes in zip(of.items(), grid, strict=True):
        _panel(axes, here)
        axes[0].set_title(load, fontweight="bold")
    for ax, text in zip(grid[-1], ("operations/s", "latency (● p50, ◇ p99)", "CPU for an operation"), strict=True):
        ax.set_xlabel(text)
    return figure


def _panel(axes: Sequence[Axes], rows: list[TransportRow]) -> None:
    throughput, latency, cpu = axes
    most = max(row.ops_per_s for row in rows)
    y, tints = [float(place) for place in range(len(rows))], [series_colour(0 if row.is_base else 1) for row in rows]
    for row, at, tint in zip(rows, y, tints, strict=True):
        _mark(throughput, (row.ops_per_s, row.ops_low, row.ops_high), at, tint, "o")
        _mark(latency, (row.p50, row.p50_low, row.p50_high), at - _APART, tint, "o")
        _mark(latency, (row.p99, row.p99_low, row.p99_high), at + _APART, tint, "D", filled=False)
        _mark(cpu, (row.cpu_us, row.cpu_low, row.cpu_high), at, tint, "s")
        if row.client_limited:
            hollow(throughput, [(row.ops_per_s, at)], tint)
        if not row.is_base:
            throughput.annotate(f"× {row.relative:.2f}", (row.ops_per_s, at), xytext=(0, 5), ha="center",
                                textcoords="offset points", fontsize=8, color=tint, annotation_clip=False)  # fmt: skip
    base = next(row for row in rows if row.is_base)
    for ax, at in zip(axes, (base.ops_per_s, base.p50, base.cpu_us), strict=True):
        ax.axvline(at, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)), zorder=0)
        ax.set_yticks(y, [row.links for row in rows] if ax is throughput else [""] * len(rows))
        ax.set_ylim(len(rows) - 0.45, -0.55)
        ax.grid(visible=False, axis="y")
    throughput.set_xlim(0, _REACH * most)
    latency.set_xscale("log")
    latency.set_xlim(min(row.p50 for row in rows) / 1.6, 1.6 * max(row.p99 for row in rows))
    cpu.set_xlim(0, 1.25 * max(row.cpu_us for row in rows))
    _ticks(throughput, latency, cpu)


def _ticks(throughput: Axes, latency: Axes, cpu: Axes) -> None:
    thousands(throughput, "x")
    durations(latency, "x", 1.0)
    low, high = latency.get_xlim()
    steps = (1.0, 2.0, 5.0) if high < 8 * low else (1.0, 3.0) if high < 100 * low else (1.0,)  # the labels' room
    latency.xaxis.set_major_locator(LogLocator(10, subs=steps))
    durations(cpu, "x", 1.0)
    for ax in (throughput, cpu):
        ax.xaxis.set_major_locator(MaxNLocator(4))


def _mark(ax: Axes, point: tuple[float, float | None, float | None], y: float, tint: str, marker: str, *,
          filled: bool = True) -> None:  # fmt: skip
    ax.errorbar([point[0]], [y], xerr=[[end[0]] for end in error_bars([point])], color=tint, marker=marker,
                markersize=5.5, linestyle="none", capsize=2.5, elinewidth=1.3,
                markerfacecolor=tint if filled else PAPER)  # fmt: skip


def _notes(rows: Sequence[TransportRow]) -> list[str]:
    kinds = " or ".join(f"{kind}s" for kind in dict.fromkeys(row.kind for row in rows))
    operations = sum(row.operations for row in rows)
    return [
        f"Closed loop; {rows[0].settings}; {operations:,} operations in all. Latencies are those of {kinds}, CPU is "
        "that of all servers and load processes; dotted: shared memory; ×: throughput as a multiple of its, by round.",
        intervals_text([row.n for row in rows]) + limited_text(any(row.client_limited for row in rows)),
    ]
