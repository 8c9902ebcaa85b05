"""What many znodes cost, by their number: memory, disk, a start, and a snapshot under load."""

import statistics

import msgspec

from lab.bench.record_probe import ProbeRecord
from lab.report.reading import Run

RATIO = "bar/snapshot/"
SUFFIXES = {"k": 1_000, "m": 1_000_000}  # of the numbers in names


class LargeTreeRow(msgspec.Struct, frozen=True):
    """Medians over rounds; latencies of writes at a steady rate, those during a snapshot over those without any."""

    znodes: int
    n: int  # rounds
    heap_bytes: float  # a server's, for a znode
    snapshot_bytes: float  # a file's, for a znode
    start_ms: float
    filled_s: float
    writes_per_s: float
    p99_ratio: float
    p99_without_ms: float
    p99_during_leaders_ms: float
    p99_during_followers_ms: float
    seconds_a_snapshot: float


def large_tree_rows(run: Run) -> list[LargeTreeRow]:
    """Small trees first; only what was verified."""
    found: dict[str, list[ProbeRecord]] = {}
    for probe in run.probes:
        if probe.verified:
            found.setdefault(probe.probe, []).append(probe)
    sizes = sorted((name.removeprefix(RATIO) for name in found if name.startswith(RATIO)), key=_number)
    return [_row(size, found) for size in sizes]


def _number(size: str) -> int:
    return int(size[:-1]) * SUFFIXES[size[-1]] if size[-1] in SUFFIXES else int(size)


def _row(size: str, found: dict[str, list[ProbeRecord]]) -> LargeTreeRow:
    ratios, heaps = found[f"{RATIO}{size}"], found[f"tree/heap/{size}"]

    def fact(name: str) -> float:
        return statistics.median(probe.facts[name] for probe in ratios)

    return LargeTreeRow(
        znodes=_number(size), n=len(ratios), heap_bytes=_median(heaps),
        snapshot_bytes=_median(found[f"tree/snapshot/{size}"]), start_ms=_median(found[f"bar/start/{size}"]),
        filled_s=statistics.median(probe.facts["filled_s"] for probe in heaps), writes_per_s=fact("writes_per_s"),
        p99_ratio=_median(ratios), p99_without_ms=fact("p99_without_ms"),
        p99_during_leaders_ms=fact("p99_during_leaders_ms"),
        p99_during_followers_ms=fact("p99_during_followers_ms"), seconds_a_snapshot=fact("seconds_a_snapshot"),
    )  # fmt: skip


def _median(probes: list[ProbeRecord]) -> float:
    return statistics.median(probe.value for probe in probes)
