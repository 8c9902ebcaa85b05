"""Trial records: one JSON line per measurement, complete enough to rebuild every figure (DESIGN 4, 5).

Schema history
1: first version.
2: Settings has `leader_serves`, `relays`, `placement`, `anatomy` and `wait` (which was blocking before),
   TrialRecord `cpus` and `anatomy`.
   ServerUse `frames_sent`.
   Suite `speed`; `probes.jsonl` and `references.jsonl` beside the trials.
   Both records `target_version`.
   Settings has `arrivals`, TrialRecord `open_loop`; `client_lag_us` is without waiting for operations in flight.
3: Settings has `network_digest`, `loss`, `delay_ms`, `voter_sites`, `observer_sites` and `client_sites`, both records
   `sites`.
   Both records `host`, RunInfo `hosts`: measured by one of several machines.
   Settings and both records `hosts`: measured on several machines at once.
   Settings has `udp_mtu` and `sealed`, and `transport` may be udp; `network_stats` are counters of datagrams.
"""

from typing import Any

import msgspec

SCHEMA = 3

PHASES = ("detection", "election", "discovery", "synchronization", "first_commit", "first_ack")


class RecordError(ValueError):
    """A record or results folder cannot be read: names the file, line and field."""


def upgrade(record: dict[str, Any]) -> dict[str, Any]:
    """The data of a record or run of any schema as the newest one would say it."""
    if record.get("schema") == 1 and "settings" in record:
        record = {**record, "settings": {"wait": "blocking", **record["settings"]}}
    return record


class Percentiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one population of latencies, microseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    mean: float
    count: int


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much was verified; `findings` are the first things that were wrong, in words."""

    writes: int
    reads: int
    reads_total: int
    replicas: int
    findings: list[str] = []


class ServerUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server over the measured window; `throttled_s` is the time a CPU budget held it back."""

    id: int
    role: str
    cpu_s: float
    bytes_sent: int
    rss_mb: float
    throttled_s: float = 0.0
    frames_sent: int = 0  # over all links; 0: not counted


class HopTimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long one hop of a write took, microseconds (`lab.bench.anatomy.HOPS`)."""

    n: int  # sampled writes whose way leads over it; the next four are theirs
    p50: float
    p90: float
    p99: float
    mean: float
    median: float  # mean over all samples around the median latency: over all hops these add up to `median_us`
    slowest: float  # mean over the slowest 1 % of all samples: over all hops these add up to `slowest_us`


class Anatomy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the time of sampled writes went."""

    every: int  # 1 in so many zxids is sampled
    samples: int  # those whose way is known from end to end; all that follows is about them
    incomplete: int  # further ones, of which some moment was not marked
    disordered: int  # further ones, of which the moments are not in order
    dropped: int  # markers that found no room
    latency_us: Percentiles | None = None  # None: no samples
    median_us: float = 0.0  # mean latency of those around the median (45 to 55 %)
    slowest_us: float = 0.0  # of the slowest 1 %
    batch_txns: float = 0.0  # mean size of a sampled write's batch
    hops: dict[str, HopTimes] = {}  # in the order of the way; one that no sample passed is absent
    closers: dict[str, int] = {}  # "number role" of the voter that closed the quorum: sampled batches


