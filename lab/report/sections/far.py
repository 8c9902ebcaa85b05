"""Observers near clients of a far region: what they bring to reads there, and what they cost writes."""

from collections.abc import Sequence

from lab.report.figures.far import NAMES, TITLE, draw
from lab.report.reading import Run
from lab.report.rows.far import BASE, FarRow, far_left_out, far_rows
from lab.report.section import Section, SectionFigure
from lab.report.style import duration, interval, si
from lab.report.tables import Table
from lab.report.wording import cost_in_time, sentence, times

LEAD = (
    "All voters are in the zones of one region, clients of another one are an ocean away. They can be attached to the "
    "leader, to an observer that stands beside them, or to a voter there. An observer answers their reads from its own "
    "state and takes no part in any decision; a voter there does the same, and is counted when a quorum is."
)
HOW_TO_READ = (
    "Above, what clients in the far region see; below, what that costs clients near the voters. Further left is better "
    "in latency and bytes, further right in operations/s."
)
LARGE = 5.0  # times


def section(run: Run) -> Section | None:
    rows, (elsewhere, trials) = far_rows(run), far_left_out(run)
    if not rows and not elsewhere:
        return None
    said = [text for metric in dict.fromkeys(row.metric for row in rows)
            for text in _sentences([row for row in rows if row.metric == metric])]  # fmt: skip
    if elsewhere:
        said.append(
            f"Left out: {elsewhere} of {trials} trials, which were led from another site than the one asked for."
        )
    return Section(
        name="far", title="An observer in a far region", lead=LEAD, sentences=said,
        tables=[_table(rows)] if rows else [],
        figures=[SectionFigure("far", TITLE, rows, draw, HOW_TO_READ)] if rows else [], printed=said,
    )  # fmt: skip


def _sentences(rows: Sequence[FarRow]) -> list[str]:
    base = next(row for row in rows if row.way == BASE)
    parts = [f"{_value(row)} with {_name(row)}, {_change(row)}" for row in rows if row is not base]
    return [sentence(f"{base.metric} ({base.outstanding:,} outstanding): {_value(base)} with {_name(base)}; "
                     f"{'; '.join(parts)}")]  # fmt: skip


def _name(row: FarRow) -> str:
    return NAMES[row.way].format(shape=row.shape)


def _value(row: FarRow) -> str:
    if row.unit == "us":
        return duration(row.value) + interval(row.low, row.high)
    unit = "/s" if row.unit == "/s" else " bytes"
    bounds = "" if row.low is None or row.high is None else f" ({si(row.low)}–{si(row.high)})"
    return f"{si(row.value)}{unit}{bounds}"


def _change(row: FarRow) -> str:
    """In per cent, unless it is another order of magnitude."""
    if 1 / LARGE < row.relative < LARGE:
        return cost_in_time(row.effect) if row.unit != "/s" else times(row.effect)
    more = row.relative > 1
    value, *ends = (
        share if more else 1 / share for share in (row.relative, row.relative_low, row.relative_high) if share
    )
    span = f"{_times(min(ends))} to {_times(max(ends))}, n = {row.n}" if ends else f"n = {row.n}, no interval"
    return f"{_times(value)} times {'as much' if more else 'less'} ({span})"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def _table(rows: Sequence[FarRow]) -> Table:
    header = ["what", "outstanding", "in the far region", "n", "value (95 %)", "floor", "against nobody there"]
    return Table("Clients of a far region", header, [_cells(row) for row in rows])


def _cells(row: FarRow) -> list[str]:
    floor = "–" if row.floor_us is None else duration(row.floor_us)
    against = "" if row.way == BASE else _change(row)
    return [row.metric, f"{row.outstanding:,}", _name(row), str(row.n), _value(row), floor, against]
