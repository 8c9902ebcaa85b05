"""One knob: throughput, latency and CPU at each of its values, a row of panels for each load."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from lab.report.rows.knobs import KnobRow
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

TITLES = {
    "pipeline": "How many batches are under way, and how long they are",
    "durability": "What durability costs, by load",
    "leader-serves": "A leader with clients and without",
    "wait": "What a process does when it has nothing to do",
    "placement": "Who shares a CPU with whom",
}
PANELS_MAX = 6
_REACH = 1.25  # how far beyond the largest value an interval is shown


def draw(rows: Sequence[KnobRow]) -> Figure:
    """A row of panels for each load.  y: the knob's values; x: operations/s, p50 and p99 latency, CPU per operation."""
    panels = list(dict.fromkeys(row.panel for row in rows))[:PANELS_MAX]
    shown = [row for row in rows if row.panel in panels]
    lines = list(dict.fromkeys(row.line for row in sorted(shown, key=lambda row: row.line_place)))
    heights = [0.9 + len(_values([row for row in shown if row.panel == panel])) for panel in panels]
    legend_in = 0.28 if len(lines) > 1 else 0.0
    figure, grid = new_grid(1.3 + 0.3 * sum(heights) + 0.12 * len(panels) + legend_in, heights, 3)
    caption(figure, TITLES[rows[0].knob], _notes(shown), legend_in)
    for panel, axes in zip(panels, grid, strict=True):
        _panel(axes, [row for row in shown if row.panel == panel], lines)
        axes[0].set_title(panel, fontweight="bold")
    for ax, text in zip(grid[-1], ("operations/s", "latency (● p50, ◇ p99)", "CPU per operation"), strict=True):
        ax.set_xlabel(text)
    if len(lines) > 1:
        handles, names = grid[0][0].get_legend_handles_labels()
        place = (0.005, 1 - 0.32 / figure.get_figheight())
        figure.legend(
            handles, names, loc="upper left", bbox_to_anchor=place, ncols=len(lines), frameon=False, fontsize=9
        )
    return figure


def _values(rows: Sequence[KnobRow]) -> list[str]:
    return list(dict.fromkeys(row.value for row in sorted(rows, key=lambda row: row.value_place)))


def _panel(axes: Sequence[Axes], rows: list[KnobRow], lines: list[str]) -> None:
    values = _values(rows)
    step, apart = (0.24, 0.05) if len(lines) > 1 else (0.0, 0.13)  # between lines; of p50 and p99, whose bars may meet
    for number, line in enumerate(lines):
        here, tint = [row for row in rows if row.line == line], series_colour(number)
        y = [values.index(row.value) + step * (number - (len(lines) - 1) / 2) for row in here]
        throughput = [(row.ops_per_s, row.ops_low, row.ops_high) for row in here]
        _marks(axes[0], throughput, y, tint, "o", line)
        p50s, p99s = [at - apart for at in y], [at + apart for at in y]
        _marks(axes[1], [(row.p50, row.p50_low, row.p50_high) for row in here], p50s, tint, "o")
        _marks(axes[1], [(row.p99, row.p99_low, row.p99_high) for row in here], p99s, tint, "D", filled=False)
        _marks(axes[2], [(row.cpu_us, row.cpu_low, row.cpu_high) for row in here], y, tint, "s")
        hollow(axes[0], [(row.ops_per_s, at) for row, at in zip(here, y, strict=True) if row.client_limited], tint)
    usual = next(row for row in rows if row.is_usual)
    for ax, at in zip(axes, (usual.ops_per_s, usual.p50, usual.cpu_us), strict=True):
        ax.axvline(at, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)), zorder=0)
        ax.set_yticks(range(len(values)), values if ax is axes[0] else [""] * len(values))
        ax.set_ylim(len(values) - 0.45, -0.55)
        ax.grid(visible=False, axis="y")
    _scale(axes, rows)


def _marks(ax: Axes, points: Sequence[tuple[float, float | None, float | None]], y: Sequence[float], tint: str,
           marker: str, label: str = "", *, filled: bool = True) -> None:  # fmt: skip
    xs, face = [value for value, _, _ in points], tint if filled else PAPER
    ax.errorbar(xs, y, xerr=error_bars(points), color=tint, marker=marker, markersize=5.5, linestyle="none",
                capsize=2.5, elinewidth=1.3, label=label, markerfacecolor=face)  # fmt: skip


def _scale(axes: Sequence[Axes], rows: Sequence[KnobRow]) -> None:
    """Few rounds have wide intervals: those that leave the panel are cut, so that the values can be told apart."""
    throughput, latency, cpu = axes
    throughput.set_xlim(0, _REACH * max(row.ops_per_s for row in rows))
    latency.set_xscale("log")
    latency.set_xlim(min(row.p50 for row in rows) / 1.6, 1.6 * max(row.p99 for row in rows))
    cpu.set_xlim(0, _REACH * max(row.cpu_us for row in rows))
    thousands(throughput, "x")
    durations(latency, "x", 1.0)
    low, high = latency.get_xlim()
    steps = (1.0, 2.0, 5.0) if high < 8 * low else (1.0, 3.0) if high < 100 * low else (1.0,)  # the labels' room
    latency.xaxis.set_major_locator(LogLocator(10, subs=steps))
    durations(cpu, "x", 1.0)
    for ax in (throughput, cpu):
        ax.xaxis.set_major_locator(MaxNLocator(4))


def _notes(rows: Sequence[KnobRow]) -> list[str]:
    kinds = dict.fromkeys(row.kind for row in rows)
    of = "writes or, where they are most operations, of reads" if len(kinds) > 1 else f"{next(iter(kinds))}s"
    operations = sum(row.operations for row in rows)
    return [
        f"{rows[0].load}; {operations:,} operations in all; latencies are those of {of}, CPU is that of all servers "
        "and load processes; dotted: the usual value.",
        intervals_text([row.n for row in rows]) + limited_text(any(row.client_limited for row in rows)),
    ]
