"""What `bench` measures: the grid of points, as data, and what a point takes in time.

The suites that compare ensembles are here; `speed` is in `lab/bench/speed_grid.py`, `network` in `network_grid.py`.
"""

import functools
from collections.abc import Collection, Sequence

from lab.bench.network_grid import NETWORK_BUDGETS_S, NETWORK_ROUNDS_LEAST, network_jobs, network_points
from lab.bench.networks import network_of_settings, sites_of
from lab.bench.point import (
    BY_NAME,
    PROFILES,
    SUITES,
    Job,
    Point,
    Profile,
    Shape,
    Timing,
    point_of,
    settings_of,
    shape_text,
)
from lab.bench.record import Settings
from lab.bench.speed_grid import SPEED_BUDGETS_S, SPEED_ROUNDS_LEAST, speed_jobs, speed_points

ROUNDS_LEAST = 3  # outside smoke: fewer say nothing about the spread between processes

FIVE: tuple[Shape, ...] = ((3, 0), (3, 2), (5, 0), (3, 4), (7, 0))
CPU_SHARE = 0.1  # of one CPU per server: seven servers and their clients fit on two cores
# Outstanding operations at each attached server of the budgeted points.  Servers that may run for 1 ms in 10 ms must
# find work waiting then; with little of it they spend their share on waking up.  k reads/s at 3+0, 3+2, 3+4, 7+0:
# 16: 83 206 181 191, 64: 187 410 477 324, 256: 315 530 630 560, 512: 445 710 825 990 (one client, below half a CPU).
DEPTH_PER_SERVER = 512
# What crosses a network, about, while an ensemble starts and ends, and from a fault until everybody serves again.
ROUND_TRIPS_UP, ROUND_TRIPS_OUTAGE = 15, 12


TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(1.0, 0.5), "full": Timing(3.0, 1.0)}
BUDGETED_TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(0.6, 0.3), "full": Timing(2.0, 0.5)}  # many operations
BUDGETS_S = {"smoke": 45.0, "quick": 360.0, "full": 3 * 3600.0}


def write_throughput(shape: Shape, durability: str, timing: Timing, rounds: int) -> Point:
    """As many writes as the ensemble takes: one client at the leader, 256 outstanding."""
    settings = settings_of(shape, timing, durability=durability, outstanding=256)
    return point_of(f"write-throughput/{shape_text(shape)}/{durability}", "write-latency", settings, rounds)


def write_latency(shape: Shape, durability: str, attach: str, timing: Timing, rounds: int) -> Point:
    """One write at a time through a server of that role."""
    settings = settings_of(shape, timing, durability=durability, outstanding=1, attach=attach)
    return point_of(f"write-latency/{shape_text(shape)}/{durability}/{attach}", "write-latency", settings, rounds)


def reads(shape: Shape, timing: Timing, rounds: int) -> Point:
    """Reads only, from every server, each held to its share of a CPU."""
    return point_of(f"reads/{shape_text(shape)}", "read-scaling", _budgeted(shape, 1.0, timing), rounds)


def mix(shape: Shape, ratio: float, timing: Timing, rounds: int) -> Point:
    """Reads and writes through every server, each held to its share of a CPU."""
    return point_of(f"mix/{shape_text(shape)}/{ratio:g}", "read-scaling", _budgeted(shape, ratio, timing), rounds)


def election(shape: Shape, fault: str, values: int, rounds: int) -> Point:
    """Failovers of one ensemble under one write outstanding; a value is one outage."""
    settings = Settings(
        voters=shape[0], observers=shape[1], durability="fsync", outstanding=1, warmup=0.2, fault=fault, repeats=1
    )
    name = f"election/{shape_text(shape)}/{fault}"
    return Point(id=name, suite="election", settings=settings, rounds=rounds, values=values)


def _budgeted(shape: Shape, ratio: float, timing: Timing) -> Settings:
    depth = DEPTH_PER_SERVER * sum(shape)
    return settings_of(
        shape, timing, durability="buffered", reads=ratio, outstanding=depth, attach="all", cpu_share=CPU_SHARE
    )


