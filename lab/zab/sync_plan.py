"""How a learner is brought level: the decision table of zab.md 4.3 as 4.7 amends it, as a pure function."""

from dataclasses import dataclass

from lab.zab.commit_log import CommitLog
from lab.zab.constants import NO_ZXID
from lab.zab.messages import Diff, Snap, Trunc, TxnBatch
from lab.zab.zxid import Zxid, follows


@dataclass(frozen=True)
class SyncPlan:
    """The first packet, the committed history to send after it, and the zxid after which live traffic begins.

    `first` is None when the disk log has to be read before it can be said (row R4).
    """

    first: Diff | Trunc | Snap | None
    batches: tuple[TxnBatch, ...]
    next_after: Zxid
    row: str


def plan_sync(learner_last: Zxid, need_snap: bool, committed: CommitLog) -> SyncPlan:
    """Choose for a learner whose log ends at `learner_last`.

    `committed` ends at the last committed real zxid, which in an epoch that is not established yet is the whole initial
    history of its leader (Z-1).
    """
    last = committed.last
    if learner_last == NO_ZXID or need_snap:
        return SyncPlan(Snap(last), (), last, "R0b")
    if learner_last == last:
        return SyncPlan(Diff(last), (), last, "R1")
    if learner_last > last:
        return SyncPlan(Trunc(last), (), last, "R2")
    previous = committed.floor(learner_last)
    if previous is None:
        return SyncPlan(None, (), last, "R4")
    return _from_history(learner_last, previous, tuple(committed.after(previous)), last, "R3")


def plan_from_disk(
    learner_last: Zxid, previous: Zxid, on_disk: tuple[TxnBatch, ...] | None, committed: CommitLog
) -> SyncPlan:
    """Row R4: what the disk log gave, continued by what memory holds; SNAP if the two do not join (H-11)."""
    last = committed.last
    if on_disk is None:
        return SyncPlan(Snap(last), (), last, "R5")
    reached = on_disk[-1].last if on_disk else previous
    if reached < committed.base or committed.floor(reached) != reached:
        return SyncPlan(Snap(last), (), last, "R5")
    batches = (*on_disk, *committed.after(reached))
    if not _is_contiguous(previous, batches):
        return SyncPlan(Snap(last), (), last, "R5")
    return _from_history(learner_last, previous, batches, last, "R4")


def _from_history(learner_last: Zxid, previous: Zxid, batches: tuple[TxnBatch, ...], last: Zxid, row: str) -> SyncPlan:
    if previous == learner_last:
        return SyncPlan(Diff(last), batches, last, row + "a")
    # Differs from ZooKeeper (zab.md 4.3, R3d'): across epochs, too, the divergent tail is cut and the rest sent.  Two
    # logs that hold one zxid agree on everything up to it (INV-6b), and the learner checks that it holds `previous`.
    return SyncPlan(Trunc(previous), batches, last, row + "d")


def _is_contiguous(previous: Zxid, batches: tuple[TxnBatch, ...]) -> bool:
    for batch in batches:
        if not follows(batch.first, previous):
            return False
        previous = batch.last
    return True
