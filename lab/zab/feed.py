"""The history on its way to one learner: a cursor in a snapshot, then in the disk log, then in memory (Z-18).

The learner pulls: it reports how many bytes it has consumed, and the leader sends no more than a window ahead of that.
So neither the link nor the leader's memory holds more of a large history, and others are served meanwhile.
"""

from lab.zab.commit_log import CommitLog
from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect, ReadLog, ReadSnapshot, Send
from lab.zab.events import Session
from lab.zab.messages import Proposal, Snap, SnapChunk, TxnBatch
from lab.zab.sync_plan import SyncPlan
from lab.zab.zxid import Zxid, follows

_READS_A_WINDOW = 4  # so that one read of the disk log neither fills the window nor stalls the leader


def log_slice_bytes(window_bytes: int) -> int:
    """How much of the disk log one ReadLog asks for."""
    return max(window_bytes // _READS_A_WINDOW, 1)


class Feed:
    """What is left to send of `plan`, whose first packet was sent already."""

    def __init__(self, to: tuple[PeerId, Session], plan: SyncPlan, window_bytes: int) -> None:
        self.cursor: Zxid = plan.after  # everything up to here was sent, or is in the snapshot
        self.start: Zxid = plan.after
        self._to = to
        self._window_bytes = window_bytes
        self._in_snapshot = isinstance(plan.first, Snap)
        self._reading = False  # one answer of the snapshot or of the disk is awaited
        self._sent_bytes = 0
        self._consumed_bytes = 0

    def is_level(self, committed: CommitLog) -> bool:
        """Whether everything committed was sent."""
        return not self._in_snapshot and not self._reading and self.cursor == committed.last

    def note_consumed(self, consumed_bytes: int) -> None:
        """The learner says how many bytes of this session's history it has taken in, in all."""
        self._consumed_bytes = max(self._consumed_bytes, consumed_bytes)

    def take_chunk(self, data: bytes, last: bool) -> list[PeerEffect]:
        """The next piece of the snapshot."""
        self._reading, self._in_snapshot = False, not last
        self._sent_bytes += len(data)
        return [Send((self._to,), SnapChunk(data, last))]

    def take_log(self, previous: Zxid, batches: tuple[TxnBatch, ...] | None) -> list[PeerEffect] | None:
        """A slice of the disk log; None if it does not continue what was sent: purged meanwhile, or a hole (H-11)."""
        self._reading = False
        if not batches or previous != self.cursor:
            return None
        effects: list[PeerEffect] = []
        for batch in batches:
            if not follows(batch.first, self.cursor):
                return None
            effects.append(self._send(batch))
        return effects

    def pump(self, committed: CommitLog) -> list[PeerEffect]:
        """Send, or ask for, what there is room for."""
        effects: list[PeerEffect] = []
        if self._reading or not self._has_room():
            return effects
        if self._in_snapshot:
            self._reading = True
            return [ReadSnapshot(*self._to)]
        if committed.floor(self.cursor) != self.cursor:  # memory does not reach back that far
            self._reading = True
            return [ReadLog(*self._to, self.cursor, committed.base, log_slice_bytes(self._window_bytes))]
        for batch in committed.after(self.cursor):
            effects.append(self._send(batch))
            if not self._has_room():
                break
        return effects

    def _has_room(self) -> bool:
        return self._sent_bytes - self._consumed_bytes < self._window_bytes

    def _send(self, batch: TxnBatch) -> Send:
        self.cursor = batch.last
        self._sent_bytes += len(batch.body)
        return Send((self._to,), Proposal(batch))
