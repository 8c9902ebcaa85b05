"""What became of the parts of a server since the last reference."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from lab.report.rows.parts import PartChangeRow
from lab.report.statistics import MARGIN
from lab.report.style import GRID, caption, colour, error_bars, intervals_text, new_figure
from lab.report.wording import percent

TITLE = "CPU of single parts against the last reference"
ROW_IN = 0.21  # of height for each part
_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 3.0, 5.0, 10.0)
_WORDS = {"better": "faster", "worse": "slower", "equivalent": "equivalent", "undecided": "undecided"}


def draw(rows: Sequence[PartChangeRow]) -> Figure:
    """One line a part.  x: CPU per operation, the reference is 100 % (log); left is faster."""
    figure, (ax,) = new_figure(1.6 + ROW_IN * len(rows))
    caption(figure, TITLE, _notes(rows))
    ax.axvspan(1 / (1 + MARGIN), 1 + MARGIN, color=GRID, zorder=0)
    ax.axvline(1.0, color=colour("none"), linewidth=0.8, linestyle=(0, (2, 3)))
    for word, said in _WORDS.items():
        here = [(y, row) for y, row in enumerate(rows) if row.verdict == word]
        if here:
            bars = error_bars([(row.ratio, row.low, row.high) for _, row in here])
            ax.errorbar([row.ratio for _, row in here], [y for y, _ in here], xerr=bars, color=colour(word), fmt="o",
                        markersize=4.5, capsize=2.5, linewidth=1.4, label=f"{said} ({len(here)})")  # fmt: skip
    ax.set_yticks(range(len(rows)), [row.part for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(_TICKS))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: percent(ratio)))
    ax.set_xlabel("CPU per operation, the last reference = 100 %; to the left is faster")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    return figure


def _notes(rows: Sequence[PartChangeRow]) -> list[str]:
    ns = [row.n for row in rows]
    return [f"Grey: within {percent(MARGIN)}. {intervals_text(ns)} The yardstick is no code of the lab's: "
            "what it shows is the machine."]  # fmt: skip