def smoke() -> tuple[Point, ...]:
    timing, budgeted = TIMINGS["smoke"], BUDGETED_TIMINGS["smoke"]
    return (
        *(write_throughput(shape, "buffered", timing, 1) for shape in ((3, 0), (3, 1))),
        write_latency((3, 0), "buffered", "leader", timing, 1),
        *(mix(shape, ratio, budgeted, 1) for shape in ((3, 0), (3, 1)) for ratio in (0.5, 1.0)),
        election((3, 0), "crash", 3, 1),
    )


def quick() -> tuple[Point, ...]:
    timing, budgeted = TIMINGS["quick"], BUDGETED_TIMINGS["quick"]
    return (
        *(write_throughput(shape, "buffered", timing, 6) for shape in FIVE),
        *_latency_points(timing, 6),
        *(reads(shape, budgeted, 4) for shape in FIVE),
        *(mix(shape, ratio, budgeted, 3) for shape in ((3, 0), (3, 2)) for ratio in (0.5, 0.9, 1.0)),
        *(election(shape, "crash", 20, 3) for shape in ((3, 0), (5, 0), (3, 2))),
        election((3, 0), "freeze", 8, 3),
    )


def full() -> tuple[Point, ...]:
    timing, budgeted, rounds = TIMINGS["full"], BUDGETED_TIMINGS["full"], 15
    shapes = (*FIVE, (3, 1), (3, 8), (9, 0))
    ratios = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    return (
        *(write_throughput(shape, kind, timing, rounds) for shape in shapes for kind in ("buffered", "fsync")),
        *_latency_points(timing, rounds),
        *(write_latency(shape, "buffered", "leader", timing, rounds) for shape in ((1, 0), (7, 0))),
        write_latency((3, 0), "memory", "leader", timing, rounds),
        *(reads(shape, budgeted, rounds) for shape in (*FIVE, (9, 0), (3, 6))),
        *(mix(shape, ratio, budgeted, rounds) for shape in FIVE for ratio in ratios),
        *(election(shape, "crash", 200, 20) for shape in ((3, 0), (5, 0), (3, 2), (7, 0))),
        *(election((3, 0), fault, 200, 20) for fault in ("freeze", "partition")),
    )


def _latency_points(timing: Timing, rounds: int) -> tuple[Point, ...]:
    return (
        write_latency((3, 0), "fsync", "leader", timing, rounds),
        write_latency((3, 0), "buffered", "leader", timing, rounds),
        write_latency((3, 0), "buffered", "followers", timing, rounds),
        write_latency((3, 2), "buffered", "observers", timing, rounds),
        write_latency((5, 0), "buffered", "leader", timing, rounds),
    )


def profile(name: str, only: Collection[str] = ()) -> Profile:
    """The profile, or what it holds of what was asked for; by default only `full` measures `speed` and `network`.

    `only` are suites, or families of points and jobs: `speed/bar` are `bar/...` of the suite speed, with the jobs
    beside them.  A profile may hold nothing of what was asked for.
    """
    wanted = only or (SUITES if name == "full" else tuple(suite for suite in SUITES if suite not in BY_NAME))
    parts = [
        part
        for part in (_grid(name), _speed(name), _network(name))
        if any(is_asked(point, wanted) for point in part.points) or any(is_asked(job, wanted) for job in part.jobs)
    ]
    points = tuple(point for part in parts for point in part.points if is_asked(point, wanted))
    jobs = tuple(job for part in parts for job in _jobs(part, wanted))
    return Profile(
        name=name,
        budget_s=sum(part.budget_s * _share(part, wanted) for part in parts),
        rounds_least=max((part.rounds_least for part in parts), default=1),
        rounds_most=1 if name == "smoke" else None,
        points=points,
        jobs=jobs,
    )


def _jobs(part: Profile, wanted: Collection[str]) -> list[Job]:
    """Those that were asked for, or stand beside a point that was."""
    beside = {point.id for point in part.points if is_asked(point, wanted)}
    return [job for job in part.jobs if is_asked(job, wanted) or job.beside in beside]


