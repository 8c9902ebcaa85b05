"""Write latency by network: how near to the network's own time a write comes."""

from lab.report.figures.distance import TITLE, draw
from lab.report.reading import Run
from lab.report.rows.distance import DistanceRow, distance_rows, led_elsewhere
from lab.report.section import Section, SectionFigure
from lab.report.style import duration, interval
from lab.report.tables import Table
from lab.report.wording import sentence

LEAD = (
    "Servers and client stand at sites of a network, whose links hold back and lose datagrams as published "
    "measurements say. One write is outstanding, sent where the leader is: it waits for the round trip to the nearest "
    "voters that make a quorum, which is its floor, and for what the lab's own links, processes and log add to that."
)
HOW_TO_READ = "The nearer the round mark stands to the stroke, the more of a write's time is the network's."


def section(run: Run) -> Section | None:
    rows, gone = distance_rows(run), led_elsewhere(run)
    if not rows and not gone:
        return None
    said = [*(_sentence(row) for row in rows), *(_nothing_left(network, trials) for network, trials in gone.items())]
    return Section(
        name="distance", title="Write latency by network", lead=LEAD, sentences=said,
        tables=[_table(rows)] if rows else [],
        figures=[SectionFigure("distance", TITLE, rows, draw, HOW_TO_READ)] if rows else [], printed=said,
    )  # fmt: skip


def _nothing_left(network: str, trials: int) -> str:
    return sentence(f"network {network}: in none of {trials} trials the leader was where the client is, so none counts")


def _sentence(row: DistanceRow) -> str:
    p50 = f"network {row.network}: a write took {duration(row.p50)}{interval(row.p50_low, row.p50_high)} at the median"
    tail = f"{duration(row.p99)} at p99 (n = {row.n})"
    if not row.leader_site:
        return sentence(f"{p50}, {tail}, with nothing between the processes")
    if row.floor is None or row.beyond is None:
        return sentence(
            f"{p50}, {tail}, with the leader in {row.leader_site}; its floor is not known: the network is another one "
            "now, or gone"
        )
    return sentence(
        f"{p50}, {tail}; the network's floor with the leader in {row.leader_site} is {duration(row.floor)}, so "
        f"{'+' if row.beyond >= 0 else '−'}{duration(abs(row.beyond))} ({row.p50 / row.floor:.2f} times the floor) "
        "is everything else"
    )


def _table(rows: list[DistanceRow]) -> Table:
    header = ["network", "leader in", "n", "floor", "p50 (95 %)", "p50 / floor", "p99 (95 %)", "left out"]
    return Table("Single writes by network", header, [_cells(row) for row in rows])


def _cells(row: DistanceRow) -> list[str]:
    return [
        row.network, row.leader_site or "–", str(row.n), _floor(row),
        duration(row.p50) + interval(row.p50_low, row.p50_high),
        "–" if row.floor is None else f"{row.p50 / row.floor:.2f}",
        duration(row.p99) + interval(row.p99_low, row.p99_high), str(row.elsewhere or ""),
    ]  # fmt: skip


def _floor(row: DistanceRow) -> str:
    if row.floor is None:
        return "not known" if row.leader_site else "–"
    return duration(row.floor)
