"""Outages by network: what distance adds to noticing a lost leader, and to electing the next."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lab.report.figures import election_phases
from lab.report.reading import Run
from lab.report.rows.distant_outages import DistantOutage, distant_outages, distant_phases
from lab.report.rows.election import PhaseRow
from lab.report.section import Section, SectionFigure
from lab.report.style import duration, interval
from lab.report.tables import Table
from lab.report.wording import sentence

TITLE = "Where an outage goes, by network"
LEAD = (
    "Over UDP. A crash is a killed leader process, which its host tells of at once, as a closed connection would; "
    "after a partition there is only silence, and servers wait as long as their heartbeat says before they look for "
    "another leader. Then votes, epochs and the first write cross the network some times each."
)
HOW_TO_READ = (
    "From left to right, what has to happen before a client's next write succeeds. What grows from one network to the "
    "next is round trips, but for detection after a partition: that is waiting that was configured, sync_limit × tick, "
    "and longer where the tick is."
)


def section(run: Run) -> Section | None:
    found = distant_outages(run)
    if not found:
        return None
    said = [_sentence(found, fault) for fault in dict.fromkeys(row.fault for row in found)]
    figure = SectionFigure("distance-outages", TITLE, distant_phases(run), _draw, HOW_TO_READ)
    return Section(
        name="distance-outages", title="Outages by network", lead=LEAD, sentences=said, tables=[_table(found)],
        figures=[figure], printed=said,
    )  # fmt: skip


def _draw(rows: Sequence[PhaseRow]) -> Figure:
    return election_phases.draw(rows, TITLE)


def _sentence(rows: Sequence[DistantOutage], fault: str) -> str:
    here = [row for row in rows if row.fault == fault]
    parts = [f"{row.network} {_median(row)}{_told(row)}, n = {row.n}" for row in here]
    return sentence(f"after a {fault} of the leader the next write was acknowledged within, at the median: "
                    f"{'; '.join(parts)}")  # fmt: skip


def _median(row: DistantOutage) -> str:
    bounds = [None if bound is None else 1_000 * bound for bound in (row.median_low, row.median_high)]
    return duration(1_000 * row.median_ms) + interval(*bounds)


def _told(row: DistantOutage) -> str:
    noticed = "" if row.detection_ms is None else f", noticed after {duration(1_000 * row.detection_ms)}"
    return f" (tick {row.tick_ms} ms{noticed})"


def _table(rows: Sequence[DistantOutage]) -> Table:
    cells = [
        [row.network, row.fault, f"{row.tick_ms} ms", str(row.n), _median(row), duration(1_000 * row.longest_ms),
         "–" if row.detection_ms is None else duration(1_000 * row.detection_ms)]
        for row in rows
    ]  # fmt: skip
    header = ["network", "fault", "tick", "n", "median (95 %)", "longest", "noticed after"]
    return Table("Outages by network", header, cells)
