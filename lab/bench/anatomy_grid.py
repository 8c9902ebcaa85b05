"""The points `anatomy/...` of the suite `speed`: where a write's time goes, under the loads whose answers differ.

Servers mark sampled writes in them, which costs something: their speed is not that of the other points.
"""

from lab.bench.point import Point, Timing, point_of, settings_of

ANATOMY_TIMINGS = {"smoke": Timing(0.4, 0.2), "quick": Timing(1.0, 0.3), "full": Timing(3.0, 1.0)}
ANATOMY_ROUNDS = {"smoke": 1, "quick": 3, "full": 6}

LOADS = (("buffered", 1), ("fsync", 1), ("buffered", 256))  # durability, outstanding


def anatomy_points(profile: str) -> tuple[Point, ...]:
    """Three voters, one load process; its session is the leader's, or one at each follower."""
    attachments = ("leader",) if profile == "smoke" else ("leader", "followers")
    return tuple(_point(profile, *load, attach) for attach in attachments for load in LOADS)


def _point(profile: str, durability: str, outstanding: int, attach: str) -> Point:
    settings = settings_of(
        (3, 0), ANATOMY_TIMINGS[profile], durability=durability, outstanding=outstanding, attach=attach, anatomy=True
    )
    name = f"anatomy/3+0/{durability}/{outstanding}/{attach}"
    return point_of(name, "speed", settings, ANATOMY_ROUNDS[profile])
