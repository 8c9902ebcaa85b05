"""The points `peer/...` of the suite `speed`: the same load on our ensemble and on systems that others built.

They are measured in the same rounds, so a ratio is one within a round.  A JVM runs its hot code compiled only
after seconds of load, so it is warmed for longer; where a system is not installed its points are left out
(`command.within`).
"""

from collections.abc import Iterable

import msgspec

from lab.bench.limits import target_settings
from lab.bench.point import Point, Timing, point_of
from lab.bench.record import Settings

PEER_TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(2.0, 0.7), "full": Timing(5.0, 1.0)}
JVM_WARMUPS = {"smoke": 2.0, "quick": 10.0, "full": 10.0}  # some ten seconds until hot code runs compiled
PEER_ROUNDS = {"smoke": 1, "quick": 3, "full": 10}

SYNC_LIMIT_TICKS, INIT_LIMIT_TICKS = (
    100,
    200,
)  # 10 and 20 s, as deployments have: ZooKeeper drops who owes an ack longer

TARGETS = ("own", "zookeeper")
WRITES = ((4, 256), (1, 64), (1, 1))  # clients, outstanding of each; all at the leader
READS = (2, 128)  # at all servers


def peer_points(profile: str) -> tuple[Point, ...]:
    loads = WRITES[:1] if profile == "smoke" else WRITES
    return tuple(point for target in TARGETS for point in _of_target(profile, target, loads))


def _of_target(profile: str, target: str, writes: Iterable[tuple[int, int]]) -> Iterable[Point]:
    timing = PEER_TIMINGS[profile]
    usual = Settings(**target_settings(target), durability="fsync", seconds=timing.seconds,
                     sync_limit_ticks=SYNC_LIMIT_TICKS, init_limit_ticks=INIT_LIMIT_TICKS,
                     warmup=timing.warmup if target == "own" else JVM_WARMUPS[profile])  # fmt: skip
    for clients, outstanding in writes:
        settings = msgspec.structs.replace(usual, clients=clients, outstanding=outstanding)
        yield _point(profile, f"peer/{target}/writes/{clients}x{outstanding}", settings)
    if profile != "smoke":
        clients, outstanding = READS
        settings = msgspec.structs.replace(usual, reads=1.0, clients=clients, outstanding=outstanding, attach="all")
        yield _point(profile, f"peer/{target}/reads/{clients}x{outstanding}", settings)


def _point(profile: str, name: str, settings: Settings) -> Point:
    return point_of(name, "speed", settings, PEER_ROUNDS[profile])
