"""What the ensemble has committed, as its servers show it, and the checks on it (zab.md 9.2).

Committed is what a server delivers in BROADCAST, and the whole history of a leader at the moment it is established.
The next checks belong in files of their own, one an invariant.
"""

from collections.abc import Iterable

from lab.service.transactions import Txn, decode_txns
from lab.zab.config import PeerId
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Epoch, Zxid, follows, make_zxid, show


class InvariantError(AssertionError):
    """The protocol broke a promise; the message names the invariant and the states that clash."""


class Ledger:
    """One entry per committed zxid, in the order of zxids once `history` is called."""

    def __init__(self) -> None:
        self._committed: dict[Zxid, Txn] = {}
        self._established: dict[Epoch, PeerId] = {}
        self._delivered: dict[PeerId, Zxid] = {}  # by each server since it last looked for a leader

    def deliver(self, server: PeerId, batch: TxnBatch) -> None:
        """INV-6: one transaction per zxid, whoever delivers it; INV-7: without a hole."""
        before = self._delivered.get(server)
        if before is not None and not follows(batch.first, before):
            raise InvariantError(f"INV-7: server {server} delivers {show(batch.first)} after {show(before)}")
        self._delivered[server] = batch.last
        self._commit(server, [batch])

    def establish(self, leader: PeerId, epoch: Epoch, base: Zxid, history: Iterable[TxnBatch]) -> None:
        """INV-1: one leader an epoch; INV-5: it holds everything committed in earlier ones.

        Earlier epochs, not earlier in time: the acks of NEWLEADER that establish a leader may have been under way while
        a later epoch began (INV-3).
        """
        other = self._established.setdefault(epoch, leader)
        if other != leader:
            raise InvariantError(f"INV-1: {other} and {leader} are both established in epoch {epoch}")
        batches = list(history)
        held = {zxid for batch in batches for zxid in range(batch.first, batch.last + 1)}
        for zxid in self._committed:
            if base < zxid < make_zxid(epoch, 0) and zxid not in held:
                raise InvariantError(f"INV-5: {show(zxid)} was committed, leader {leader} of epoch {epoch} lacks it")
        self._commit(leader, batches)

    def look(self, server: PeerId) -> None:
        """The server looks for a leader: its next deliveries go on from a history that was brought level."""
        self._delivered.pop(server, None)

    def _commit(self, server: PeerId, batches: Iterable[TxnBatch]) -> None:
        for batch in batches:
            for zxid, txn in enumerate(decode_txns(batch.body), batch.first):
                known = self._committed.setdefault(zxid, txn)
                if known != txn:
                    raise InvariantError(f"INV-6: {show(zxid)} is {known}, server {server} has {txn}")

    def check_log(self, server: PeerId, base: Zxid, log: Iterable[TxnBatch]) -> None:
        """INV-5, INV-6b, INV-7 at rest: above `base` this log is exactly what was committed."""
        previous, held = base, set[Zxid]()
        for batch in log:
            if not follows(batch.first, previous):
                raise InvariantError(f"INV-7: server {server} has {show(batch.first)} after {show(previous)}")
            previous = batch.last
            held.update(range(batch.first, batch.last + 1))
            self._commit(server, [batch])
        missing = [zxid for zxid in self._committed if zxid > base and zxid not in held]
        if missing:
            raise InvariantError(f"INV-5: {show(min(missing))} was committed, server {server} lacks it")

    def history(self) -> list[tuple[Zxid, Txn]]:
        """Everything committed, in order.  Raises InvariantError if zxids are missing in between (INV-7)."""
        entries = sorted(self._committed.items(), key=lambda entry: entry[0])
        previous = 0
        for zxid, _ in entries:
            if not follows(zxid, previous):
                raise InvariantError(f"INV-7: nobody ever had what lies between {show(previous)} and {show(zxid)}")
            previous = zxid
        return entries
