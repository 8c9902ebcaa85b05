"""What a soak saw: every sample of every process, and the load step by step."""

import msgspec

from lab.bench.record_long import SoakRecord

HELD = ("anonymous_mb", "rss_mb", "log_mb", "snapshots_mb", "fds", "threads")


class HeldRow(msgspec.Struct, frozen=True):
    """One process at one moment; what does not apply to it is empty."""

    at_s: float
    process: str
    kind: str
    anonymous_mb: float | None
    rss_mb: float | None
    log_mb: float | None
    snapshots_mb: float | None
    fds: float | None
    threads: float | None
    applied_zxid: float | None


class PaceRow(msgspec.Struct, frozen=True):
    """One step of the load, from `at_s` on."""

    at_s: float
    writes_per_s: float
    p99_us: float | None


def held_rows(record: SoakRecord) -> list[HeldRow]:
    none = [None] * len(record.at_s)
    return [
        HeldRow(at_s, track.process, track.kind, *values)
        for track in record.tracks
        for at_s, *values in zip(
            record.at_s, *(track.series.get(what, none) for what in (*HELD, "applied_zxid")), strict=True
        )
    ]


def pace_rows(record: SoakRecord) -> list[PaceRow]:
    return [
        PaceRow(step * record.step_s, writes, p99)
        for step, (writes, p99) in enumerate(zip(record.writes_per_s, record.p99_us, strict=True))
    ]
