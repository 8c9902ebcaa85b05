"""What a shaped link does to datagrams: everything here is seeded and told the time, so nothing is left to luck."""

import math
from collections.abc import Callable, Iterable
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.faults import (
    AnyDelay,
    Constant,
    Empirical,
    LogNormal,
    Normal,
    Shape,
    Uniform,
)
from lab.transport.shaping import END, MS, UNDER_WAY_BYTES_MAX, Shaper, drawer_of, link_random, shaper_for

FAR = 10**15  # later than anything is due


def shaper(seed: int = 1, **shape: object) -> Shaper:
    return Shaper(Shape(**shape), Random(seed))  # type: ignore[arg-type]


def numbered(n: int, size: int = 4) -> list[bytes]:
    return [number.to_bytes(size, "big") for number in range(n)]


def push_all(link: Shaper, datagrams: Iterable[bytes], every: int = 0, start: int = 0) -> None:
    for place, datagram in enumerate(datagrams):
        link.push(datagram, start + place * every)


delays = st.one_of(
    st.builds(Constant, st.floats(0, 50)),
    st.tuples(st.floats(0, 50), st.floats(0, 50)).map(lambda two: Uniform(min(two), max(two))),
    st.builds(Normal, st.floats(0, 50), st.floats(0, 20)),
    st.builds(LogNormal, st.floats(0, 5), st.floats(0, 2), st.floats(0, 50)),
    st.lists(st.floats(0, 50), min_size=1, max_size=9).map(lambda samples: Empirical(tuple(samples))),
)
shares = st.one_of(st.just(0.0), st.floats(0, 1))


@st.composite
def shapes(draw: st.DrawFn, *, ordered: bool = False) -> Shape:
    delay = draw(st.one_of(st.none(), delays))
    return Shape(
        delay=delay,
        hold_ms=draw(st.sampled_from((0.0, 1.0, 10.0))),
        loss=draw(shares),
        duplicate=draw(shares),
        reorder=0.0 if ordered or delay is None else draw(shares),
        bytes_per_s=draw(st.one_of(st.none(), st.floats(1e4, 1e8))),
        queue_bytes=draw(st.integers(1 << 16, 1 << 18)),
        blocked=draw(st.booleans()) if draw(st.booleans()) else False,
    )


arrivals = st.lists(st.integers(0, 5 * MS), max_size=60)  # time since the datagram before


def played(link: Shaper, gaps: list[int], *, step: int = MS) -> list[tuple[int, bytes]]:
    """Datagrams pushed at these distances and taken out as time goes on: (when, which)."""
    now, out = 0, []
    for datagram, gap in zip(numbered(len(gaps), 1000), gaps, strict=True):
        while now + step <= now + gap:
            now, gap = now + step, gap - step
            out += [(now, found) for found in link.due(now)]
        now += gap
        link.push(datagram, now)
    while (due := link.next_due()) is not None:
        now = max(now, due)
        found = link.due(now)
        assert found, "next_due named a time at which nothing is due"
        out += [(now, datagram) for datagram in found]
    return out


@given(shapes(), arrivals)
def test_every_datagram_is_accounted_for(shape: Shape, gaps: list[int]) -> None:
    link = Shaper(shape, Random(1))
    out = played(link, gaps)
    assert len(out) == len(gaps) + link.duplicated - link.lost - link.overflowed
    assert len(link) == 0
    assert {datagram for _, datagram in out} <= set(numbered(len(gaps), 1000))


@given(shapes(ordered=True), arrivals)
def test_no_distribution_reorders_unless_asked(shape: Shape, gaps: list[int]) -> None:
    link = Shaper(shape, Random(1))
    order = [datagram for _, datagram in played(link, gaps)]
    assert order == sorted(order)
    assert link.reordered == 0


@given(shapes(), arrivals)
def test_a_seed_decides_everything(shape: Shape, gaps: list[int]) -> None:
    first, second = (Shaper(shape, link_random(7, "1", "2")) for _ in range(2))
    assert played(first, gaps) == played(second, gaps)


