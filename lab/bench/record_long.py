"""What torture and soak leave: one line each, in files of their own (schema and its history: `lab.bench.record`)."""

import msgspec

from lab.bench.record import SCHEMA, Checks, Machine, Settings

TORTURE_FILE = "torture.jsonl"  # in the results folder of a torture


class FaultSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that befell servers, or a client, and for how long; seconds since the load began."""

    kind: str
    victims: list[int]  # servers; of a killed client its place
    start_s: float
    end_s: float  # when it was repaired


class Reign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server began to lead: it was established in this epoch."""

    at_s: float
    server: int
    epoch: int


class TortureRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults on real processes under load, then verification; the one line of `torture.jsonl`.

    `settings.rate` is the most operations/s that the clients together may send, in a closed loop.
    """

    schema: int = SCHEMA
    suite: str = "torture"
    target: str
    voters: int
    observers: int
    verified: bool
    checks: Checks
    settings: Settings
    log_segment_bytes: int  # smaller than usual, so that logs roll over
    started_at: str
    seconds: float  # under load, the calm at the end included
    leader_crashes: int  # of a serving leader, by SIGKILL
    faults: dict[str, int]  # how often what was done
    skipped: int  # strikes of the plan that found nobody whom they might befall in time
    out_of_room: int  # servers that ended because their disk was full, naming the file
    disk_full_by: str  # the mechanism; empty: no disk can be filled here
    acknowledged: int  # writes
    lost: int | None  # of them: missing in a replica, or in a quorum of logs; None: the replicas could not be seen
    unknown: int  # writes whose outcome no client knows
    reads: int  # acknowledged
    clients: int  # load processes, the killed ones included
    silence_s: float  # the longest time in which no write was acknowledged
    events: list[FaultSpan]
    reigns: list[Reign]
    series: dict[str, list[int]]  # per kind, acknowledged per 100 ms
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False


SOAK_FILE = "soak.jsonl"  # in the results folder of a soak


class Track(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one process held, by sample (`SoakRecord.at_s`); null where it was not there or could not be asked."""

    process: str  # "server 1", "load 0", "harness"
    kind: str  # leader, follower, observer, looking, load or harness, at the end
    series: dict[
        str, list[float | None]
    ]  # rss_mb, anonymous_mb, fds, threads; servers: log_mb, snapshots_mb, applied_zxid


class Growth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one of a process's series moves once it has settled (`lab.bench.growth`)."""

    process: str
    what: str
    unit: str
    level: float | None  # median after settling; None: no sample
    per_hour: float | None  # the slope; None with its 95 % interval: too few samples
    low: float | None
    high: float | None
    bound: float  # growth per hour up to which it is called steady
    stretches: int  # medians behind the slope
    span_s: float  # the time they cover
    verdict: str  # steady, grows, undecided, or too short


class SoakRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A long run under a moderate load: what every process held meanwhile; the one line of `soak.jsonl`.

    `settings.rate` is the most writes/s that the clients together may send, in a closed loop.
    """

    schema: int = SCHEMA
    suite: str = "soak"
    target: str
    voters: int
    observers: int
    verified: bool
    checks: Checks
    settings: Settings
    log_segment_bytes: int  # smaller than usual, so that many are purged
    started_at: str
    seconds: float  # under load
    interrupted: bool  # it ended earlier than asked
    settle_s: float  # of its beginning are not judged
    acknowledged: int  # writes
    lost: int | None  # of them; None: the replicas could not be seen
    unknown: int
    digest: str  # of the replicas, hex
    reigns: list[Reign]
    at_s: list[float]  # of the samples
    tracks: list[Track]
    step_s: float  # of the next two
    writes_per_s: list[float]
    p99_us: list[float | None]  # None: a step without writes
    growth: list[Growth]
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False
