"""How every figure looks: colours by what they stand for, type, captions, labels beside the lines.

SVG text is drawn as paths (`svg.fonttype: path`): a browser or README without the font would otherwise reflow it and
labels would collide.  The page carries each figure's title and numbers as text as well.
"""

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# One colour a meaning, told apart by the colour-blind too (after Okabe and Ito).  The second is for a dark page.
COLOURS = {
    "voters": ("#0067a5", "#58b4ef"),
    "observers": ("#d4550c", "#ff9f5e"),
    "both": ("#8a4fa0", "#cf9be2"),
    "none": ("#3d4451", "#c3c9d4"),  # the baseline itself
    "detection": ("#9aa3b2", "#7d8797"),
    "election": ("#0b6ea8", "#4aa8df"),
    "discovery": ("#5bb4e5", "#9ad4f5"),
    "synchronization": ("#0d9a73", "#3cc79f"),
    "first_commit": ("#e2a21a", "#f3c04f"),
    "first_ack": ("#c8588f", "#e889b9"),
    "writes": ("#0067a7", "#58b4f1"),
    "reads": ("#8a93a3", "#8791a1"),
    "crash": ("#d4550b", "#ff9f5d"),
    "freeze": ("#3a8fc5", "#9ad4f7"),
    "partition": ("#8a4fa2", "#cf9be4"),
    "link": ("#5e8c31", "#9fd06b"),
    "full disk": ("#b8860e", "#f3c051"),
    "own": ("#0067a8", "#58b4f2"),  # targets
    "zookeeper": ("#b8600e", "#f3a950"),
    "client kill": ("#0d9a76", "#3cc7a2"),
    "to the server": ("#0b5d8f", "#3f9ad0"),
    "on to the leader": ("#2f86bd", "#7cc0ea"),
    "validate, batch": ("#e2a21b", "#f3c04e"),
    "leader's log": ("#b9770e", "#dba13a"),
    "proposal": ("#5bb4e6", "#9ad4f9"),
    "follower's log": ("#d4550f", "#ff9f61"),
    "flush": ("#8a4fa3", "#cf9be5"),
    "acknowledgement": ("#0b6ea9", "#4aa8e0"),
    "commit": ("#3a9fd0", "#8ccdf0"),
    "apply, answer": ("#0d9a77", "#3cc7a3"),
    "reply": ("#9ad4f8", "#bfe4fa"),
    "better": ("#0d9a74", "#3cc7a0"),
    "worse": ("#d4550d", "#ff9f5f"),
    "equivalent": ("#5a6372", "#aab2c0"),
    "undecided": ("#9aa3b3", "#7d8798"),
}
SERIES = (
    ("#0067a6", "#58b4f0"), ("#d4550e", "#ff9f60"), ("#0d9a75", "#3cc7a1"), ("#8a4fa1", "#cf9be3"),
    ("#b8860f", "#f3c050"), ("#3a8fc4", "#9ad4f6"), ("#c8588e", "#e889b8"), ("#3d4452", "#c3c9d5"),
)  # fmt: skip
INK, MUTED, GRID, PAPER = "#1f2430", "#636b7a", "#e3e6ec", "#ffffff"
ON_LIGHT = "#1f2431"  # text on light bars, the same on a dark page
THEME = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"}

WIDTH_IN, DPI = 8.6, 160  # a README column shows this at its own size
HASHSALT = "zab-lab"

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
    "axes.labelsize": 10, "axes.titlesize": 10.5, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.8, "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID,
    "grid.linewidth": 0.8, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "lines.linewidth": 2.0, "lines.markersize": 6.5, "errorbar.capsize": 3, "figure.facecolor": PAPER,
    "axes.facecolor": PAPER, "savefig.facecolor": PAPER, "svg.fonttype": "path", "svg.hashsalt": HASHSALT,
}  # fmt: skip


def colour(meaning: str) -> str:
    return COLOURS[meaning][0]


def series_colour(i: int) -> str:
    return SERIES[i % len(SERIES)][0]


def dark_of() -> dict[str, str]:
    """Every series colour on white paper to its counterpart on a dark page."""
    return dict([*COLOURS.values(), *SERIES])


@contextmanager
def styled() -> Iterator[None]:
    """The lab's look for the figures made and saved inside; nothing of matplotlib's global state is left changed."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(height_in: float, panels: int = 1, *, stacked: bool = False, sharey: bool = True,
               heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:  # fmt: skip
    """A figure with its panels side by side or stacked; no pyplot, so nothing global keeps it alive."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    rows, columns = (panels, 1) if stacked else (1, panels)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey and not stacked, height_ratios=heights)
    return figure, list(grid.flat)


