"""Phase 3 of Zab, leader side: number batches, count durable acks, commit in zxid order (zab.md 5.3)."""

from collections import deque
from collections.abc import Iterator
from zlib import crc32

from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect, Send
from lab.zab.events import Session
from lab.zab.messages import Sync, TxnBatch
from lab.zab.state import PeerState
from lab.zab.zxid import Zxid, make_zxid


class Broadcast:
    """The proposals of one epoch that are not committed yet, and who has acknowledged what."""

    def __init__(self, state: PeerState, epoch: int) -> None:
        self._quorum = state.quorum
        self._epoch_start = make_zxid(epoch, 0)
        self.last_proposed: Zxid = self._epoch_start
        self.last_committed: Zxid = self._epoch_start
        self.outstanding: deque[TxnBatch] = deque()
        self.acked: dict[PeerId, Zxid] = dict.fromkeys(state.config.voters, self._epoch_start)
        self._syncs: deque[tuple[Zxid, tuple[PeerId, Session], int]] = deque()

    def next_batch(self, count: int, body: bytes) -> TxnBatch:
        batch = TxnBatch(self.last_proposed + 1, count, crc32(body), body)
        self.last_proposed = batch.last
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
        frontier, committed = self._quorum.frontier(self.acked), list[TxnBatch]()
        while self.outstanding and self.outstanding[0].last <= frontier:
            committed.append(self.outstanding.popleft())
            self.last_committed = committed[-1].last
        return committed

    def on_sync(self, to: tuple[PeerId, Session], nonce: int) -> list[PeerEffect]:
        """Answer now if nothing is uncommitted, else behind the commit of what was proposed last (zab.md 5.8)."""
        if not self.outstanding:
            return [Send((to,), Sync(nonce))]
        self._syncs.append((self.last_proposed, to, nonce))
        return []

    def split_at_syncs(self, committed: list[TxnBatch]) -> Iterator[tuple[list[TxnBatch], list[PeerEffect]]]:
        """Runs of `committed`, each with the answers to the syncs that waited for its end.

        An answer must stand before the commit of what was proposed later: that may be a write of the same session,
        which its server could not tell from one that the sync has to wait for (zab.md 5.8, INV-22).
        """
        run: list[TxnBatch] = []
        for batch in committed:
            run.append(batch)
            if self._syncs and self._syncs[0][0] <= batch.last:
                yield run, self._due_syncs(batch.last)
                run = []
        if run:
            yield run, []

    def _due_syncs(self, committed: Zxid) -> list[PeerEffect]:
        due: list[PeerEffect] = []
        while self._syncs and self._syncs[0][0] <= committed:
            _, to, nonce = self._syncs.popleft()
            due.append(Send((to,), Sync(nonce)))
        return due
