"""Latency against throughput: how much of a configuration's capacity can be used before writes begin to wait."""

from collections.abc import Sequence

from lab.report.figures import curves
from lab.report.reading import Run
from lab.report.rows.curves import CurveRow, curve_rows
from lab.report.section import Section, SectionFigure
from lab.report.style import duration, interval, si
from lab.report.tables import Table

_LEAD = (
    "Writes that arrive like those of many independent users (Poisson), whatever the servers do meanwhile. Latency "
    "counts from the time at which a write was meant to be sent, so what waits outside of the system waits, too."
)
_HOW_TO_READ = (
    "A line that stays flat to the right has room; where it turns up, arrivals begin to queue. A cross left of a "
    "line's bend and below it is the same system in a closed loop, which waits politely and hides the queue."
)


def section(run: Run) -> Section | None:
    rows = curve_rows(run)
    if not rows:
        return None
    figure = SectionFigure("latency-throughput", curves.TITLE, rows, curves.draw, _HOW_TO_READ)
    return Section(
        name="latency-throughput", title="Latency against throughput", lead=_LEAD, sentences=_sentences(rows),
        tables=[_table(rows)], figures=[figure],
    )  # fmt: skip


def _sentences(rows: Sequence[CurveRow]) -> list[str]:
    said = []
    for name in dict.fromkeys(row.configuration for row in rows):
        opened = [row for row in rows if row.configuration == name and row.loop == "open"]
        steady = [row for row in opened if row.steady]
        if steady:
            lowest = f"{_p99(steady[0])} and " if len(steady) > 1 else ""
            said.append(f"{name}: p99 was {lowest}{_p99(steady[-1])}, the highest rate on the curve that was kept.")
        late = [row for row in opened if 2 * row.late >= row.n]
        behind = [row for row in opened if 2 * row.not_kept >= row.n]
        if behind:
            said.append(f"{name}: {_rates(behind)} offered was not kept; achieved {_achieved(behind)}.")
        if late:
            said.append(f"{name}: at {_rates(late)} the load generator was late; that says nothing about the servers.")
    return said


def _p99(row: CurveRow) -> str:
    return f"{duration(row.p99)} at {si(row.offered_per_s or 0)}/s"


def _rates(rows: Sequence[CurveRow]) -> str:
    return ", ".join(f"{si(row.offered_per_s or 0)}/s" for row in rows)


def _achieved(rows: Sequence[CurveRow]) -> str:
    return ", ".join(f"{si(row.achieved_per_s)}/s" for row in rows)


def _table(rows: Sequence[CurveRow]) -> Table:
    head = ["configuration", "offered", "achieved", "p50 (95 %)", "p99 (95 %)", "p99 from sending", "lag p99", "n", ""]
    return Table("Latency at a given rate", head, [_cells(row) for row in rows])


def _cells(row: CurveRow) -> list[str]:
    offered = f"{row.outstanding} outstanding" if row.offered_per_s is None else f"{si(row.offered_per_s)}/s"
    behind = [f"not kept in {row.not_kept}"] if row.not_kept else []
    late = [f"generator late in {row.late}"] if row.late else []
    return [
        row.configuration, offered, f"{si(row.achieved_per_s)}/s",
        duration(row.p50) + interval(row.p50_low, row.p50_high),
        duration(row.p99) + interval(row.p99_low, row.p99_high),
        "–" if row.service_p99 is None else duration(row.service_p99),
        "–" if row.lag_p99 is None else duration(row.lag_p99), str(row.n), ", ".join(behind + late),
    ]  # fmt: skip