def is_asked(step: Point | Job, wanted: Collection[str]) -> bool:
    return step.suite in wanted or family_of(step) in wanted


def family_of(step: Point | Job) -> str:
    """`speed/bar` of the point `bar/...` of the suite `speed`."""
    return f"{step.suite}/{step.id.partition('/')[0]}"


def families() -> list[str]:
    """Those of `speed` and `network`, of points and of jobs: the other suites are families already."""
    parts = [part(name) for name in PROFILES for part in (_speed, _network)]
    points = {family_of(point) for part in parts for point in part.points}
    return sorted(points | {family_of(job) for part in parts for job in part.jobs})


def _grid(name: str) -> Profile:
    points = {"smoke": smoke, "quick": quick, "full": full}[name]()
    least = 1 if name == "smoke" else ROUNDS_LEAST
    return Profile(name=name, budget_s=BUDGETS_S[name], rounds_least=least, rounds_most=None, points=points)


def _speed(name: str) -> Profile:
    return Profile(
        name=name, budget_s=SPEED_BUDGETS_S[name], rounds_least=SPEED_ROUNDS_LEAST[name], rounds_most=None,
        points=speed_points(name), jobs=speed_jobs(name),
    )  # fmt: skip


def _network(name: str) -> Profile:
    return Profile(
        name=name, budget_s=NETWORK_BUDGETS_S[name], rounds_least=NETWORK_ROUNDS_LEAST[name], rounds_most=None,
        points=network_points(name), jobs=network_jobs(name),
    )  # fmt: skip


def _share(part: Profile, wanted: Collection[str]) -> float:
    """Of the part's budget: as much as what was chosen takes of its plan."""
    chosen = [point for point in part.points if is_asked(point, wanted)]
    return planned_s(chosen, _jobs(part, wanted)) / planned_s(part.points, part.jobs)


def planned_s(points: Sequence[Point], jobs: Sequence[Job] = ()) -> float:
    measured_s = sum(estimate_s(point, point.values_in(round_)) for point in points for round_ in range(point.rounds))
    return measured_s + sum(job.seconds * job.rounds for job in jobs)


def find_point(name: str) -> Point | None:
    """The point of that id: from `quick` where both know it, so that a point run by itself takes seconds."""
    known = (point for name_ in ("quick", "full", "smoke") for point in profile(name_, SUITES).points)
    return next((point for point in known if point.id == name), None)


def ids_of(suite: str) -> list[str]:
    """Of all points of the suite, whatever the profile."""
    return sorted({point.id for name in PROFILES for point in profile(name, (suite,)).points})


def estimate_s(point: Point, values: int) -> float:
    """Seconds that one pyperf run of the point takes on two cores; a first guess, corrected while measuring."""
    servers = point.settings.voters + point.settings.observers
    overhead, round_trip_s = 0.6, longest_round_trip_s(point.settings)  # interpreters, pyperf
    up_s = 0.15 + 0.06 * servers if point.settings.target == "own" else 2.0 + 0.3 * servers  # and down again
    up_s += ROUND_TRIPS_UP * round_trip_s
    if point.settings.fault is not None:
        outage = 0.45 if point.settings.fault == "crash" else 1.2  # and until everybody serves again
        outage += ROUND_TRIPS_OUTAGE * round_trip_s
        return overhead + up_s + values * outage
    load_s = point.settings.warmup + point.settings.seconds
    if point.settings.target != "own":
        return overhead + values * (up_s + load_s * 1.2)
    many = 2.0 if point.settings.reads == 1.0 else 0.5
    verification = many if point.settings.outstanding > 1 else 0.1
    return overhead + values * (up_s + load_s * (1 + verification))


@functools.cache  # a plan asks for every round of every point
def longest_round_trip_s(settings: Settings) -> float:
    """Between any two processes of it; 0 without a network."""
    network, places = network_of_settings(settings), set(sites_of(settings).values())
    if network is None:
        return 0.0
    return max(network.rtt_ms(one, other) for one in places for other in places) / 1e3
