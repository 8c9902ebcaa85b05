"""How a learner is brought level: every row of zab.md 4.3 as 4.7 amends it, and a model that must end equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zab_parties import batch, batches, z

from lab.zab.batches import prefix_batch, split_batch
from lab.zab.commit_log import CommitLog
from lab.zab.constants import NO_ZXID
from lab.zab.messages import Diff, Snap, Trunc, TxnBatch
from lab.zab.sync_plan import SyncPlan, plan_from_disk, plan_sync
from lab.zab.zxid import Zxid, follows, make_zxid


def commit_log(base: str = "1.2", *runs: tuple[str, int]) -> CommitLog:
    log = CommitLog(z(base), 1000)
    for part in batches(*runs):
        log.append(part)
    return log


MEMORY = (("1.3", 3), ("2.1", 2))  # after 1.2


@pytest.mark.parametrize(
    ("learner", "first", "rest", "row"),
    [
        ("2.2", Diff(z("2.2")), [], "R1"),
        ("2.3", Trunc(z("2.2")), [], "R2"),  # an uncommitted tail
        ("3.1", Trunc(z("2.2")), [], "R2"),  # of a higher epoch: the learner has to look whether it holds 2.2
        ("2.1", Diff(z("2.2")), [("2.2", 1)], "R3a"),
        ("1.5", Diff(z("2.2")), [("2.1", 2)], "R3a"),
        ("1.2", Diff(z("2.2")), [("1.3", 3), ("2.1", 2)], "R3a"),  # the base counts (Z-14)
        ("1.4", Diff(z("2.2")), [("1.5", 1), ("2.1", 2)], "R3a"),  # inside a batch (Z-10)
        ("1.7", Trunc(z("1.5")), [("2.1", 2)], "R3d"),  # across epochs: cut, then send (R3d')
        ("1.1", None, [], "R4"),  # below memory: the disk has to be asked
        ("0.0", None, [], "R4"),
    ],
)
def test_rows(learner: str, first: object, rest: list[tuple[str, int]], row: str):
    plan = plan_sync(z(learner), need_snap=False, committed=commit_log("1.2", *MEMORY))
    assert (plan.first, list(plan.batches), plan.row) == (first, batches(*rest), row)
    assert plan.next_after == z("2.2")


@pytest.mark.parametrize(("learner", "need_snap"), [(NO_ZXID, False), (z("2.2"), True), (z("1.1"), True)])
def test_none_or_need_snap_gets_the_snapshot(learner: Zxid, need_snap: bool):
    plan = plan_sync(learner, need_snap, commit_log("1.2", *MEMORY))
    assert (plan.first, plan.row) == (Snap(z("2.2")), "R0b")


def test_fresh_learner_gets_the_whole_history_if_memory_holds_it():
    plan = plan_sync(0, need_snap=False, committed=commit_log("0.0", ("1.1", 2)))
    assert (plan.first, plan.batches) == (Diff(z("1.2")), (batch("1.1", 2),))
    assert plan_sync(0, need_snap=False, committed=commit_log("0.0")).row == "R1"


@pytest.mark.parametrize(
    ("previous", "on_disk", "first", "row"),
    [
        ("1.1", [("1.2", 1)], Diff(z("2.2")), "R4a"),
        ("0.0", [("1.1", 2)], Trunc(0), "R4d"),  # the learner's 1.1 is not in the disk's history
        ("1.1", None, Snap(z("2.2")), "R5"),  # the log does not reach back that far
        ("1.1", [], Snap(z("2.2")), "R5"),  # the disk log ends before memory begins (H-11)
        ("1.1", [("1.3", 3)], Snap(z("2.2")), "R5"),  # a hole
    ],
)
def test_disk_rows(previous: str, on_disk: list[tuple[str, int]] | None, first: object, row: str):
    read = None if on_disk is None else tuple(batches(*on_disk))
    plan = plan_from_disk(z("1.1"), z(previous), read, commit_log("1.2", *MEMORY))
    assert (plan.first, plan.row) == (first, row)
    if not isinstance(first, Snap):
        sent = [zxid for part in plan.batches for zxid in range(part.first, part.last + 1)]
        assert sent[-1] == z("2.2")
        assert sent == sorted(sent)


# -- the model: two histories that share a prefix, as INV-6b says all do


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Zxid], list[Zxid], int, int]:
    """The leader's committed history, a learner's log, how much of the former is in memory, and on disk."""
    common = draw(st.lists(st.integers(1, 4), max_size=3))
    leader = _extend([], 1, common)
    epoch = len(common) + 1
    learner = list(leader)
    kept = draw(st.integers(0, len(leader)))
    learner = learner[:kept]
    if draw(st.booleans()):  # transactions of its own: the next of its last epoch, or of an epoch nobody else saw
        own = draw(st.integers(1, 3))
        if kept < len(leader) or draw(st.booleans()):
            learner = [*learner, *(make_zxid(epoch, i + 1) for i in range(own))]
            epoch += 1
        elif learner:
            learner = [*learner, *(learner[-1] + i + 1 for i in range(own))]
            if draw(st.booleans()):
                leader = [*leader]
    leader = _extend(leader, epoch, draw(st.lists(st.integers(1, 4), max_size=2)))
    in_memory = draw(st.integers(0, len(leader)))
    on_disk = draw(st.integers(in_memory, len(leader)))
    return leader, learner, in_memory, on_disk


def _extend(history: list[Zxid], epoch: int, counts: list[int]) -> list[Zxid]:
    for count in counts:
        history = [*history, *(make_zxid(epoch, i + 1) for i in range(count))]
        epoch += 1
    return history


def as_batches(zxids: list[Zxid], draw_split: list[bool]) -> list[TxnBatch]:
    parts: list[list[Zxid]] = []
    for i, zxid in enumerate(zxids):
        if parts and zxid == parts[-1][-1] + 1 and not draw_split[i % len(draw_split)]:
            parts[-1].append(zxid)
        else:
            parts.append([zxid])
    return [batch(part[0], len(part)) for part in parts]


def read_disk(history: list[Zxid], start: int, after: Zxid, until: Zxid, split: list[bool]):
    """What ReadLog gives of a disk whose log begins behind `history[:start]`."""
    base = history[start - 1] if start else 0
    if after < base:
        return NO_ZXID, None
    previous = max([zxid for zxid in history[start:] if zxid <= after], default=base)
    rest = [
        prefix_batch(split_batch(b, previous) if b.first <= previous else b, until)
        for b in as_batches(history[start:], split)
        if b.last > previous and b.first <= until
    ]
    return previous, tuple(rest)


@given(histories(), st.lists(st.booleans(), min_size=1, max_size=5))
def test_learner_ends_with_the_leaders_history(case: tuple[list[Zxid], list[Zxid], int, int], split: list[bool]):
    leader, learner, in_memory, on_disk = case
    start = len(leader) - in_memory
    committed = CommitLog(leader[start - 1] if start else 0, 1000)
    for part in as_batches(leader[start:], split):
        committed.append(part)
    last = learner[-1] if learner else 0
    plan = plan_sync(last, need_snap=False, committed=committed)
    if plan.first is None:
        found = read_disk(leader, len(leader) - on_disk, last, committed.base, split)
        plan = plan_from_disk(last, *found, committed)
    result = carry_out(plan, leader, learner)
    assert result == leader
    assert plan.next_after == committed.last


def carry_out(plan: SyncPlan, leader: list[Zxid], learner: list[Zxid]) -> list[Zxid]:
    """The learner's history afterwards; a TRUNC to what it does not hold brings it a SNAP (Z-11)."""
    if isinstance(plan.first, Snap):
        assert plan.first.zxid == (leader[-1] if leader else 0)
        return leader
    if isinstance(plan.first, Trunc):
        if plan.first.zxid not in learner and plan.first.zxid != 0:
            return leader  # need_snap: it touches nothing and asks again
        learner = [zxid for zxid in learner if zxid <= plan.first.zxid]
    for part in plan.batches:
        assert follows(part.first, learner[-1] if learner else 0), "never to the nearest"
        learner = [*learner, *range(part.first, part.last + 1)]
    return learner
