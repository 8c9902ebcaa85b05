"""The bars of the speed table, as data: what the lab set out to reach, in which words, and which record measures it.

A bar is reached if all of its limits are; a limit that offers a choice is reached if one of its ways is.
"""

import msgspec

from lab.bench.record import Settings


class Limit(msgspec.Struct, frozen=True):
    """`of`: nothing (an absolute number), the reference, the outside system, or the hops: four of them, one way each.

    Against another measurement, `factor` bounds the median of the ratios of single rounds.
    """

    of: str
    factor: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One row.  `measured_by` is a point's id, or a probe's where `figure` is "probe"."""

    title: str
    figure: str  # writes_per_s, ops_per_s, p50_us, cpu_us, outage_ms, outage_p99_ms or probe
    unit: str
    measured_by: str
    higher: bool = False  # is better
    outside: str = ""  # the point of an outside system under the same load
    hop: str = "other-core"  # placement of the hop that it is held against
    limits: tuple[tuple[Limit, ...], ...] = ()  # all of them; of each tuple one is enough
    says: str  # the bar, in a few words
    source: str = ""  # the sentence that set it


def _writes(text: str, measured_by: str, factor: float, source: str) -> Bar:
    return Bar(
        title=f"writes/s, {text}", figure="writes_per_s", unit="/s", measured_by=measured_by, higher=True,
        limits=((Limit("reference", factor),),), says=f"{factor:g} × reference", source=source,
    )  # fmt: skip


_REACH = "writes/s buffered, 256 outstanding, 3 / 5 / 7 voters: 0.6 of the prototype"
_START = "server start to serving, empty log / 1,000,000 znodes: 150 ms / 5 s"
_OUTAGE = "outage after SIGKILL of the leader, median / p99 of 100: 15 ms / 60 ms"
_SINGLE = "write p50, 1 outstanding, buffered: 1.3 of the prototype, and at most 2.5 x four one-way doorbell hops"
_HOPS = Limit("hops", 2.5)

BARS = (
    Bar(
        title="writes/s, fsync, 1,024 outstanding", figure="writes_per_s", unit="/s", higher=True,
        measured_by="bar/writes/3+0/fsync/1024", outside="peer/zookeeper/writes/4x256",
        limits=((Limit("outside", 10),), (Limit("", 180_000), Limit("reference", 0.7))),
        says="10 × ZooKeeper, and 180 k or 0.7 × reference",
        source="10 x ZooKeeper 3.8 (4x256, fsync) in the same round, and 180,000 or 0.7 of the prototype",
    ),
    Bar(
        title="writes/s, fsync, 64 outstanding", figure="writes_per_s", unit="/s", higher=True,
        measured_by="bar/writes/3+0/fsync/64", outside="peer/zookeeper/writes/1x64",
        limits=((Limit("reference", 0.8),),), says="0.8 × reference", source="0.8 of the prototype",
    ),
    Bar(
        title="CPU a write, 256 outstanding, buffered", figure="cpu_us", unit="µs",
        measured_by="bar/writes/3+0/buffered/256", limits=((Limit("", 9.0),),), says="9 µs",
        source="CPU of the whole ensemble and client per committed write, 256 outstanding, buffered: 9 us",
    ),
    _writes("buffered, 256 outstanding, 3 voters", "bar/writes/3+0/buffered/256", 0.6, _REACH),
    _writes("buffered, 256 outstanding, 5 voters", "bar/writes/5+0/buffered/256", 0.6, _REACH),
    _writes("buffered, 256 outstanding, 7 voters", "bar/writes/7+0/buffered/256", 0.6, _REACH),
    Bar(
        title="write p50, 1 outstanding, buffered", figure="p50_us", unit="µs",
        measured_by="bar/writes/3+0/buffered/1", limits=((Limit("reference", 1.3),), (_HOPS,)),
        says="1.3 × reference, and 2.5 × 4 hops between cores", source=_SINGLE,
    ),
    Bar(
        title="the same, everybody on one core", figure="p50_us", unit="µs", hop="same-core",
        measured_by="knob/placement/together/buffered/1", limits=((_HOPS,),), says="2.5 × 4 hops on one core",
        source=_SINGLE,
    ),
    Bar(
        title="the same, processes spread over the cores", figure="p50_us", unit="µs",
        measured_by="knob/placement/spread/buffered/1", limits=((_HOPS,),), says="2.5 × 4 hops between cores",
        source=_SINGLE,
    ),
    Bar(
        title="reads/s, 256 outstanding, 3 servers", figure="ops_per_s", unit="/s", higher=True,
        measured_by="bar/reads/3+0/256", outside="peer/zookeeper/reads/2x128", limits=((Limit("", 400_000),),),
        says="400 k", source="reads/s, 256 outstanding, 3 servers, 2 load processes allowed: 400,000",
    ),
    Bar(
        title="90/10 mix, operations/s, 256 outstanding", figure="ops_per_s", unit="/s", higher=True,
        measured_by="bar/mix/3+0/256", limits=((Limit("", 200_000),),), says="200 k",
        source="90/10 mix, 256 outstanding: 200,000",
    ),
    Bar(
        title="outage after SIGKILL of the leader, median", figure="outage_ms", unit="ms",
        measured_by="bar/outage/3+0/crash", limits=((Limit("", 15.0),),), says="15 ms", source=_OUTAGE,
    ),
    Bar(
        title="outage after SIGKILL of the leader, p99", figure="outage_p99_ms", unit="ms",
        measured_by="bar/outage/3+0/crash", limits=((Limit("", 60.0),),), says="60 ms", source=_OUTAGE,
    ),
    Bar(
        title="server start, empty log", figure="probe", unit="ms", measured_by="bar/start/empty",
        limits=((Limit("", 150.0),),), says="150 ms", source=_START,
    ),
    Bar(
        title="server start, 1,000,000 znodes", figure="probe", unit="ms", measured_by="bar/start/1m",
        limits=((Limit("", 5_000.0),),), says="5 s", source=_START,
    ),
    Bar(
        title="p99 while the leader snapshots 1,000,000 znodes, × without", figure="probe", unit="×",
        measured_by="bar/snapshot/1m", limits=((Limit("", 3.0),),), says="3 ×",
        source="snapshot of 1,000,000 znodes during load: p99 write latency at most 3 x the p99 without",
    ),
)  # fmt: skip


def _load(durability: str, outstanding: int, **more: object) -> Settings:
    return msgspec.structs.replace(Settings(durability=durability, outstanding=outstanding), **more)


def _zookeeper(clients: int, outstanding: int, **more: object) -> Settings:
    """Limits in ticks as deployments have them."""
    return _load("fsync", outstanding, clients=clients, target="zookeeper", transport="tcp", sync_limit_ticks=100,
                 init_limit_ticks=200, **more)  # fmt: skip


# What each point that measures a bar runs, but for FREE: under other settings it says nothing about the bar.
LOADS: dict[str, Settings] = {
    "bar/writes/3+0/fsync/1024": _load("fsync", 1024),
    "bar/writes/3+0/fsync/64": _load("fsync", 64),
    "bar/writes/3+0/buffered/256": _load("buffered", 256),
    "bar/writes/5+0/buffered/256": _load("buffered", 256, voters=5),
    "bar/writes/7+0/buffered/256": _load("buffered", 256, voters=7),
    "bar/writes/3+0/buffered/1": _load("buffered", 1),
    "knob/placement/together/buffered/1": _load("buffered", 1, placement="together"),
    "knob/placement/spread/buffered/1": _load("buffered", 1, placement="spread"),
    "bar/reads/3+0/256": _load("buffered", 128, clients=2, reads=1.0, attach="all"),
    "bar/mix/3+0/256": _load("buffered", 256, reads=0.9, attach="all"),
    "bar/outage/3+0/crash": _load("fsync", 1, fault="crash"),
    "peer/zookeeper/writes/4x256": _zookeeper(4, 256),
    "peer/zookeeper/writes/1x64": _zookeeper(1, 64),
    "peer/zookeeper/reads/2x128": _zookeeper(2, 128, reads=1.0, attach="all"),
}
FREE = ("seed", "seconds", "warmup", "repeats")  # a run's or a profile's to choose


def differing(point: str, settings: Settings) -> list[str]:
    """The settings, by name, that are not those of the bars that the point measures; none where it measures none."""
    due = LOADS.get(point, settings)
    return [field for field in Settings.__struct_fields__
            if field not in FREE and getattr(settings, field) != getattr(due, field)]  # fmt: skip