def new_grid(height_in: float, heights: Sequence[float], columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure with rows of panels, each row so much of its height."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    return figure, [list(row) for row in grid]


def caption(figure: Figure, title: str, notes: Sequence[str], room_in: float = 0.0) -> None:
    """Title above, small print below: load, intervals, trial counts; long notes are wrapped, never cut.

    `room_in`: kept free under the title, for a legend.
    """
    height = figure.get_figheight()
    lines = [line for note in notes if note for line in textwrap.wrap(note, 148)]
    below, above = (0.16 * len(lines) + 0.08) / height, (0.38 + room_in) / height
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(rect=(0.005, below, 0.99, 1 - below - above))
    figure.text(0.012, 1 - 0.1 / height, title, ha="left", va="top", fontsize=12.5, fontweight="bold")
    small = "\n".join(lines)
    figure.text(0.012, 0.06 / height, small, ha="left", va="bottom", fontsize=8, color=MUTED, linespacing=1.35)


def error_bars(rows: Sequence[tuple[float, float | None, float | None]]) -> tuple[list[float], list[float]]:
    """(value, low, high) rows to matplotlib's distances below and above; no interval is no bar."""
    below = [0.0 if low is None else value - low for value, low, _ in rows]
    above = [0.0 if high is None else high - value for value, _, high in rows]
    return below, above


def counts(ns: Sequence[int], what: str = "processes") -> str:
    """`n = 6 processes`, `n = 4 to 6 processes`, and what n = 1 means."""
    least, most = min(ns), max(ns)
    if most == 1:
        return "n = 1, no interval"
    span = f"n = {least}" if least == most else f"n = {least} to {most}"
    return f"{span} {what}" + ("; where n = 1 there is no interval" if least == 1 else "")


def intervals_text(ns: Sequence[int], what: str = "processes") -> str:
    bars = "" if max(ns) == 1 else "Bars: 95 % intervals; "
    return f"{bars}{counts(ns, what)}."


def spread(positions: Sequence[float], gap: float, highest: float = math.inf) -> list[float]:
    """The positions moved apart, as little as their order allows, until neighbours are `gap` from each other.

    None of them ends above `highest`.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[tuple[float, list[int]]] = []  # (centre, members): colliding labels move as one block
    for i in order:
        groups.append((positions[i], [i]))
        while len(groups) > 1 and _reach(groups[-2], gap)[1] + gap > _reach(groups[-1], gap)[0]:
            (_, one), (_, two) = groups[-2:]
            members = one + two
            groups[-2:] = [(sum(positions[m] for m in members) / len(members), members)]
    placed = list(positions)
    for group in groups:
        low, _ = _reach(group, gap)
        for k, member in enumerate(group[1]):
            placed[member] = low + k * gap
    for i in reversed(order):
        placed[i] = min(placed[i], highest)
        highest = placed[i] - gap
    return placed


def _reach(group: tuple[float, list[int]], gap: float) -> tuple[float, float]:
    half = (len(group[1]) - 1) * gap / 2
    return group[0] - half, group[0] + half


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], gap_points: float = 12.5, *,
               at_edge: bool = False) -> None:  # fmt: skip
    """Name each line beside its end (x, y, text, colour), moved apart where lines end close together.

    `at_edge` puts the names right of the axes, each tied to its line's end.  Call it last: it needs the final limits
    and scale.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()  # settles the layout, so that data coordinates have their place in points
    points = 72 / figure.dpi
    heights = [float(axes.transData.transform((x, y))[1]) * points for x, y, _, _ in ends]
    edge, top = (float(place) * points for place in axes.transAxes.transform((1, 1)))
    for (x, y, text, tint), height, placed in zip(ends, heights, spread(heights, gap_points, top), strict=True):
        reach = edge - float(axes.transData.transform((x, y))[0]) * points if at_edge else 0.0
        tie = {"arrowstyle": "-", "color": tint, "linewidth": 0.7, "alpha": 0.6, "shrinkA": 1, "shrinkB": 3,
               "relpos": (0, 0.5)}  # fmt: skip
        axes.annotate(text, (x, y), xytext=(reach + 10, placed - height), textcoords="offset points", va="center",
                      ha="left", color=tint, fontsize=9.5, fontweight="bold", annotation_clip=False,
                      arrowprops=tie if at_edge else None)  # fmt: skip


def hollow(axes: Axes, points: Sequence[tuple[float, float]], tint: str, marker: str = "o") -> None:
    """Marks where the load generator was the limit: what is seen there is not the servers' capacity."""
    for x, y in points:
        axes.plot([x], [y], marker, color=tint, markerfacecolor=PAPER, markeredgewidth=1.8, zorder=6)


def limited_text(limited: bool) -> str:
    return " Hollow: the load generator was the limit." if limited else ""


def thousands(axes: Axes, which: str = "y") -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    if axis.get_scale() == "log":
        _one_two_five(axis)
    axis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))


def si_ticks(axes: Axes, which: str) -> None:
    """Tick labels as `50 k`."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))


def durations(axes: Axes, which: str, us_per_unit: float) -> None:
    """Tick labels as durations; log axes get 1, 2, 5 a decade, so that a narrow one has more than one label."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    if axis.get_scale() == "log":
        _one_two_five(axis)
    axis.set_major_formatter(FuncFormatter(lambda value, _: duration(value * us_per_unit) if value else "0"))


def decades(axes: Axes, say: Callable[[float], str]) -> None:
    """One label a decade on a logarithmic horizontal axis that spans several."""
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))


def _one_two_five(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axis.set_minor_formatter(NullFormatter())


def si(value: float) -> str:
    """1,234,000 as `1.23 M`, 45,600 as `45.6 k`: three digits are what the spread leaves."""
    for limit, divisor, unit in ((999_500, 1e6, " M"), (999.5, 1e3, " k")):
        if abs(value) >= limit:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:.3g}"


def duration(us: float) -> str:
    """Microseconds in the unit that reads best."""
    if 0 < us < 0.9995:
        return f"{1_000 * us:.3g} ns"
    for limit, divisor, unit in ((999_500, 1e6, "s"), (999.5, 1e3, "ms")):
        if us >= limit:
            return f"{us / divisor:.3g} {unit}"
    return f"{us:.3g} µs"


def interval(low: float | None, high: float | None) -> str:
    """` (30.8–35.5 ms)`, or nothing where there is no interval; microseconds."""
    if low is None or high is None:
        return ""
    ends = [duration(low), duration(high)]
    (first, unit), (_, other) = (end.split() for end in ends)
    return f" ({first if unit == other else ends[0]}–{ends[1]})"
