"""What a torture saw: throughput step by step, and what befell whom."""

import msgspec

from lab.bench.record_long import FaultSpan, TortureRecord

STEP_S = 0.1  # of the record's series
STEPS_MAX = 400  # more of them would be a smear: rows of a long run sum up 2, 5 or 10
FAMILIES = ("crash", "freeze", "partition", "link", "full disk", "client kill")
_FAMILY = {
    "leader crash": "crash", "restart": "crash", "blackout": "crash", "short freeze": "freeze",
    "leader freeze": "freeze", "leader isolated": "partition", "minority cut off": "partition",
    "split in two": "partition", "servers alone": "partition", "observers cut off": "partition",
    "hears nobody": "partition", "heard by nobody": "partition", "lossy link": "link", "slow link": "link",
}  # fmt: skip


class ThroughputRow(msgspec.Struct, frozen=True):
    """One step, from `at_s` on; the leader is the one that was established last, 0 before the first."""

    at_s: float
    step_s: float
    writes_per_s: float
    reads_per_s: float
    leader: int
    epoch: int


class FaultRow(msgspec.Struct, frozen=True):
    """`victims` are servers, separated by spaces; of a killed client its place."""

    kind: str
    family: str
    victims: str
    start_s: float
    end_s: float


def throughput_rows(record: TortureRecord) -> list[ThroughputRow]:
    """The last step is left out where it is not whole."""
    writes, reads = record.series.get("write", []), record.series.get("read", [])
    whole = int(record.seconds / STEP_S)
    of = next((n for n in (1, 2, 5, 10) if whole / n <= STEPS_MAX), 10)
    reigns, rows = sorted(record.reigns, key=lambda reign: reign.at_s), []
    leader = epoch = taken = 0
    for begin in range(0, whole - of + 1, of):
        until_s = (begin + of) * STEP_S
        while taken < len(reigns) and reigns[taken].at_s < until_s:
            leader, epoch, taken = reigns[taken].server, reigns[taken].epoch, taken + 1
        done, asked = (sum(series[begin : begin + of]) / (of * STEP_S) for series in (writes, reads))
        rows.append(ThroughputRow(begin * STEP_S, of * STEP_S, done, asked, leader, epoch))
    return rows


def fault_rows(record: TortureRecord) -> list[FaultRow]:
    events = sorted(record.events, key=lambda event: (event.start_s, event.kind))
    return [FaultRow(e.kind, family_of(e.kind), _victims(e), e.start_s, e.end_s) for e in events]


def family_of(kind: str) -> str:
    return _FAMILY.get(kind, kind)


def _victims(event: FaultSpan) -> str:
    return " ".join(map(str, event.victims))
