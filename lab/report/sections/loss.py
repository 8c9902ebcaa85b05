"""UDP that loses datagrams: does a pipeline of writes degrade smoothly, and what does a single write wait?"""

from collections.abc import Sequence

from lab.report.figures.loss import TITLE, draw
from lab.report.reading import Run
from lab.report.rows.loss import LossRow, loss_rows
from lab.report.section import Section, SectionFigure
from lab.report.style import duration, interval, si
from lab.report.tables import Table
from lab.report.wording import change, percent, sentence

LEAD = (
    "Every link, those of clients included, holds each datagram back and loses a share of them, each way. What is lost "
    "has to be noticed and sent again before anything behind it is delivered, as on any ordered link; how many are "
    "under way meanwhile is congestion control's to say, which does not take random loss for a full queue."
)
HOW_TO_READ = (
    "A line that declines without a cliff is a transport that bears loss; what is sent again beyond the dashed line "
    "was sent for nothing."
)


def section(run: Run) -> Section | None:
    rows = loss_rows(run)
    if not rows:
        return None
    said = [_sentence(rows, load) for load in dict.fromkeys(row.load for row in rows)]
    return Section(
        name="loss", title="Links that lose datagrams", lead=LEAD, sentences=said, tables=[_table(rows)],
        figures=[SectionFigure("loss", TITLE, rows, draw, HOW_TO_READ)], printed=said,
    )  # fmt: skip


def _sentence(rows: Sequence[LossRow], load: str) -> str:
    """Throughput where many are outstanding; of single writes their latency."""
    base, *lossy = [row for row in rows if row.load == load]
    first = f"without loss {si(base.writes_per_s)} writes/s, {_latency(base)}"
    parts = [f"{percent(row.loss)} of datagrams lost {_change(row)} ({_latency(row)}{_resent(row)})" for row in lossy]
    return sentence(f"{load}: {first}; {'; '.join(parts)}")


def _change(row: LossRow) -> str:
    return change(row.effect, "throughput")


def _latency(row: LossRow) -> str:
    return f"p50 {duration(row.p50)}, p99 {duration(row.p99)}"


def _resent(row: LossRow) -> str:
    return "" if row.resent is None else f", {percent(row.resent)} sent again"


def _table(rows: Sequence[LossRow]) -> Table:
    header = ["load", "lost", "n", "writes/s (95 %)", "against no loss", "p50 (95 %)", "p99 (95 %)", "sent again"]
    return Table("By the share of datagrams lost", header, [_cells(row) for row in rows])


def _cells(row: LossRow) -> list[str]:
    bounds = (
        "" if row.writes_low is None or row.writes_high is None else f" ({si(row.writes_low)}–{si(row.writes_high)})"
    )
    span = "" if row.relative_low is None else f" ({row.relative_low:.2f}–{row.relative_high:.2f})"
    return [
        row.load, percent(row.loss), str(row.n), si(row.writes_per_s) + bounds,
        "" if row.loss == 0 else f"{row.relative:.2f}{span}", duration(row.p50) + interval(row.p50_low, row.p50_high),
        duration(row.p99) + interval(row.p99_low, row.p99_high), "–" if row.resent is None else percent(row.resent),
    ]  # fmt: skip