class OpenLoop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an open loop asked of the window, and what its generator made of it."""

    offered: int  # operations that were meant to be sent within the window
    offered_per_s: float
    reached: bool  # as many were answered in it, to 1 %
    caught_up: bool  # and over 5 % more: these are latencies of a backlog from before
    backlog: int  # meant to be sent by the window's end, and not answered then
    unsent: int  # of them: not even sent
    held: int  # sent late because as many were in flight as may be, or no session was attached
    lag_us: Percentiles | None  # how late operations were sent once nothing but the generator kept them; None: none was
    service_us: dict[str, Percentiles]  # per kind: latency from the actual time of sending
    generator_cpu: float  # of a CPU, by each load process
    generator_late: bool  # the lag is more than half of the latency at p99: this is no latency of the system


class PyperfLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pyperf value this record stands behind."""

    benchmark: str
    round: int
    value: int


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it was measured; records of different `id` do not compare unless told to."""

    id: str  # hash of what follows, less the load
    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    filesystem: str  # of the data folder, with its device's kind if known
    governor: str  # or "unknown"
    cgroup: str  # v1, v2 or none
    load_1m: float
    versions: dict[str, str]  # of the libraries on the measured path


class HostPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of several machines that a measurement ran on."""

    machine: Machine
    runs: list[str]  # `server 1`, `client 0` ...
    clock_offset_ns: int  # of its monotonic clock, against that of the process that measured
    clock_doubt_ns: int  # by how much that may be wrong; times of its servers are put into the other clock by it


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The full configuration of a trial or failover: what was asked, not what came out."""

    target: str = "own"
    voters: int = 3
    observers: int = 0
    transport: str = "shm"  # of links between servers and to clients
    udp_mtu: int = 1400  # a whole datagram, less headers of UDP and IP; also of a shaped link over shared memory
    sealed: bool = False  # every datagram over UDP carries a tag
    durability: str = "fsync"
    workload: str = "read_mix"
    reads: float = 0.0
    clients: int = 1
    outstanding: int = 64  # per client
    value_bytes: int = 100
    keys: int = 1000
    distribution: str = "uniform"
    zipf_s: float = 0.99  # skew; only with distribution=zipf
    seconds: float = 5.0
    warmup: float = 1.0
    seed: int = 1
    attach: str = "leader"
    rate: float | None = None  # operations/s over all clients, open loop; None: closed loop
    arrivals: str = "constant"  # open loop: the process (`lab.bench.arrivals`)
    cpu_share: float | None = None
    max_outstanding: int = 0
    batch_txns_max: int = 4096
    relays: int = 0  # followers that relay to the observers in the leader's place
    leader_serves: bool = True  # off: clients attach to followers and observers only
    placement: str = "free"  # of processes on CPUs while they are measured
    snap_count: int = 0  # transactions between snapshots of a server's own disk; 0: none, as in records without it
    death_detection: str = "pidfd"
    wait: str = "adaptive"  # of servers and clients with nothing to do
    network: str = "none"  # a preset or a file (`lab.networks`)
    network_digest: str = ""  # of what stands in it; empty: there is none
    loss: float = 0.0  # of all links alike, those of clients included, as is the next; only without a network
    delay_ms: float = 0.0  # each way
    voter_sites: str = ""  # a,b,c in place of those of the network; so are the next two
    observer_sites: str = ""
    client_sites: str = ""
    tick_ms: int = 100
    sync_limit_ticks: int = 5
    init_limit_ticks: int = 20
    finalize_early: bool = True
    hosts: str = ""  # who runs on which of several machines; empty: all on one
    anatomy: bool = False  # mark sampled writes on their way, and say where their time went
    fault: str | None = None  # failover: crash, freeze or partition
    repeats: int = 1  # failover


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workload on one target with one seed, measured over `seconds` and then verified."""

    schema: int = SCHEMA
    suite: str  # write-latency, read-scaling, speed, network; "trial" or "max-rate" for a single measurement
    target: str
    target_version: str = ""  # of one that is not ours, with what it runs on
    voters: int
    observers: int
    verified: bool
    checks: Checks
    settings: Settings
    started_at: str  # UTC, ISO 8601
    seconds: float  # the measured window
    ops_per_s: float
    reads_per_s: float
    writes_per_s: float
    reads: int
    writes: int
    errors: int
    unknown: int
    latency_us: dict[str, Percentiles]  # per kind: read, write; a kind without operations is absent
    histogram: dict[str, str]  # per kind: HdrHistogram V2, base64, nanoseconds
    series: dict[str, list[int]]  # operations done per 100 ms of the window, per kind
    servers: list[ServerUse]
    client_cpu_s: float
    client_lag_us: float  # open loop: how late the generator sent, 99th percentile; closed loop: 0
    open_loop: OpenLoop | None = None  # closed loop: None
    client_limited: bool  # the load processes were busy for over 90 % of a CPU each: the servers' limit was not reached
    budget: str = "none"  # mechanism behind cpu_share
    cpus: dict[str, list[int]] = {}  # that `server 1`, `client 0` ... were held to; empty: free, or not recorded yet
    digest: str = ""  # of the replicas, hex
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False
    host: str = ""  # of a run over several machines: which of them measured this
    hosts: dict[str, HostPart] = {}  # by name, if its processes ran on several; `machine` is then the first one
    pyperf: PyperfLink | None = None
    anatomy: Anatomy | None = None  # with settings.anatomy
    network_stats: dict[str, int] = {}  # of datagrams, all servers together; of srtt_ns and cwnd_bytes the greatest
    sites: dict[str, str] = {}  # at which `server 1`, `client 0` ... stood; empty: no network


class FailoverRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`repeats` failovers of one ensemble under a session with one write outstanding (zab.md, appendix B)."""

    schema: int = SCHEMA
    suite: str = "election"  # or speed, network
    target: str
    target_version: str = ""  # of one that is not ours, with what it runs on
    voters: int
    observers: int
    verified: bool
    checks: Checks
    settings: Settings
    started_at: str
    outage_ms: list[float]  # T8 - T0
    phases_ms: dict[str, list[float]]  # the PHASES, which sum to the outage; none of a target that does not tell
    observer_rejoin_ms: list[float]  # per failover and observer: serving again after the new leader was established
    acknowledged: int
    unknown: int
    sites: dict[str, str] = {}  # at which `server 1`, `client 0` ... stood; empty: no network
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False
    host: str = ""  # of a run over several machines: which of them measured this
    hosts: dict[str, HostPart] = {}  # by name, if its processes ran on several; `machine` is then the first one
    pyperf: PyperfLink | None = None


Record = TrialRecord | FailoverRecord


class RunInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`run.json`: what one invocation of the harness was asked to do, where, and whether it came to its end."""

    schema: int = SCHEMA
    name: str  # of the folder under results/
    profile: str  # smoke, quick, full, or "custom"
    only: list[str]  # suites, or families of points and jobs of speed and network, asked for; empty: all
    argv: list[str]  # what was typed, to type again
    started_at: str  # UTC, ISO 8601
    finished_at: str  # empty while the run goes on
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False
    seed: int  # of the grid's interleaved order
    rounds: dict[str, int]  # finished rounds per suite
    hosts: dict[str, Machine] = {}  # by name, if several machines measured; `machine` is then the first one
    finished: bool  # False: interrupted, or still going on
    failures: list[str] = []  # measurements that left nothing, or failed their checks, one line each
