"""Another host's clock: the truth lies within the stated uncertainty, whatever the network did."""

from hypothesis import given
from hypothesis import strategies as st

from lab.cluster.clocks import DRIFT_PPM, RemoteClock

MS = 1_000_000
delays = st.integers(0, 50 * MS)


def clock_of(offset: int, ways: list[tuple[int, int]], drift_ppm: int = 0) -> RemoteClock:
    """Samples a second apart of a clock that shows `offset` more and drifts, by ways there and back of that length."""
    clock = RemoteClock()
    for second, (there, back) in enumerate(ways):
        asked = second * 1000 * MS
        clock.add(asked, shown(asked + there, offset, drift_ppm), asked + there + back)
    return clock


def shown(ours: int, offset: int, drift_ppm: int) -> int:
    return ours + offset + ours * drift_ppm // 1_000_000


@given(
    offset=st.integers(-(10**15), 10**15),
    ways=st.lists(st.tuples(delays, delays), min_size=1, max_size=20),
    at_ms=st.integers(0, 20_000),
    drift_ppm=st.integers(-DRIFT_PPM, DRIFT_PPM),
)
def test_a_moment_is_known_to_its_uncertainty(offset, ways, at_ms, drift_ppm) -> None:
    clock = clock_of(offset, ways, drift_ppm)
    theirs = shown(at_ms * MS, offset, drift_ppm)
    assert abs(clock.ours(theirs) - at_ms * MS) <= clock.uncertainty_ns(theirs) + 2  # two roundings


def test_the_shortest_round_trip_near_by_decides() -> None:
    """One way of 20 ms says little; what was asked within 0.2 ms says it to 0.1 ms, and a second later to 0.2 ms."""
    clock = clock_of(7_000 * MS, [(20 * MS, 0), (MS // 10, MS // 10), (0, 30 * MS)])
    assert clock.offset_ns() == 7_000 * MS
    at = 1_000 * MS + 7_000 * MS + MS // 10
    assert clock.uncertainty_ns(at) == MS // 10
    assert clock.uncertainty_ns(at + 1_000 * MS) == MS // 10 + 1_000 * MS * DRIFT_PPM // 1_000_000
