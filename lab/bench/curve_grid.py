"""The points `curve/...` of the suite `speed`: what writes wait at a rate that is offered whatever the system does.

Poisson arrivals of one load process at the leader, from a tenth of what the configuration commits in a closed loop to
just about all of it (2 cores).  The bars of the same configurations are the closed loop beside them.
"""

from lab.bench.point import Point, Shape, Timing, point_of, settings_of, shape_text

CURVE_TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(1.0, 0.5), "full": Timing(3.0, 1.0)}
CURVE_ROUNDS = {"smoke": 1, "quick": 3, "full": 4}

CURVES: dict[tuple[Shape, str], tuple[int, ...]] = {  # thousands of writes/s
    ((3, 0), "buffered"): (10, 40, 80, 130, 180, 220, 260),
    ((3, 0), "fsync"): (5, 40, 80, 120),
    ((5, 0), "buffered"): (10, 80, 140, 200),
}
SMOKE = (10, 80)


def curve_points(profile: str) -> tuple[Point, ...]:
    return tuple(
        _curve(profile, shape, durability, thousands)
        for (shape, durability), rates in CURVES.items()
        if profile != "smoke" or (shape, durability) == ((3, 0), "buffered")
        for thousands in (SMOKE if profile == "smoke" else rates)
    )


def _curve(profile: str, shape: Shape, durability: str, thousands: int) -> Point:
    settings = settings_of(
        shape, CURVE_TIMINGS[profile], durability=durability, rate=1000.0 * thousands, arrivals="poisson"
    )
    name = f"curve/{shape_text(shape)}/{durability}/{thousands}k"
    return point_of(name, "speed", settings, CURVE_ROUNDS[profile])
