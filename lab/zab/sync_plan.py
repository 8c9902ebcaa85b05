"""How a learner is brought level: the decision table of zab.md 4.3 as 4.7 amends it, as pure functions."""

from dataclasses import dataclass

from lab.zab.commit_log import CommitLog
from lab.zab.constants import NO_ZXID
from lab.zab.events import LogRead
from lab.zab.messages import Diff, Snap, Trunc
from lab.zab.zxid import Zxid, follows

# Up to so much a learner gets from the disk log rather than the tree, however small that is; beyond it only if the log
# is much less than the tree (ZooKeeper: snapshotSizeFactor).
DIFF_BYTES_ALWAYS = 16 << 20
SNAPSHOT_SIZE_FACTOR = 0.33


@dataclass(frozen=True)
class SyncPlan:
    """The first packet, and the zxid after which the committed history follows it.

    `first` is None when the disk log has to be asked before it can be said (row R4).
    """

    first: Diff | Trunc | Snap | None
    after: Zxid
    row: str


def plan_sync(learner_last: Zxid, need_snap: bool, committed: CommitLog) -> SyncPlan:
    """Choose for a learner whose log ends at `learner_last`.

    `committed` ends at the last committed real zxid, which in an epoch that is not established yet is the whole initial
    history of its leader (Z-1).
    """
    last = committed.last
    if learner_last == NO_ZXID or need_snap:
        return SyncPlan(Snap(last), last, "R0b")
    if learner_last == last:
        return SyncPlan(Diff(last), last, "R1")
    if learner_last > last:
        return SyncPlan(Trunc(last), last, "R2")
    previous = committed.floor(learner_last)
    if previous is None:
        return SyncPlan(None, learner_last, "R4")
    return _from_history(learner_last, previous, last, "R3")


def plan_from_disk(learner_last: Zxid, read: LogRead, committed: CommitLog) -> SyncPlan:
    """Row R4: by the disk log, of which `read` is the first slice; SNAP if it does not reach back or is too much."""
    last = committed.last
    worth = max(DIFF_BYTES_ALWAYS, int(SNAPSHOT_SIZE_FACTOR * read.snapshot_bytes))
    if not read.batches or read.log_bytes > worth or not follows(read.batches[0].first, read.previous):
        return SyncPlan(Snap(last), last, "R5")
    return _from_history(learner_last, read.previous, last, "R4")


def _from_history(learner_last: Zxid, previous: Zxid, last: Zxid, row: str) -> SyncPlan:
    if previous == learner_last:
        return SyncPlan(Diff(last), previous, row + "a")
    # Differs from ZooKeeper (zab.md 4.3, R3d'): across epochs, too, the divergent tail is cut and the rest sent.  Two
    # logs that hold one zxid agree on everything up to it (INV-6b), and the learner checks that it holds `previous`.
    return SyncPlan(Trunc(previous), previous, row + "d")
