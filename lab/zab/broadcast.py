"""Phase 3 of Zab, leader side: number batches, count durable acks, commit in zxid order (zab.md 5.3)."""

from collections import deque
from zlib import crc32

from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect
from lab.zab.messages import TxnBatch
from lab.zab.state import PeerState
from lab.zab.syncs import Syncs
from lab.zab.zxid import Zxid, make_zxid

CHECKS = 4  # of `has_stuck`, per proposal_timeout_ms


class Broadcast:
    """The proposals of one epoch that are not committed yet, and who has acknowledged what."""

    def __init__(self, state: PeerState, epoch: int) -> None:
        self._quorum = state.quorum
        self._epoch_start = make_zxid(epoch, 0)
        self.last_proposed: Zxid = self._epoch_start
        self.last_committed: Zxid = self._epoch_start
        self.outstanding: deque[TxnBatch] = deque()
        self.acked: dict[PeerId, Zxid] = dict.fromkeys(state.config.voters, self._epoch_start)
        self.syncs = Syncs(state)
        self._proposed: deque[Zxid] = deque(maxlen=CHECKS)  # last at each of the latest checks

    def next_batch(self, count: int, body: bytes) -> TxnBatch:
        batch = TxnBatch(self.last_proposed + 1, count, crc32(body), body)
        self.last_proposed += count
        self.outstanding.append(batch)
        return batch

    def reset_ack(self, voter: PeerId) -> None:
        """A new session of this voter begins: acks of an older one prove nothing about its log now (Z-1)."""
        self.acked[voter] = self._epoch_start

    def on_ack(self, voter: PeerId, zxid: Zxid) -> list[TxnBatch]:
        """Returns what becomes committed.

        Sessions are FIFO and logs are written in order, so an ack also covers every earlier batch.  An ack may fall
        inside a batch that was split for its sender; such a batch commits whole once its end is covered (Z-10).
        """
        if zxid <= self.acked[voter]:
            return []
        self.acked[voter] = zxid
        outstanding = self.outstanding
        if not outstanding or zxid < outstanding[0].last:  # a frontier moves no further than to what somebody reached
            return []
        frontier, committed = self._quorum.frontier(self.acked), list[TxnBatch]()
        while outstanding and (last := outstanding[0].last) <= frontier:
            committed.append(outstanding.popleft())
            self.last_committed = last
        return committed

    def has_stuck(self) -> bool:
        """Whether something that had been proposed by the time of the last but CHECKS call is still uncommitted."""
        stuck = len(self._proposed) == CHECKS and self.last_committed < self._proposed[0]
        self._proposed.append(self.last_proposed)
        return stuck

    def on_sync(self, answer: PeerEffect) -> list[PeerEffect]:
        """By the leader's word: answer now if nothing is uncommitted, else behind what was proposed last (5.8)."""
        if not self.syncs.by_quorum and not self.outstanding:
            return [answer]
        self.syncs.ask(answer, self.last_proposed)
        return []
