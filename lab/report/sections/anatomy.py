"""The way of a write: where its time goes, who closed the quorum, and what looking at it costs."""

from lab.report.figures.anatomy import TITLE, draw
from lab.report.points import Point
from lab.report.reading import Run
from lab.report.rows.anatomy import AnatomyRow, CloserRow, anatomy_points, anatomy_rows, closer_rows, left_out, unmarked
from lab.report.section import Section, SectionFigure
from lab.report.statistics import Effect, ratio
from lab.report.style import duration
from lab.report.tables import Table

HOW_TO_READ = (
    "Each bar is the whole latency of a band of writes, cut at the moments that servers and client marked; the parts "
    "add up to it. What grows from the median to the slowest 1 % is what the tail is made of."
)
LEAD = (
    "Servers marked sampled writes on their way; the markers of all processes are of one clock. A write that was not "
    "marked at every moment is counted and left out."
)
LARGEST = 3  # parts that a sentence names


def section(run: Run) -> Section | None:
    rows, closers, points = anatomy_rows(run), closer_rows(run), anatomy_points(run)
    if not rows:
        return None
    return Section(
        name="anatomy",
        title="The way of a write",
        lead=LEAD,
        sentences=[*_sentences(rows), *_lost(points), *_costs(points, run)],
        tables=[_table(closers)],
        figures=[SectionFigure("anatomy", TITLE, rows, draw, HOW_TO_READ)],
    )


def _sentences(rows: list[AnatomyRow]) -> list[str]:
    found = []
    for name in dict.fromkeys(row.configuration for row in rows):
        for band, what in (("median", "the median write"), ("slowest", "the slowest 1 %")):
            parts = [row for row in rows if (row.configuration, row.band) == (name, band)]
            largest = sorted(parts, key=lambda row: -row.us)[:LARGEST]
            words = "; ".join(f"{row.part} {row.share:.0%}".replace("%", " %") for row in largest)
            found.append(f"{name}: {what} takes {duration(parts[0].total_us)}: {words}.")
    return found


def _lost(points: list[tuple[Point, str]]) -> list[str]:
    found = [(name, left_out(point.trials)) for point, name in points]
    return [f"{name}: {count:,} sampled writes could not be followed." for name, count in found if count]


def _costs(points: list[tuple[Point, str]], run: Run) -> list[str]:
    """Marked against unmarked, where the run has both."""
    found = []
    for point, name in points:
        plain = unmarked(point, run)
        if plain is not None:
            with_, without = (one.sample(lambda trial: trial.ops_per_s) for one in (point, plain))
            found.append(f"{name}: with markers {_words(ratio(with_, without))}.")
    return found


def _words(effect: Effect) -> str:
    between = "" if effect.low is None or effect.high is None else f" ({effect.low:.0%} to {effect.high:.0%})"
    words = f"{effect.ratio:.0%}{between} of the throughput without".replace("%", " %")
    is_decided = effect.low is not None and effect.high is not None and not effect.low <= 1 <= effect.high
    return words if is_decided else f"{words}, which decides nothing"


def _table(rows: list[CloserRow]) -> Table:
    header = ["configuration", "n", "batches sampled", "writes a batch", "the leader's own disk", "one follower",
              "the other followers"]  # fmt: skip
    cells = [
        [row.configuration, str(row.n), f"{row.batches:,}", f"{row.batch_txns:,.1f}",
         *(f"{100 * share:.1f} %" for share in (row.leader, row.quickest, row.others))]
        for row in rows
    ]  # fmt: skip
    return Table("Whose disk closed the quorum", header, cells)
