"""The points of the suite `speed`: how fast the lab is, against bars, floors and a reference measured beside it.

Every section is a function from the profile's name to its points, with ids `bar/...`, `knob/...`, `curve/...`,
`budget/...`, `floor/...`, `anatomy/...`, `peer/...`.  All sections together have a good minute in `smoke`, in one
round, and 24 minutes in `quick`.
"""

from lab.bench.anatomy_grid import anatomy_points
from lab.bench.curve_grid import curve_points
from lab.bench.knob_grid import knob_points
from lab.bench.peer_grid import peer_points
from lab.bench.point import Job, Point, Shape, Timing, point_of, settings_of, shape_text
from lab.bench.record import Settings
from lab.bench.relay_grid import relay_points

SPEED_BUDGETS_S = {"smoke": 97.0, "quick": 1440.0, "full": 2 * 3600.0 + 160.0}
SPEED_ROUNDS_LEAST = {"smoke": 1, "quick": 5, "full": 5}  # medians of at least five, outside smoke

BAR_TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(2.0, 0.7), "full": Timing(3.0, 1.0)}
NULL_TIMINGS = {"smoke": Timing(0.3, 0.2), "quick": Timing(1.0, 0.5), "full": Timing(2.0, 0.5)}
BAR_ROUNDS = {"smoke": 1, "quick": 5, "full": 15}
# name, znodes, writes/s, seconds of them without a snapshot, rounds, about how many seconds each
TREES = {
    "smoke": (("10k", 10_000, 2_000, 1.0, 1, 7.0),),
    "quick": (("100k", 100_000, 20_000, 4.0, 1, 22.0), ("1m", 1_000_000, 20_000, 5.0, 3, 60.0)),
    "full": (("100k", 100_000, 20_000, 4.0, 5, 22.0), ("1m", 1_000_000, 20_000, 5.0, 5, 70.0)),
}
FLOODS: dict[str, tuple[tuple[int, float], ...]] = {  # rounds, seconds of each
    "smoke": (), "quick": ((1, 20.0),), "full": ((5, 20.0),),
}  # fmt: skip
OUTAGES = {"smoke": 3, "quick": 100, "full": 400}

GROWN: tuple[Shape, ...] = ((3, 0), (3, 2), (3, 4), (5, 0), (7, 0))  # what a server more costs a write


def speed_points(profile: str) -> tuple[Point, ...]:
    return (
        *bars(profile), *null_servers(profile), *knob_points(profile), *relay_points(profile), *curve_points(profile),
        *budgets(profile), *anatomy_points(profile), *peer_points(profile),
    )  # fmt: skip


def speed_jobs(profile: str) -> tuple[Job, ...]:
    """What is measured in the same rounds and is no trial."""
    return (parts(profile), *floors(profile), *large_trees(profile), *strangers(profile))


# -- jobs


def parts(profile: str) -> Job:
    """What each part of a server costs in CPU: one process of each in a round, in `smoke` of whole turns only."""
    some, seconds = (("--only", "turn/"), 3.0) if profile == "smoke" else ((), 15.0)
    return Job(
        id="micro", suite="speed", module="lab.bench.micro", arguments=("--processes", "1", "--quiet", *some),
        rounds=BAR_ROUNDS[profile], seconds=seconds,
    )  # fmt: skip


def large_trees(profile: str) -> tuple[Job, ...]:
    """Starts, bytes a znode, and snapshots under load, with few znodes and with many."""
    return tuple(
        Job(
            id=f"tree/{name}", suite="speed", module="lab.bench.large_tree",
            arguments=(str(znodes), str(rate), str(without_s)), rounds=rounds, seconds=seconds,
        )
        for name, znodes, rate, without_s, rounds, seconds in TREES[profile]
    )  # fmt: skip


def strangers(profile: str) -> tuple[Job, ...]:
    """A flood of datagrams at the leader's port."""
    return tuple(
        Job(id="flood", suite="speed", module="lab.bench.flood", rounds=rounds, seconds=seconds)
        for rounds, seconds in FLOODS[profile]
    )


# -- bars: the rows of the table


def bars(profile: str) -> tuple[Point, ...]:
    return (
        *(_writes(profile, (3, 0), "fsync", outstanding) for outstanding in (1024, 64)),
        *(_writes(profile, shape, "buffered", 256) for shape in GROWN),
        _writes(profile, (3, 0), "buffered", 1),
        _through_all(profile, "bar/reads/3+0/256", reads=1.0, clients=2, outstanding=128),
        _through_all(profile, "bar/mix/3+0/256", reads=0.9, clients=1, outstanding=256),
        _outage(profile),
    )


def _writes(profile: str, shape: Shape, durability: str, outstanding: int) -> Point:
    """One client at the leader."""
    settings = settings_of(shape, BAR_TIMINGS[profile], durability=durability, outstanding=outstanding)
    return _bar(profile, f"bar/writes/{shape_text(shape)}/{durability}/{outstanding}", settings)


def _through_all(profile: str, name: str, *, reads: float, clients: int, outstanding: int) -> Point:
    """Clients with a session to every server; `outstanding` is each client's."""
    settings = settings_of(
        (3, 0), BAR_TIMINGS[profile], durability="buffered", reads=reads, clients=clients, outstanding=outstanding,
        attach="all",
    )  # fmt: skip
    return _bar(profile, name, settings)


def _outage(profile: str) -> Point:
    """SIGKILL of the leader under one write outstanding; a value is one outage."""
    settings = Settings(voters=3, durability="fsync", outstanding=1, warmup=0.2, fault="crash", repeats=1)
    rounds = BAR_ROUNDS[profile]
    return Point(id="bar/outage/3+0/crash", suite="speed", settings=settings, rounds=rounds, values=OUTAGES[profile])


def _bar(profile: str, name: str, settings: Settings) -> Point:
    return point_of(name, "speed", settings, BAR_ROUNDS[profile])


# -- floors: what the machine and the parts cost alone


def null_servers(profile: str) -> tuple[Point, ...]:
    """The load process against a server that answers at once: what the load, the links and the codec cost."""
    return (
        *(_null(profile, f"floor/null/writes/{outstanding}", outstanding, 0.0) for outstanding in (256, 1)),
        _null(profile, "floor/null/reads/256", 256, 1.0),
    )


def _null(profile: str, name: str, outstanding: int, reads: float) -> Point:
    settings = settings_of(
        (1, 0), NULL_TIMINGS[profile], target="null", durability="memory", outstanding=outstanding, reads=reads
    )
    return _bar(profile, name, settings)


def floors(profile: str) -> tuple[Job, ...]:
    """The doorbell right beside single writes, whose bar is stated in hops."""
    beside = {"hop": "bar/writes/3+0/buffered/1", "disk": "bar/writes/3+0/fsync/64"}
    seconds = {"hop": 1.5, "disk": 2.0, "ring": 1.6, "codec": 1.0, "datagrams": 3.0, "window": 4.0, "strangers": 1.0}
    return tuple(
        Job(
            id=f"floor/{name}", suite="speed", module="lab.bench.floors", arguments=(name,),
            rounds=BAR_ROUNDS[profile], seconds=seconds[name], beside=beside.get(name, ""),
        )
        for name in seconds
    )  # fmt: skip


# -- hooks for the sections beside the table


def budgets(profile: str) -> tuple[Point, ...]:  # noqa: ARG001 (none yet)
    """What a write costs the leader in CPU and bytes, by voters and observers: `budget/...`."""
    return ()
