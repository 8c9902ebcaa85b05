"""Shared memory against UDP: what real datagrams cost writes, single writes and reads."""

from lab.report.figures.transports import TITLE, draw
from lab.report.reading import Run
from lab.report.rows.transports import TransportEffect, TransportRow, transport_effects, transport_rows
from lab.report.section import Section, SectionFigure
from lab.report.style import duration, interval, si
from lab.report.tables import Table
from lab.report.wording import cost_in_time, sentence, times

LEAD = (
    "The same servers and clients on the same cores, linked by shared-memory rings or by UDP sockets over the "
    "loopback. No delay and no loss are added, so what differs is system calls, copies, acknowledgements and, where "
    "datagrams are sealed, their tags."
)
HOW_TO_READ = (
    "Each row of panels is one load. Left of the dotted line in throughput, or right of it in latency and CPU, is "
    "what a kind of links costs against shared memory."
)


def section(run: Run) -> Section | None:
    rows = transport_rows(run)
    if not rows:
        return None
    said = [_sentence(effect) for effect in transport_effects(run)]
    return Section(
        name="transports", title="Shared memory against UDP", lead=LEAD, sentences=said, tables=[_table(rows)],
        figures=[SectionFigure("transports", TITLE, rows, draw, HOW_TO_READ)], printed=said,
    )  # fmt: skip


def _sentence(effect: TransportEffect) -> str:
    ours, theirs = effect.p50_us
    p50 = f"p50 {duration(ours)} instead of {duration(theirs)}, {cost_in_time(effect.p50)}"
    cpu = f"CPU for a {effect.kind} {duration(effect.cpu_us[0])} instead of {duration(effect.cpu_us[1])}"
    what = p50 if effect.outstanding == 1 else f"{times(effect.throughput)} the throughput of shared memory"
    return sentence(f"{effect.load}: over {effect.links} {what}; {cpu}, {cost_in_time(effect.cpu)}")


def _table(rows: list[TransportRow]) -> Table:
    header = ["load", "links", "n", "operations/s (95 %)", "against shared memory", "p50 (95 %)", "p99 (95 %)",
              "CPU/operation"]  # fmt: skip
    return Table("Links", header, [_cells(row) for row in rows])


def _cells(row: TransportRow) -> list[str]:
    bounds = "" if row.ops_low is None or row.ops_high is None else f" ({si(row.ops_low)}–{si(row.ops_high)})"
    span = "" if row.relative_low is None else f" ({row.relative_low:.2f}–{row.relative_high:.2f})"
    return [
        row.load, row.links, str(row.n), si(row.ops_per_s) + bounds,
        "" if row.is_base else f"{row.relative:.2f}{span}", duration(row.p50) + interval(row.p50_low, row.p50_high),
        duration(row.p99) + interval(row.p99_low, row.p99_high),
        duration(row.cpu_us) + interval(row.cpu_low, row.cpu_high),
    ]  # fmt: skip
