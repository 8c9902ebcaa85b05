"""Where the CPU goes: each part of a server by itself, against what it cost for the last reference."""

from collections.abc import Sequence

from lab.report.compare import CompareRow, compare_parts
from lab.report.figures import parts_change
from lab.report.parts import YARDSTICK, Part, Parts, differing_machines, parts_of, reference_of
from lab.report.reading import Run
from lab.report.rows.parts import part_change_rows
from lab.report.section import Section, SectionFigure
from lab.report.statistics import estimate
from lab.report.style import duration, interval
from lab.report.tables import Table

_LEAD = (
    "Each part of a server by itself, in processes of its own, in CPU time per operation; the number behind a name is "
    "the size of a batch or a frame. Every part checked what it had done. A process counts with the least of its "
    "values, since whatever else the machine does only adds to them; intervals are over processes."
)
_HOW_TO_READ = (
    "Each line is a part; a point left of 100 % takes less CPU than for the last reference. Grey is the range that "
    "counts as equal, and bars that reach into it are undecided."
)
_WORDS = {"better": "faster", "worse": "slower"}


def section(run: Run) -> Section | None:
    now, then = parts_of(run), reference_of(run)
    if now is None:
        return None
    problem = "there was none when this run was measured" if then is None else differing_machines(then, now)
    rows = [] if then is None or problem else compare_parts(then, now)
    said = [f"Not compared with the last reference: {problem}."] if then is None or problem else _against(then, rows)
    changed = part_change_rows(rows)
    return Section(
        name="parts", title="Where the CPU goes, part by part", lead=_LEAD, sentences=said,
        tables=[_table(now, rows), _meanings(now)],
        figures=[SectionFigure("parts-change", parts_change.TITLE, changed, parts_change.draw, _HOW_TO_READ)]
        if changed else [],
    )  # fmt: skip


def _against(then: Parts, rows: Sequence[CompareRow]) -> list[str]:
    """What has changed since, and how much of it may be the machine."""
    words = [_word(row) for row in rows if row.configuration != YARDSTICK]
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("faster", "slower", "equivalent", "undecided"))
    said = [f"Against the last reference (commit {then.commit}), {len(words)} parts: {counts}."]
    yardstick = [row.cells[4] for row in rows if row.configuration == YARDSTICK]
    said += [f"The yardstick, which is no code of the lab's, took {difference} against the reference: so much of every "
             "other difference may be the machine." for difference in yardstick]  # fmt: skip
    return said


def _word(row: CompareRow) -> str:
    return _WORDS.get(row.verdict.word, row.verdict.word)


def _table(now: Parts, rows: Sequence[CompareRow]) -> Table:
    found = {row.configuration: row for row in rows}
    header = ["part", "n", "per", "CPU (95 %)", *(["reference", "against it (95 %)", "verdict"] if rows else [])]
    return Table(
        "CPU time of single parts", header,
        [_cells(part, found.get(part.name), len(header)) for part in now.parts.values()],
    )  # fmt: skip


def _cells(part: Part, row: CompareRow | None, columns: int) -> list[str]:
    mean = estimate(part.sample)
    low, high = (None if bound is None else bound / 1e3 for bound in (mean.low, mean.high))
    cells = [part.name, str(mean.n), part.per, duration(mean.value / 1e3) + interval(low, high)]
    if row is not None:
        _, _, then, _, difference, verdict = row.cells
        cells += [then, difference, verdict.replace(row.verdict.word, _word(row))]
    return [*cells, *("–",) * (columns - len(cells))]


def _meanings(now: Parts) -> Table:
    return Table(
        "What the parts are", ["part: what is done"], [[f"{one.name}: {one.what}"] for one in now.parts.values()]
    )
