"""How a learner is brought level: every row of zab.md 4.3 as 4.7 amends it, and a model that must end equal."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zab_parties import batch, batches, z

from lab.storage.reading import read_slice
from lab.zab.batches import prefix_batch, split_batch
from lab.zab.commit_log import CommitLog
from lab.zab.constants import NO_ZXID
from lab.zab.effects import ReadLog, Send
from lab.zab.events import LogRead
from lab.zab.feed import Feed, log_slice_bytes
from lab.zab.messages import Diff, Proposal, Snap, Trunc, TxnBatch
from lab.zab.sync_plan import DIFF_BYTES_ALWAYS, SyncPlan, plan_from_disk, plan_sync
from lab.zab.zxid import Zxid, follows, make_zxid


def commit_log(base: str = "1.2", *runs: tuple[str, int]) -> CommitLog:
    log = CommitLog(z(base), 1000)
    for part in batches(*runs):
        log.append(part)
    return log


MEMORY = (("1.3", 3), ("2.1", 2))  # after 1.2


@pytest.mark.parametrize(
    ("learner", "first", "after", "row"),
    [
        ("2.2", Diff(z("2.2")), "2.2", "R1"),
        ("2.3", Trunc(z("2.2")), "2.2", "R2"),  # an uncommitted tail
        ("3.1", Trunc(z("2.2")), "2.2", "R2"),  # of a higher epoch: the learner has to look whether it holds 2.2
        ("2.1", Diff(z("2.2")), "2.1", "R3a"),
        ("1.5", Diff(z("2.2")), "1.5", "R3a"),
        ("1.2", Diff(z("2.2")), "1.2", "R3a"),  # the base counts (Z-14)
        ("1.4", Diff(z("2.2")), "1.4", "R3a"),  # inside a batch (Z-10)
        ("1.7", Trunc(z("1.5")), "1.5", "R3d"),  # across epochs: cut, then send (R3d')
        ("1.1", None, "1.1", "R4"),  # below memory: the disk has to be asked
        ("0.0", None, "0.0", "R4"),
    ],
)
@pytest.mark.covers("S41", "S42", "S44", "S45", "X-25", "Z-14")
def test_rows(learner: str, first: object, after: str, row: str):
    plan = plan_sync(z(learner), need_snap=False, committed=commit_log("1.2", *MEMORY))
    assert (plan.first, plan.after, plan.row) == (first, z(after), row)


@pytest.mark.parametrize(("learner", "need_snap"), [(NO_ZXID, False), (z("2.2"), True), (z("1.1"), True)])
@pytest.mark.covers("Z-12")
def test_none_or_need_snap_gets_the_snapshot(learner: Zxid, need_snap: bool):
    plan = plan_sync(learner, need_snap, commit_log("1.2", *MEMORY))
    assert (plan.first, plan.after, plan.row) == (Snap(z("2.2")), z("2.2"), "R0b")


def test_fresh_learner_gets_the_whole_history_if_memory_holds_it():
    plan = plan_sync(0, need_snap=False, committed=commit_log("0.0", ("1.1", 2)))
    assert (plan.first, plan.after) == (Diff(z("1.2")), 0)
    assert plan_sync(0, need_snap=False, committed=commit_log("0.0")).row == "R1"


def read_of(previous: str, on_disk: list[tuple[str, int]] | None, log_bytes: int = 0, snapshot_bytes: int = 0):
    found = None if on_disk is None else tuple(batches(*on_disk))
    return LogRead(1, 11, z(previous), found, log_bytes, snapshot_bytes)


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
@pytest.mark.covers("S45", "X-23")
def test_disk_rows(previous: str, on_disk: list[tuple[str, int]] | None, first: object, row: str):
    plan = plan_from_disk(z("1.1"), read_of(previous, on_disk), commit_log("1.2", *MEMORY))
    assert (plan.first, plan.row) == (first, row)


@pytest.mark.parametrize(
    ("log_bytes", "snapshot_bytes", "row"),
    [
        (DIFF_BYTES_ALWAYS, 0, "R4a"),
        (DIFF_BYTES_ALWAYS + 1, 0, "R5"),
        (2 * DIFF_BYTES_ALWAYS, 3 * DIFF_BYTES_ALWAYS, "R5"),
        (2 * DIFF_BYTES_ALWAYS, 7 * DIFF_BYTES_ALWAYS, "R4a"),
    ],
)
def test_a_long_log_is_sent_only_instead_of_a_much_larger_tree(log_bytes: int, snapshot_bytes: int, row: str):
    read = read_of("1.1", [("1.2", 1)], log_bytes, snapshot_bytes)
    assert plan_from_disk(z("1.1"), read, commit_log("1.2", *MEMORY)).row == row


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


@given(histories(), st.lists(st.booleans(), min_size=1, max_size=5), st.integers(1, 200))
@pytest.mark.covers("S41", "S43", "INV-15", "X-10", "X-21")
def test_learner_ends_with_the_leaders_history(
    case: tuple[list[Zxid], list[Zxid], int, int], split: list[bool], window_bytes: int
):
    leader, learner, in_memory, on_disk = case
    start = len(leader) - in_memory
    committed = CommitLog(leader[start - 1] if start else 0, 1000)
    for part in as_batches(leader[start:], split):
        committed.append(part)

    def read(effect: ReadLog) -> LogRead:
        previous, found = read_disk(leader, len(leader) - on_disk, effect.after, effect.until, split)
        return LogRead(1, 11, previous, found and read_slice(previous, found, effect.bytes_max))

    last = learner[-1] if learner else 0
    plan, first_read = plan_sync(last, need_snap=False, committed=committed), None
    if plan.first is None:
        first_read = read(ReadLog(1, 11, last, committed.base, log_slice_bytes(window_bytes)))
        plan = plan_from_disk(last, first_read, committed)
    assert carry_out(plan, first_read, committed, read, window_bytes, leader, learner) == leader


def carry_out(
    plan: SyncPlan,
    first_read: LogRead | None,
    committed: CommitLog,
    read: Callable[[ReadLog], LogRead],
    window_bytes: int,
    leader: list[Zxid],
    learner: list[Zxid],
) -> list[Zxid]:
    """The learner's history afterwards; a TRUNC to what it does not hold brings it a SNAP (Z-11)."""
    if isinstance(plan.first, Snap):
        assert plan.first.zxid == (leader[-1] if leader else 0)
        return leader
    if isinstance(plan.first, Trunc):
        if plan.first.zxid not in learner and plan.first.zxid != 0:
            return leader  # need_snap: it touches nothing and asks again
        learner = [zxid for zxid in learner if zxid <= plan.first.zxid]
    feed, consumed = Feed((1, 11), plan, window_bytes), 0
    effects = [] if first_read is None else feed.take_log(first_read.previous, first_read.batches) or []
    effects += feed.pump(committed)
    while effects:
        parts = [e.message.batch for e in effects if isinstance(e, Send) and isinstance(e.message, Proposal)]
        assert sum(len(part.body) for part in parts[:-1]) < 2 * window_bytes, "no more than a window ahead"
        for part in parts:
            assert follows(part.first, learner[-1] if learner else 0), "never to the nearest"
            learner = [*learner, *range(part.first, part.last + 1)]
            consumed += len(part.body)
        feed.note_consumed(consumed)
        reads = [effect for effect in effects if isinstance(effect, ReadLog)]
        if reads:
            answer = read(reads[0])
            taken = feed.take_log(answer.previous, answer.batches)
            assert taken is not None
            effects = [*taken, *feed.pump(committed)]
        else:
            effects = feed.pump(committed)
    assert feed.is_level(committed)
    return learner
