"""The points `knob/relays/...` of the suite `speed`: observers served by the leader, or by followers in its place."""

import msgspec

from lab.bench.knob_grid import KNOB_ROUNDS, KNOB_TIMINGS
from lab.bench.point import Point, Shape, point_of, settings_of, shape_text

RELAYS: dict[str, dict[Shape, tuple[int, ...]]] = {
    "smoke": {(3, 4): (0, 2)},
    "quick": {(3, 4): (0, 1, 2)},
    "full": {(3, 4): (0, 1, 2), (5, 8): (0, 1, 2, 4)},
}


def relay_points(profile: str) -> tuple[Point, ...]:
    """One client at the leader, so that nobody but the leader has anything else to send."""
    return tuple(
        _point(profile, shape, relays) for shape, several in RELAYS[profile].items() for relays in several
    )  # fmt: skip


def _point(profile: str, shape: Shape, relays: int) -> Point:
    usual = settings_of(shape, KNOB_TIMINGS[profile], durability="buffered", outstanding=256)
    settings = msgspec.structs.replace(usual, relays=relays)
    return point_of(f"knob/relays/{shape_text(shape)}/{relays}", "speed", settings, KNOB_ROUNDS[profile])
