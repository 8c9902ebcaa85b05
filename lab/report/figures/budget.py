"""What the leader sends and computes for a write, shape by shape, against the formula."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.report.rows.budget import BudgetRow
from lab.report.style import INK, PAPER, caption, colour, error_bars, intervals_text, new_figure

TITLE = "What a voter and an observer more cost the leader"
BAR = 0.62
HEADROOM = 1.4  # over the highest bar; an interval of few processes may reach beyond and is cut there


def draw(rows: Sequence[BudgetRow]) -> Figure:
    """Bars: measured; black marks: the formula.  Left: bytes of a write; right: CPU of a write."""
    figure, (left, right) = new_figure(4.6, 2, sharey=False)
    ordered = sorted(rows, key=lambda row: (row.voters + row.observers, row.voters))
    caption(figure, TITLE, _notes(ordered))
    _panel(left, ordered, [(row.bytes, row.bytes_low, row.bytes_high) for row in ordered],
           [row.bytes_predicted for row in ordered])  # fmt: skip
    left.set_ylabel("bytes that the leader sends for a write")
    _panel(right, ordered, [(row.cpu_us, row.cpu_low, row.cpu_high) for row in ordered],
           [row.cpu_fitted for row in ordered])  # fmt: skip
    right.set_ylabel("CPU of the leader for a write, µs")
    left.set_title("bytes, and the formula's")
    right.set_title("CPU, and what voters and observers add to it")
    return figure


def _panel(
    ax: Axes,
    rows: Sequence[BudgetRow],
    measured: Sequence[tuple[float, float | None, float | None]],
    expected: Sequence[float | None],
) -> None:
    places = range(len(rows))
    tints = [colour("observers") if row.observers else colour("voters") for row in rows]
    ax.bar(places, [value for value, _, _ in measured], BAR, color=tints)
    ax.errorbar(places, [value for value, _, _ in measured], yerr=error_bars(measured), fmt="none", ecolor=INK,
                elinewidth=1.0)  # fmt: skip
    highest = max(*(value for value, _, _ in measured), *(value or 0.0 for value in expected))
    for place, (value, (found, _, high)) in enumerate(zip(expected, measured, strict=True)):
        if value is not None:
            ax.plot([place - BAR / 2 - 0.08, place + BAR / 2 + 0.08], [value, value], color=INK, linewidth=2.0)
            top = min(max(value, found, high or 0.0), HEADROOM * 0.92 * highest)
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}
            ax.annotate(f"{found / value - 1:+.1%}".replace("%", " %"), (place, top), xytext=(0, 5),
                        textcoords="offset points", ha="center", va="bottom", fontsize=8.5, bbox=box)  # fmt: skip
    ax.set_xticks(list(places), [row.shape for row in rows])
    ax.set_xlabel("voters + observers")
    ax.set_ylim(0.0, HEADROOM * highest)
    ax.grid(visible=False, axis="x")


def _notes(rows: Sequence[BudgetRow]) -> list[str]:
    batches = [row.batch for row in rows]
    return [
        "Black: left the formula, a PROPOSAL and a COMMIT to each other voter, an INFORM to each observer, the reply; "
        "right a fixed cost, one a voter and one an observer, by least squares. Above: how far measured is from it. "
        "Blue: voters only; orange: with observers.",
        f"Buffered, closed loop of one client at the leader, 256 outstanding, {min(batches):.0f} to "
        f"{max(batches):.0f} writes a batch. {intervals_text([row.n for row in rows])}",
    ]
