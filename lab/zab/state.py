"""What outlives a role: the two epochs, the end of the log, the applied history (zab.md 1.3).

The methods change the state and return the effects that make the change durable, so the two cannot drift apart.
"""

from collections.abc import Iterable, Iterator

from lab.zab.commit_log import CommitLog
from lab.zab.config import PeerId, ZabConfig
from lab.zab.constants import NO_ZXID
from lab.zab.effects import (
    Append,
    Deliver,
    PeerEffect,
    Replay,
    Restore,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
)
from lab.zab.events import History, Recovered
from lab.zab.messages import TxnBatch
from lab.zab.quorum import quorum_of
from lab.zab.zxid import Zxid, epoch_of, follows


class PeerState:
    """The protocol state of one server that its roles share."""

    def __init__(self, me: PeerId, config: ZabConfig, recovered: Recovered) -> None:
        self.me = me
        self.config = config
        self.quorum = quorum_of(config)
        self.accepted_epoch = recovered.accepted_epoch
        self.current_epoch = recovered.current_epoch
        self.may_vote = recovered.may_vote
        self.need_snap = False  # a TRUNC was impossible; until a completed synchronization (Z-11)
        self.epoch_floor = 0  # greatest accepted epoch a learner showed after the own one was frozen (Z-4)
        self.gen = 1
        self.last_zxid: Zxid = NO_ZXID  # last appended to the log, or its snapshot's label
        self.applied = CommitLog(NO_ZXID, config.commit_log_count)  # what the tree holds

    @property
    def is_voter(self) -> bool:
        return self.me in self.config.voters

    def restore(self, history: History) -> Restore:
        """Rebuild the tree from what the disk holds: its snapshot, then its whole log (zab.md 7.4).

        `applied` is filled while the service walks the log, in the effect's place (S33).
        """
        self.applied = CommitLog(history.base, self.config.commit_log_count)
        self.last_zxid = history.last
        played_back = _play_back(history, self.applied)
        return Restore(History(history.base, history.chunks, played_back, history.last))

    def replace_by_snapshot(self, zxid: Zxid) -> None:
        """The tree and the disk have become the snapshot of `zxid` with an empty log."""
        self.applied = CommitLog(zxid, self.config.commit_log_count)
        self.last_zxid = zxid

    def append(self, batch: TxnBatch) -> Append:
        assert follows(batch.first, self.last_zxid), f"{batch.first:#x} does not follow {self.last_zxid:#x} in the log"
        self.last_zxid = batch.last
        return Append(self.gen, batch)

    def replay(self, batch: TxnBatch) -> Replay:
        self.applied.append(batch)
        return Replay(batch)

    def deliver(self, batch: TxnBatch) -> Deliver:
        self.applied.append(batch)
        return Deliver(batch)

    def save_accepted_epoch(self, epoch: int) -> SaveAcceptedEpoch:
        assert epoch > self.accepted_epoch, f"accepted epoch {self.accepted_epoch} must not become {epoch} (INV-11)"
        self.accepted_epoch = epoch
        return SaveAcceptedEpoch(epoch)

    def save_current_epoch(self, epoch: int) -> list[PeerEffect]:
        """Also the point where all earlier appends are durable; so the effect is there even if the epoch stays."""
        assert self.current_epoch <= epoch <= self.accepted_epoch, (self.current_epoch, epoch, self.accepted_epoch)
        self.current_epoch = epoch
        return [SaveCurrentEpoch(epoch)]

    def repair_current_epoch(self) -> list[PeerEffect]:
        """A log entry of an epoch implies that epoch's whole initial history: adopt it before voting (Z-2)."""
        if self.current_epoch < epoch_of(self.last_zxid) <= self.accepted_epoch:
            return self.save_current_epoch(epoch_of(self.last_zxid))
        return []

    def replay_all(self, tail: Iterable[TxnBatch]) -> list[PeerEffect]:
        return [self.replay(batch) for batch in tail]


def _play_back(history: History, applied: CommitLog) -> Iterator[TxnBatch]:
    """The batches of `history` as they are walked, each noted in `applied` (ZooKeeper: PlayBackListener)."""
    for batch in history.batches:
        applied.append(batch)  # asserts that there is no hole
        yield batch
    assert applied.last == history.last, f"the log ends at {applied.last:#x}, not at {history.last:#x}"
