"""Quorums: majorities of servers, of weights, and of groups (zab.md 1.1)."""

from collections.abc import Iterable
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.zab.config import ZabConfig
from lab.zab.quorum import Majority, Quorum, quorum_of

NINE = tuple(range(1, 10))
THREE_OF_THREE = ZabConfig(voters=NINE, groups=((1, 2, 3), (4, 5, 6), (7, 8, 9)))


def subsets(voters: Iterable[int]) -> list[frozenset[int]]:
    members = list(voters)
    return [frozenset(s) for s in chain.from_iterable(combinations(members, n) for n in range(len(members) + 1))]


def brute_force_frontier(quorum: Quorum, acked: dict[int, int]) -> int:
    """By definition: the greatest of the zxids that a quorum has reached."""
    return max(z for z in acked.values() if quorum.contains([peer for peer in acked if acked[peer] >= z]))


@st.composite
def ensembles(draw: st.DrawFn) -> ZabConfig:
    """Up to six voters, plain, weighted, in groups, or both."""
    voters = tuple(range(1, draw(st.integers(1, 6)) + 1))
    weights = draw(st.just(()) | st.lists(st.integers(0, 4), min_size=len(voters), max_size=len(voters)).filter(any))
    home = draw(st.none() | st.lists(st.integers(0, 2), min_size=len(voters), max_size=len(voters)))
    groups = () if home is None else (tuple(v for v in voters if home[v - 1] == group) for group in range(3))
    return ZabConfig(voters=voters, weights=tuple(weights), groups=tuple(groups))


@pytest.mark.parametrize(
    ("members", "voters", "quorum"),
    [
        ({1, 2}, 3, True),
        ({1}, 3, False),
        ({1, 2}, 4, False),  # half is no majority
        ({1, 2, 3}, 4, True),
        ({1, 2, 3}, 6, False),  # P3
        ({1, 8, 9}, 3, False),  # strangers do not count (INV-16)
        ([1, 1, 1], 3, False),  # nobody counts twice
        ({1}, 1, True),
    ],
)
@pytest.mark.covers("S101", "S102")
def test_strict_majority_of_voters(members: set[int], voters: int, quorum: bool):
    assert Majority(range(1, voters + 1)).contains(members) is quorum


@pytest.mark.parametrize(("voters", "least"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (9, 5)])
@pytest.mark.covers("S101")
def test_size_of_a_majority(voters: int, least: int):
    quorum = Majority(range(voters))
    assert [quorum.contains(range(n)) for n in range(voters + 1)] == [False] * least + [True] * (voters + 1 - least)


@pytest.mark.parametrize(
    ("weights", "members", "quorum"),
    [
        ((2, 1, 1), {1}, False),  # half of the weight is no majority
        ((2, 1, 1), {1, 2}, True),
        ((2, 1, 1), {2, 3}, False),
        ((3, 1, 1), {1}, True),
        ((1, 1, 0), {1, 3}, False),  # no weight, no vote
        ((1, 1, 0), {1, 2}, True),
    ],
)
def test_majority_of_weights(weights: tuple[int, ...], members: set[int], quorum: bool):
    assert quorum_of(ZabConfig(voters=(1, 2, 3), weights=weights)).contains(members) is quorum


@pytest.mark.parametrize(
    ("lost", "quorum"),
    [
        ({1, 2, 3}, True),  # a whole group
        ({1, 2, 3, 4}, True),  # P7: and one server of another
        ({1, 2, 3, 4, 7}, True),  # and one of the third: 4 of 9 decide
        ({1, 2, 3, 4, 5}, False),  # two of another group: one group of three is left
        ({1, 2, 4, 5}, False),  # most of two groups, although 5 of 9 are up
        (set(), True),
    ],
)
@pytest.mark.covers("P7")
def test_three_groups_of_three(lost: set[int], quorum: bool):
    assert quorum_of(THREE_OF_THREE).contains(set(NINE) - lost) is quorum


def test_groups_without_weight_are_no_groups():
    quorum = quorum_of(ZabConfig(voters=(1, 2, 3), weights=(1, 0, 0), groups=((1,), (2,), (3,))))
    assert quorum.contains({1})
    assert not quorum.contains({2, 3})
    assert quorum.electors == (1,)


def test_one_group_of_equal_weights_is_a_plain_majority():
    plain, weighted = Majority(NINE), quorum_of(ZabConfig(voters=NINE, weights=(2,) * 9))
    assert all(plain.contains(members) is weighted.contains(members) for members in subsets(NINE))


@pytest.mark.covers("S101")
@given(ensembles())
def test_any_two_quorums_intersect(config: ZabConfig):
    quorum = quorum_of(config)
    deciding = [members for members in subsets(config.voters) if quorum.contains(members)]
    assert frozenset(config.voters) in deciding
    assert all(a & b for a, b in combinations(deciding, 2))
    assert frozenset() not in deciding


@given(ensembles())
def test_more_members_never_decide_less(config: ZabConfig):
    quorum = quorum_of(config)
    for members in subsets(config.voters):
        if quorum.contains(members):
            assert all(quorum.contains(members | {other}) for other in config.voters)


@given(ensembles())
def test_electors_are_the_voters_whose_presence_can_matter(config: ZabConfig):
    quorum = quorum_of(config)
    for voter in set(config.voters) - set(quorum.electors):
        assert all(quorum.contains(m) is quorum.contains(m - {voter}) for m in subsets(config.voters))


@pytest.mark.parametrize(
    ("counters", "frontier"),
    [
        ((5, 0, 0), 0),  # the leader alone decides nothing
        ((5, 3, 4), 4),  # a laggard does not hold the others back
        ((5, 5, 0, 0), 0),  # two of four is not a majority
        ((5, 5, 3, 0), 3),
        ((7,), 7),
        ((7, 2), 2),
    ],
)
def test_frontier_of_a_majority(counters: tuple[int, ...], frontier: int):
    assert Majority(range(len(counters))).frontier(dict(enumerate(counters))) == frontier


@given(ensembles(), st.lists(st.integers(0, 20), min_size=6, max_size=6))
def test_frontier_is_the_greatest_zxid_with_a_quorum(config: ZabConfig, counters: list[int]):
    quorum, acked = quorum_of(config), dict(zip(config.voters, counters, strict=False))
    assert quorum.frontier(acked) == brute_force_frontier(quorum, acked)