@given(shapes(), shapes(), arrivals, arrivals)
def test_a_change_loses_nothing_that_is_under_way_unless_it_blocks(
    before: Shape, after: Shape, early: list[int], late: list[int]
) -> None:
    link = Shaper(before, Random(1))
    push_all(link, numbered(len(early)), 1000)
    under_way, lost = len(link), link.lost
    link.change(after)
    assert len(link) == (0 if after.blocked else under_way)
    assert link.lost == lost + (under_way if after.blocked else 0)
    played(link, late)
    assert len(link) == 0


@given(shapes(ordered=True), shapes(ordered=True), arrivals)
def test_a_change_reorders_nothing(before: Shape, after: Shape, gaps: list[int]) -> None:
    link, half = Shaper(before, Random(1)), len(gaps)
    push_all(link, numbered(half, 8), 1000)
    link.change(after)
    push_all(link, [(half + n).to_bytes(8, "big") for n in range(half)], 1000, start=half * 1000)
    out = link.due(FAR)
    assert out == sorted(out)


@pytest.mark.parametrize(("field", "counter", "share"), [
    ("loss", "lost", 0.1), ("loss", "lost", 0.01), ("duplicate", "duplicated", 0.1),
])  # fmt: skip
def test_shares_are_met(field: str, counter: str, share: float) -> None:
    n = 40_000
    link = shaper(**{field: share})
    push_all(link, numbered(n))
    spread = math.sqrt(n * share * (1 - share))
    assert abs(getattr(link, counter) - n * share) < 4 * spread


def test_a_blocked_link_is_silent_until_it_is_not() -> None:
    link = shaper(blocked=True)
    link.push(b"a", 0)
    assert link.next_due() is None
    link.change(Shape())
    link.push(b"b", 1)
    assert (link.due(1), link.lost) == ([b"b"], 1)


def test_a_constant_delay_is_one() -> None:
    link = shaper(delay=Constant(2.5))
    link.push(b"a", 100)
    assert link.next_due() == 100 + 2_500_000
    assert link.due(100 + 2_499_999) == []
    assert link.due(100 + 2_500_000) == [b"a"]
    assert link.next_due() is None


def test_a_delay_is_held_and_then_drawn_anew() -> None:
    link = shaper(delay=Uniform(100, 200), hold_ms=10)

    def delay_at(now: int) -> int:
        link.push(b"a", now)
        due = link.next_due()
        link.due(FAR)
        return (due or 0) - now

    first = delay_at(0)
    assert (delay_at(5 * MS), delay_at(10 * MS - 1)) == (first, first)
    assert delay_at(300 * MS) != first


