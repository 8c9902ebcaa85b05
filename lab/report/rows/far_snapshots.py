"""Trees on their way to new observers over UDP: how fast, and what became of the writes meanwhile."""

import statistics

import msgspec

from lab.bench.record_probe import ProbeRecord
from lab.report.reading import Run

FAMILY = "snapshot/udp/"


class FarSnapshotRow(msgspec.Struct, frozen=True):
    """Medians over rounds."""

    mib: float
    loss: float
    delay_ms: float
    n: int  # rounds
    mib_per_s: float
    seconds: float  # from the start of the observer's process until it served
    sent_again: float  # share of the datagrams
    writes_per_s: float  # meanwhile
    p50_before_ms: float  # of writes, right before the observer came
    p50_meanwhile_ms: float
    p99_before_ms: float
    p99_meanwhile_ms: float
    patience: str  # of the servers, as configured; empty: the records do not say


def far_snapshot_rows(run: Run) -> list[FarSnapshotRow]:
    """Small trees and few losses first; only what was verified."""
    found: dict[str, list[ProbeRecord]] = {}
    for probe in run.probes:
        if probe.verified and probe.probe.startswith(FAMILY):
            found.setdefault(probe.probe, []).append(probe)
    return sorted(map(_row, found.values()), key=lambda row: (row.mib, row.loss))


def _row(probes: list[ProbeRecord]) -> FarSnapshotRow:
    def fact(name: str) -> float:
        return statistics.median(probe.facts[name] for probe in probes)

    return FarSnapshotRow(
        mib=fact("mib"), loss=fact("loss"), delay_ms=fact("delay_ms"), n=len(probes),
        mib_per_s=statistics.median(probe.value for probe in probes), seconds=fact("seconds"),
        sent_again=statistics.median(p.facts["retransmitted"] / p.facts["datagrams_sent"] for p in probes),
        writes_per_s=fact("writes_per_s_meanwhile"), p50_before_ms=fact("p50_before_ms"),
        p50_meanwhile_ms=fact("p50_meanwhile_ms"), p99_before_ms=fact("p99_before_ms"),
        p99_meanwhile_ms=fact("p99_meanwhile_ms"), patience=_patience(probes[0].facts),
    )  # fmt: skip


def _patience(facts: dict[str, float]) -> str:
    if "init_limit_ticks" not in facts:
        return ""
    sync, init, tick_ms = (facts[name] for name in ("sync_limit_ticks", "init_limit_ticks", "tick_ms"))
    return f"sync_limit is {sync:,.0f} ticks and init_limit {init:,.0f} ticks of {tick_ms:g} ms"
