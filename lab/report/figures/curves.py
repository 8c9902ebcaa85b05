"""Latency against throughput: where waiting begins to grow, in an open loop and beside it in a closed one."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.report.rows.curves import CurveRow
from lab.report.style import (
    MUTED,
    caption,
    durations,
    error_bars,
    hollow,
    intervals_text,
    label_ends,
    new_figure,
    series_colour,
    si_ticks,
)

TITLE = "What writes wait at a given rate"


def draw(rows: Sequence[CurveRow]) -> Figure:
    """Left p50, right p99.  x: writes/s achieved; y: latency, logarithmic; one line a configuration."""
    names = list(dict.fromkeys(row.configuration for row in rows))
    figure, axes = new_figure(4.9, 2)
    caption(figure, TITLE, _notes(rows))
    for ax, percentile in zip(axes, ("p50", "p99"), strict=True):
        ax.set_yscale("log")
        for i, name in enumerate(names):
            own = [row for row in rows if row.configuration == name]
            _line(ax, [row for row in own if row.loop == "open"], percentile, series_colour(i))
            _closed(ax, [row for row in own if row.loop == "closed"], percentile, series_colour(i))
        ax.set_xlim(0, 1.08 * max(row.achieved_high or row.achieved_per_s for row in rows))
        ax.set_title(percentile)
        ax.set_xlabel("writes/s achieved")
        si_ticks(ax, "x")
    durations(axes[0], "y", 1.0)
    axes[0].set_ylabel("latency of one write")
    last = [[row for row in rows if row.configuration == name and row.loop == "open"][-1] for name in names]
    edge = float(axes[1].get_xlim()[1])
    label_ends(axes[1], [(edge, row.p99, row.configuration, series_colour(i)) for i, row in enumerate(last)])
    return figure


def _line(ax: Axes, rows: list[CurveRow], percentile: str, tint: str) -> None:
    """Solid as long as the rate was kept by a generator in time, dotted beyond."""
    ends = (percentile, f"{percentile}_low", f"{percentile}_high")
    xs, ys = [row.achieved_per_s for row in rows], [getattr(row, percentile) for row in rows]
    ax.plot(xs, ys, color=tint, linewidth=1.0, linestyle=(0, (1, 2)))
    steady = [row for row in rows if row.steady]
    ax.plot([row.achieved_per_s for row in steady], [getattr(row, percentile) for row in steady], color=tint)
    ax.errorbar(
        xs, ys, color=tint, linestyle="none", marker="o", capsize=2, elinewidth=1.0,
        xerr=error_bars([(row.achieved_per_s, row.achieved_low, row.achieved_high) for row in rows]),
        yerr=error_bars([(getattr(row, ends[0]), getattr(row, ends[1]), getattr(row, ends[2])) for row in rows]),
    )  # fmt: skip
    hollow(ax, [(row.achieved_per_s, getattr(row, percentile)) for row in rows if not row.steady], tint)


def _closed(ax: Axes, rows: list[CurveRow], percentile: str, tint: str) -> None:
    """Crosses, with the number outstanding."""
    for row in rows:
        x, y = row.achieved_per_s, getattr(row, percentile)
        ax.plot([x], [y], "x", color=tint, markersize=6, markeredgewidth=1.6)
        ax.annotate(f"{row.outstanding}", (x, y), xytext=(5, -8), textcoords="offset points", fontsize=7.5, color=MUTED)


def _notes(rows: Sequence[CurveRow]) -> list[str]:
    opened, closed = ([row for row in rows if row.loop == loop] for loop in ("open", "closed"))
    seconds = sorted({row.seconds for row in opened})
    notes = [
        f"Open loop, Poisson arrivals from one load process at the leader, {rows[0].value_bytes}-byte values, windows "
        f"of {' or '.join(f'{each:g}' for each in seconds)} s; latency from the intended time of sending.",
        intervals_text([row.n for row in rows]),
    ]
    if any(not row.steady for row in opened):
        notes.append(
            "Hollow: in at least half of the processes the rate was not kept, or the load generator was late: what is "
            "seen there is a backlog, or the generator, and depends on the length of the window."
        )
    if closed:
        notes.append(
            "Crosses: closed loop, so many writes outstanding (the number); it sends nothing while it waits, so its "
            "latencies omit what users would have waited."
        )
    return notes
