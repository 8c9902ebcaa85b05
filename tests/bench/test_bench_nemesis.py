"""What the nemesis plans, and what it makes of an ensemble whatever the seed."""

from random import Random

import pytest

from lab.bench.nemesis import (
    BLACKOUT,
    CLIENT_KILL,
    CUT_OBSERVERS,
    CYCLE_S,
    DATAGRAM_KINDS,
    DEAF,
    FULL_DISK,
    GRACE_S,
    KINDS,
    LEADER_CRASH,
    LOSSY,
    MUTE,
    PARTITIONS,
    SLOW,
    KillClient,
    Nemesis,
    Strike,
    Stroke,
    View,
    stroke_of,
    timeline,
)
from lab.faults import Crash, Cut, FillDisk, FreeDisk, Freeze, Heal, Partition, Reshape, Restart, Thaw

SYNC_LIMIT_S = 0.5
STEP_S = 0.05
SEEDS = range(200)


class Ensemble:
    """Elects the highest voter of a majority of voters that is linked and alive, some steps after there is one."""

    def __init__(self, voters: int, observers: int, steps_to_elect: int = 6) -> None:
        self.voters, self.observers = tuple(range(1, voters + 1)), tuple(range(voters + 1, voters + observers + 1))
        self.down: set[int] = set()
        self.frozen: set[int] = set()
        self.groups: tuple[tuple[int, ...], ...] | None = None
        self.cuts: set[tuple[int, int]] = set()
        self.shapes: set[tuple[int, int]] = set()
        self.leader: int | None = voters
        self._steps, self._wait = steps_to_elect, 0

    def view(self) -> View:
        return View(self.voters, self.observers, self.leader, frozenset(self.down), frozenset(self.frozen),
                    self.groups is not None or bool(self.cuts),
                    frozenset((one, other) for one, other in self.shapes if one < other), clients=3)  # fmt: skip

    def suffer(self, blow) -> None:
        match blow:
            case Crash(server) | FillDisk(server):
                assert server not in self.down | self.frozen
                self.down.add(server)
            case Restart(server):
                self.down.discard(server)
            case FreeDisk(server):
                assert server in self.down
            case Freeze(server):
                assert server not in self.down | self.frozen
                self.frozen.add(server)
            case Thaw(server):
                self.frozen.remove(server)
            case Partition(groups):
                assert (self.groups, self.cuts) == (None, set())
                assert sorted(server for group in groups for server in group) == [*self.voters, *self.observers]
                assert all(groups)
                self.groups = groups
            case Cut(source, target):
                assert self.groups is None
                assert source != target
                self.cuts.add((source, target))
            case Reshape(source, target, shape):
                assert ((source, target) in self.shapes) == (shape is None), "a link suffers one thing at a time"
                self.shapes ^= {(source, target)}
            case Heal():
                assert self.groups is not None or self.cuts
                self.groups, self.cuts = None, set()
            case KillClient(place):
                assert place in range(3)

    def step(self) -> None:
        quorum = self._quorum()
        if self.leader in quorum:
            self._wait = 0
            return
        self.leader, self._wait = None, self._wait + 1
        if quorum and self._wait >= self._steps:
            self.leader = max(quorum)

    def _quorum(self) -> list[int]:
        one_way = {source for source, _ in self.cuts} & {target for _, target in self.cuts}
        assert one_way == set(), "no server both hears nobody and is heard by nobody"
        silent = [server for server in (*self.voters, *self.observers) if self._is_cut_off(server)]
        alive = [voter for voter in self.voters if voter not in self.down | self.frozen | set(silent)]
        groups = self.groups or ((*self.voters, *self.observers),)
        sides = [[voter for voter in alive if voter in group] for group in groups]
        return next((side for side in sides if 2 * len(side) > len(self.voters)), [])

    def _is_cut_off(self, server: int) -> bool:
        """Whether one direction to or from everybody else is cut."""
        others = {*self.voters, *self.observers} - {server}
        return any({(way[::step]) for way in ((server, other) for other in others)} <= self.cuts for step in (1, -1))


