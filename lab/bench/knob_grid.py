"""The points `knob/...` of the suite `speed`: one setting turned at the loads where it may matter, the others as usual.

Three voters and one load process at the leader, unless the knob is about that.  `knob/usual/...` are the points that
the values of all knobs are held against.
"""

from collections.abc import Iterable

from lab.bench.limits import PLACEMENTS, WAITS
from lab.bench.point import Point, Timing, point_of, settings_of
from lab.bench.record import Settings

KNOB_TIMINGS = {"smoke": Timing(0.4, 0.2), "quick": Timing(1.0, 0.3), "full": Timing(3.0, 1.0)}
KNOB_ROUNDS = {"smoke": 1, "quick": 3, "full": 6}

BLOCKING, PIPELINED, BATCHED = (1, 1), (0, 1), (1, 4096)  # the textbook's mode, ZooKeeper's, and batches one by one
MIXES = (0.0, 0.9)


def knob_points(profile: str) -> tuple[Point, ...]:
    loads = {"smoke": (64,), "quick": (1, 256), "full": (1, 64, 256)}[profile]
    durable = {"smoke": (64,), "quick": (1, 64, 1024), "full": (1, 64, 256, 1024)}[profile]
    return (
        *(_usual(profile, kind, load) for kind in ("buffered", "fsync") for load in durable),
        *(_usual(profile, "buffered", load) for load in sorted({*loads} - {*durable})),
        *(_turned(profile, "durability", "memory", load) for load in durable),
        *_pipelines(profile),
        *(_turned(profile, f"wait/{wait}", "buffered", load, wait=wait)
          for wait in WAITS if wait != Settings().wait for load in loads),
        *(_turned(profile, f"placement/{placement}", "buffered", load, placement=placement)
          for placement in (PLACEMENTS[1:2] if profile == "smoke" else PLACEMENTS[1:]) for load in loads),
        *(_serving(profile, serves, attach, reads) for reads in (MIXES[:1] if profile == "smoke" else MIXES)
          for serves, attach in ((True, "all"), (True, "followers"), (False, "followers"))),
    )  # fmt: skip


def _pipelines(profile: str) -> Iterable[Point]:
    """How many batches may be under way, and how long they may be; with one write outstanding that cannot matter."""
    modes = {
        "smoke": (BLOCKING,),
        "quick": (BLOCKING, PIPELINED, BATCHED, (4, 1), (0, 16)),
        "full": tuple(
            (batches, txns) for batches in (1, 2, 4, 0) for txns in (1, 16, 4096) if (batches, txns) != (0, 4096)
        ),
    }[profile]
    for durability in ("buffered",) if profile == "smoke" else ("buffered", "fsync"):
        for load in (64, 1024) if profile == "full" else (64,):
            for batches, txns in modes:
                yield _turned(profile, f"pipeline/{batches}x{txns}", durability, load, max_outstanding=batches,
                              batch_txns_max=txns)  # fmt: skip


def _usual(profile: str, durability: str, outstanding: int) -> Point:
    return _turned(profile, "usual", durability, outstanding)


def _turned(profile: str, name: str, durability: str, outstanding: int, **changes: object) -> Point:
    settings = _settings(profile, durability=durability, outstanding=outstanding, **changes)
    return _point(profile, f"knob/{name}/{durability}/{outstanding}", settings)


def _serving(profile: str, serves: bool, attach: str, reads: float) -> Point:
    """Clients at all servers, or at the followers only, whose leader is ready for clients or not."""
    settings = _settings(
        profile, durability="buffered", outstanding=256, attach=attach, reads=reads, leader_serves=serves
    )
    return _point(profile, f"knob/leader-serves/{'yes' if serves else 'no'}/{attach}/{reads:g}", settings)


def _settings(profile: str, **changes: object) -> Settings:
    return settings_of((3, 0), KNOB_TIMINGS[profile], **changes)


def _point(profile: str, name: str, settings: Settings) -> Point:
    return point_of(name, "speed", settings, KNOB_ROUNDS[profile])