def test_reordered_datagrams_overtake() -> None:
    link, sent = shaper(delay=Constant(10), reorder=0.2), numbered(1000)
    push_all(link, sent, every=MS // 10)
    out = link.due(FAR)
    assert sorted(out) == sent
    overtakers = [datagram for place, datagram in enumerate(out) if min(out[place:]) < datagram]
    assert len(overtakers) == link.reordered
    assert 140 < link.reordered < 260


def test_bandwidth_takes_its_time_per_byte() -> None:
    link = shaper(bytes_per_s=1e6)
    for _ in range(3):
        link.push(bytes(1000), 0)
    assert [len(link.due(now)) for now in (MS - 1, MS, 2 * MS, 3 * MS - 1, 3 * MS)] == [0, 1, 1, 0, 1]
    link.push(bytes(500), 10 * MS)  # the bottleneck has been idle since
    assert link.next_due() == 10 * MS + MS // 2


def test_the_queue_before_the_bottleneck_drops_its_tail() -> None:
    link = shaper(bytes_per_s=1e6, queue_bytes=1 << 16)
    push_all(link, [bytes(1024)] * 70)
    assert link.overflowed == 70 - 64
    link.push(bytes(1024), 2 * MS)  # one has left meanwhile
    assert link.overflowed == 70 - 64
    assert len(link.due(FAR)) == 65


@given(shapes(), arrivals)
def test_the_end_of_a_sender_comes_behind_everything_that_it_had_sent(shape: Shape, gaps: list[int]) -> None:
    link = Shaper(shape, Random(1))
    push_all(link, numbered(len(gaps), 1000), 1000)
    link.push_end(len(gaps) * 1000)
    out = link.due(FAR)
    if shape.blocked:
        assert out == []
    else:
        assert out.index(END) == len(out) - 1, "it is the last one, and there is one"


def test_an_end_is_no_datagram_that_a_cut_loses() -> None:
    link = shaper(delay=Constant(5))
    link.push(b"a", 0)
    link.push_end(0)
    link.change(Shape(blocked=True))
    assert (len(link), link.lost) == (0, 1)


def test_what_is_under_way_is_bounded() -> None:
    link = shaper(delay=Constant(1))
    large = bytes(1 << 20)
    push_all(link, [large] * (UNDER_WAY_BYTES_MAX // len(large) + 3))
    assert link.overflowed == 3
    link.due(FAR)
    link.push(large, FAR)
    assert link.overflowed == 3


def kolmogorov(drawn: list[float], cdf: Callable[[float], float]) -> float:
    """The greatest distance between what was drawn and the distribution."""
    n = len(drawn)
    return max(
        max(abs(cdf(value) - place / n), abs(cdf(value) - (place + 1) / n)) for place, value in enumerate(sorted(drawn))
    )


NORMAL = NormalDist(3, 2)


@pytest.mark.parametrize(("delay", "cdf"), [
    (Uniform(1, 3), lambda x: (x - 1) / 2),
    (Normal(3, 2), lambda x: (NORMAL.cdf(x) - NORMAL.cdf(0)) / (1 - NORMAL.cdf(0))),
    (LogNormal(0.5, 0.8, base_ms=10), lambda x: NormalDist().cdf(math.log((x - 10) / 0.5) / 0.8)),
])  # fmt: skip
def test_delays_follow_their_distribution(delay: AnyDelay, cdf: Callable[[float], float]) -> None:
    draw, n = drawer_of(delay, Random(5)), 20_000
    assert kolmogorov([draw() / MS for _ in range(n)], cdf) < 1.63 / math.sqrt(n)  # the 1 % bound


def test_an_empirical_delay_is_one_of_its_samples() -> None:
    draw = drawer_of(Empirical((1.0, 2.0, 4.0, 4.0)), Random(5))
    drawn = [draw() / MS for _ in range(8_000)]
    assert set(drawn) == {1.0, 2.0, 4.0}
    assert abs(drawn.count(4.0) - 4_000) < 180
    assert abs(drawn.count(1.0) - 2_000) < 160


@given(delays)
def test_no_delay_is_below_0(delay: AnyDelay) -> None:
    draw = drawer_of(delay, Random(3))
    assert min(draw() for _ in range(50)) >= 0


@pytest.mark.parametrize("delay", [
    Constant(3), Uniform(2, 4), Normal(3, 0.5), LogNormal(1, 1, base_ms=2), Empirical((2.9, 9, 1)),
])  # fmt: skip
def test_the_typical_delay_is_the_median(delay: AnyDelay) -> None:
    draw = drawer_of(delay, Random(5))
    assert sorted(draw() / MS for _ in range(4_001))[2_000] == pytest.approx(delay.typical_ms, rel=0.05)


def test_what_does_nothing_has_no_shaper() -> None:
    assert shaper_for(None, 1, "server 1", "server 2") is None
    assert shaper_for(Shape(), 1, "server 1", "server 2") is None
    assert shaper_for(Shape(queue_bytes=1 << 20), 1, "server 1", "server 2") is None
    for shape in (Shape(loss=0.1), Shape(delay=Constant(1)), Shape(blocked=True), Shape(bytes_per_s=1e6)):
        assert shaper_for(shape, 1, "server 1", "server 2") is not None


def test_every_direction_of_every_link_has_its_own_chance() -> None:
    draws = {
        link_random(seed, source, target).random()
        for seed in (1, 2)
        for source, target in (("server 1", "server 2"), ("server 2", "server 1"), ("client 1", "server 2"))
    }
    assert len(draws) == 6