def live_through(seed: int, seconds: float, voters: int, observers: int) -> tuple[list[Stroke], list[Stroke], Nemesis]:
    """Strokes begun and ended, the rules checked at every step."""
    without = () if observers else (CUT_OBSERVERS,)
    nemesis = Nemesis(timeline(Random(seed), seconds, SYNC_LIMIT_S, without), seconds)
    ensemble, begun, ended, now_s = Ensemble(voters, observers), [], [], 0.0
    while not nemesis.is_over(now_s):
        if over := nemesis.ended(now_s):
            assert over in begun
            for repair in over.repairs:
                ensemble.suffer(repair)
            ended.append(over)
        elif stroke := nemesis.begun(now_s, ensemble.view()):
            if stroke.kind == LEADER_CRASH:
                assert stroke.blows == (Crash(ensemble.leader),)
            for blow in stroke.blows:
                ensemble.suffer(blow)
            lost = ensemble.down & set(ensemble.voters)
            blackout = any(open_.kind == BLACKOUT for open_ in [*begun[-8:], stroke] if open_ not in ended)
            assert blackout or len(lost) <= (voters - 1) // 2
            begun.append(stroke)
        else:
            now_s += STEP_S
            ensemble.step()
    for over in nemesis.rest():
        for repair in over.repairs:
            ensemble.suffer(repair)
        ended.append(over)
    left = ensemble.down | ensemble.frozen, ensemble.groups, ensemble.cuts | ensemble.shapes
    assert left == (set(), None, set()), "everything ends"
    assert sorted(map(id, begun)) == sorted(map(id, ended))
    assert now_s < seconds + GRACE_S
    return begun, ended, nemesis


@pytest.mark.parametrize(("voters", "observers"), [(3, 0), (3, 2), (4, 1), (5, 2), (7, 6)])
def test_on_any_seed_leaders_are_crashed_at_a_pace_and_everything_ends(voters: int, observers: int) -> None:
    for seed in SEEDS:
        begun, _, _ = live_through(seed, 30.0, voters, observers)
        assert sum(stroke.kind == LEADER_CRASH for stroke in begun) >= 2, seed


def test_ten_runs_of_two_minutes_crash_far_more_than_twenty_leaders() -> None:
    crashes = 0
    for seed in range(10):
        begun, _, nemesis = live_through(seed, 120.0, 3, 2)
        crashes += sum(stroke.kind == LEADER_CRASH for stroke in begun)
        assert nemesis.skipped < len(begun) / 5
    assert crashes >= 120


@pytest.mark.parametrize("seconds", [2.0, 5.0, 13.0, 61.0])
def test_a_run_of_any_length_crashes_a_leader_and_strikes_within_its_time(seconds: float) -> None:
    for seed in SEEDS:
        strikes = timeline(Random(seed), seconds, SYNC_LIMIT_S)
        assert strikes == sorted(strikes, key=lambda strike: strike.at_s)
        assert any(strike.kind == LEADER_CRASH for strike in strikes)
        assert all(strike.at_s >= 0 and strike.at_s + strike.hold_s <= seconds for strike in strikes)


