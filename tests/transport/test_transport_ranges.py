"""Numbers that have arrived: each is new once, and what is told of them is true."""

from hypothesis import given
from hypothesis import strategies as st

from lab.transport.datagram import (
    ACK_BYTES_MAX,
    HEADER_BYTES,
    RANGES_MAX,
    pack_ranges,
    unpack_ranges,
)
from lab.transport.ranges import ReceivedNumbers

NUMBERS = st.one_of(st.integers(1, 30), st.integers(1, 1_000))
STEPS = st.lists(st.tuples(st.sampled_from(("add", "add", "add", "floor")), NUMBERS), max_size=300)


@given(steps=STEPS)
def test_a_number_is_new_once_and_none_is_claimed_that_did_not_arrive(steps: list[tuple[str, int]]) -> None:
    received = ReceivedNumbers()
    arrived, floor = {0}, 0
    for step, number in steps:
        if step == "floor":
            received.raise_floor(number)
            floor = max(floor, number)
            continue
        known = received.has(number)
        assert known == (not received.add(number))
        if number in arrived:
            assert known
        elif known:  # only what is so old that nobody waits for it
            assert number < max(floor, received.ranges[0][0])
        else:
            arrived.add(number)
        told = [each for first, last in received.ranges for each in range(first, last + 1)]
        assert set(told) <= arrived
        assert received.largest == max(arrived)
        assert received.top is received.ranges[-1]
        assert all(below[1] + 1 < above[0] for below, above in zip(received.ranges, received.ranges[1:], strict=False))
        assert len(received.ranges) <= RANGES_MAX


def test_gaps_below_the_floor_are_no_gaps() -> None:
    received = ReceivedNumbers()
    for number in (1, 2, 5, 9, 10):
        received.add(number)
    assert received.ranges == [[0, 2], [5, 5], [9, 10]]
    received.raise_floor(5)
    assert received.ranges == [[5, 5], [9, 10]]
    assert not received.add(4)
    assert received.add(7)
    received.raise_floor(9)
    assert received.ranges == [[9, 10]]


def test_what_is_told_has_a_bound_and_the_newest_is_told() -> None:
    received = ReceivedNumbers()
    for number in range(2, 1_000, 2):
        received.add(number)
    assert len(received.ranges) == RANGES_MAX
    assert received.top == [998, 998]
    assert not received.add(3)  # so old that it counts as known
    assert HEADER_BYTES + len(pack_ranges(received.ranges)) <= ACK_BYTES_MAX


@given(gaps=st.lists(st.tuples(st.integers(1, 1 << 32), st.integers(1, 1 << 32)), min_size=1, max_size=80))
def test_ranges_travel(gaps: list[tuple[int, int]]) -> None:
    ranges, last = [], 0
    for missing, length in gaps:
        ranges.append([last + missing, last + missing + length - 1])
        last += missing + length
    data = bytes(HEADER_BYTES) + pack_ranges(ranges)
    told = unpack_ranges(data, ranges[-1][0])
    assert told is not None
    newest_first = [tuple(each) for each in reversed(ranges[:-1])]
    assert told == newest_first[: len(told)]
    if all(each < 1 << 32 for gap in gaps for each in gap):
        assert len(told) == min(len(ranges), RANGES_MAX) - 1


@given(first=st.integers(0, 100), behind=st.binary(max_size=600))
def test_impossible_ranges_are_none(first: int, behind: bytes) -> None:
    told = unpack_ranges(bytes(HEADER_BYTES) + behind, first)
    if told is not None:
        numbers = [first, *(number for low, high in told for number in (high, low))]
        assert numbers == sorted(numbers, reverse=True)
        assert numbers[-1] >= 0
        assert 8 * len(told) == len(behind)