def test_a_seed_is_one_plan_and_another_seed_another() -> None:
    plans = [timeline(Random(f"torture {seed}"), 60.0, SYNC_LIMIT_S) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_two_minutes_bring_every_kind_of_fault() -> None:
    for seed in range(20):
        assert {strike.kind for strike in timeline(Random(seed), 120.0, SYNC_LIMIT_S)} == set(KINDS)


def test_kinds_that_cannot_be_are_left_out() -> None:
    strikes = timeline(Random(1), 300.0, SYNC_LIMIT_S, without=(FULL_DISK, CUT_OBSERVERS))
    assert {strike.kind for strike in strikes} == set(KINDS) - {FULL_DISK, CUT_OBSERVERS}


def test_links_of_frames_suffer_what_they_always_did() -> None:
    """A plan without the kinds of datagrams is the plan of the same seed from before there were any."""
    with_links = {strike.kind for strike in timeline(Random(1), 300.0, SYNC_LIMIT_S)}
    without = timeline(Random(1), 300.0, SYNC_LIMIT_S, without=DATAGRAM_KINDS)
    assert with_links - {strike.kind for strike in without} == set(DATAGRAM_KINDS)


def test_freezes_last_shorter_and_longer_than_the_silence_that_is_noticed() -> None:
    strikes = timeline(Random(1), 300.0, SYNC_LIMIT_S)
    short = [strike.hold_s for strike in strikes if strike.kind == "short freeze"]
    long = [strike.hold_s for strike in strikes if strike.kind in ("freeze", "leader freeze")]
    assert min(short) > 0
    assert max(short) < SYNC_LIMIT_S < min(long)


def strike(kind: str, luck: float = 0.5) -> Strike:
    return Strike(0.0, kind, 1.0, luck)


WHOLE = View((1, 2, 3), (4, 5), leader=3, clients=2)


def test_nobody_else_is_lost_while_a_minority_is_down() -> None:
    without_one = View((1, 2, 3), (4, 5), leader=3, down=frozenset({1}), clients=2)
    assert stroke_of(strike(LEADER_CRASH), without_one, 0.0) is None
    assert stroke_of(strike(BLACKOUT), without_one, 0.0) is None
    for luck in range(20):
        for kind in ("crash", "restart", FULL_DISK):
            stroke = stroke_of(strike(kind, luck), without_one, 0.0)
            assert stroke is not None
            assert stroke.victims[0] in (4, 5), "an observer counts in no quorum"


def test_a_leader_that_nobody_knows_cannot_be_struck() -> None:
    electing = View((1, 2, 3), (4, 5), leader=None, clients=2)
    for kind in (LEADER_CRASH, "leader freeze", "leader isolated"):
        assert stroke_of(strike(kind), electing, 0.0) is None


def test_a_blackout_crashes_every_server_and_starts_every_server() -> None:
    stroke = stroke_of(strike(BLACKOUT), WHOLE, 5.0)
    assert stroke is not None
    assert sorted(blow.server for blow in stroke.blows if isinstance(blow, Crash)) == [1, 2, 3, 4, 5]
    assert sorted(repair.server for repair in stroke.repairs if isinstance(repair, Restart)) == [1, 2, 3, 4, 5]
    assert stroke.until_s == 6.0


def test_partitions_cut_who_their_name_says_and_one_at_a_time() -> None:
    def cut(kind: str) -> list[list[int]]:
        stroke = stroke_of(strike(kind), WHOLE, 0.0)
        assert stroke is not None
        (blow,) = stroke.blows
        assert isinstance(blow, Partition)
        assert stroke.repairs == (Heal(),)
        return sorted(map(sorted, blow.groups), key=len)

    assert cut("leader isolated") == [[3], [1, 2, 4, 5]]
    assert cut("observers cut off") == [[4, 5], [1, 2, 3]]
    assert cut("servers alone") == [[1], [2], [3], [4], [5]]
    minority = next(group for group in cut("minority cut off") if len({1, 2, 3} & set(group)) == 1)
    assert minority
    assert len(cut("split in two")) == 2
    parted = View((1, 2, 3), (4, 5), leader=3, is_parted=True, clients=2)
    assert all(stroke_of(strike(kind), parted, 0.0) is None for kind in PARTITIONS)


def test_one_way_cuts_leave_the_other_way() -> None:
    for luck in range(20):
        for kind in (DEAF, MUTE):
            stroke = stroke_of(strike(kind, luck), WHOLE, 0.0)
            assert stroke is not None
            (victim,), cuts = stroke.victims, {(cut.source, cut.target) for cut in stroke.blows if isinstance(cut, Cut)}
            others = {1, 2, 3, 4, 5} - {victim}
            assert cuts == {(other, victim) if kind == DEAF else (victim, other) for other in others}
            assert stroke.repairs == (Heal(),)
    parted = View((1, 2, 3), (4, 5), leader=3, is_parted=True, clients=2)
    assert stroke_of(strike(DEAF), parted, 0.0) is None


def test_a_link_becomes_lossy_or_slow_both_ways_and_is_what_it_was_afterwards() -> None:
    for kind in (LOSSY, SLOW):
        stroke = stroke_of(strike(kind), WHOLE, 0.0)
        assert stroke is not None
        one, other = stroke.victims
        ways = [(one, other), (other, one)]
        assert [(blow.source, blow.target) for blow in stroke.blows if isinstance(blow, Reshape)] == ways
        assert stroke.repairs == tuple(Reshape(*way, None) for way in ways)
    taken = View((1, 2), (), leader=2, shaped=frozenset({(1, 2)}))
    assert stroke_of(strike(LOSSY), taken, 0.0) is None


def test_a_client_can_be_killed_whatever_happens() -> None:
    nothing_left = View((1, 2, 3), (), None, down=frozenset({1, 2, 3}), clients=2)
    stroke = stroke_of(strike(CLIENT_KILL), nothing_left, 0.0)
    assert stroke is not None
    assert isinstance(stroke.blows[0], KillClient)


def test_a_crash_of_the_leader_waits_for_a_leader_as_long_as_it_takes() -> None:
    nobody, seconds = View((1, 2, 3), (), None, clients=1), 10.0
    nemesis = Nemesis([Strike(1.0, LEADER_CRASH, 0.5, 0.5), Strike(1.0, "leader freeze", 0.5, 0.5)], seconds)
    for now_s in (1.0, 5.0, 10.0, 20.0):
        assert nemesis.begun(now_s, nobody) is None
        assert not nemesis.is_over(now_s)
    assert nemesis.skipped == 1, "the freeze was given up"
    stroke = nemesis.begun(21.0, View((1, 2, 3), (), 2, clients=1))
    assert stroke is not None
    assert stroke.blows == (Crash(2),)
    assert nemesis.is_over(21.0)
    assert nemesis.rest() == [stroke]


def test_without_a_leader_for_too_long_it_ends_anyway() -> None:
    assert Nemesis([Strike(1.0, LEADER_CRASH, 0.5, 0.5)], 10.0).is_over(10.0 + GRACE_S)


def test_cycles_are_what_the_pace_is_made_of() -> None:
    strikes = timeline(Random(3), 10 * CYCLE_S, SYNC_LIMIT_S)
    assert sum(strike.kind == LEADER_CRASH for strike in strikes) == 10
