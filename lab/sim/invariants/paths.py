"""Histories as paths: by log matching (INV-6b) the zxid at its end names a whole history.

Within an epoch zxids are consecutive, so one number an epoch, the zxid before its first transaction, says how two
histories relate.  That nothing deviates from it is what INV-6b checks when something is logged.
"""

from collections.abc import Iterator

from lab.service.transactions import Txn, decode_txns
from lab.zab.batches import split_batch
from lab.zab.constants import NO_ZXID
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Epoch, Zxid, counter_of, epoch_of, make_zxid

EPOCH_BITS = 32


class Paths:
    """Everything that was ever logged by anybody."""

    def __init__(self) -> None:
        self.before: dict[Epoch, Zxid] = {}  # epoch -> end of the history that its first transaction was logged after
        self._batches: dict[Zxid, TxnBatch] = {}  # as first shown, by their first zxid
        self._last: dict[Epoch, Zxid] = {}  # what is known of each epoch
        self._txns: dict[Zxid, Txn] = {}  # decoded where batches were cut differently

    def known_upto(self, epoch: Epoch) -> Zxid:
        """The last transaction of this epoch that anybody showed; make_zxid(epoch, 0) if there is none."""
        return self._last.get(epoch, make_zxid(epoch, 0))

    def learn(self, batch: TxnBatch, previous: Zxid | None = None) -> None:
        """These transactions exist, behind `previous` if that is seen; what was known before stays as it was."""
        epoch, last = batch.first >> EPOCH_BITS, batch.last
        if previous is not None and counter_of(batch.first) == 1:
            self.before.setdefault(epoch, previous)
        known = self._last.get(epoch, 0)
        if last > known:
            if batch.first <= known:
                batch = split_batch(batch, known)
            self._batches[batch.first] = batch
            self._last[epoch] = last

    def stands_behind(self, batch: TxnBatch) -> Zxid | None:
        """What the first transaction of an epoch was first seen to be logged behind; None for any other."""
        return self.before.get(batch.first >> EPOCH_BITS) if counter_of(batch.first) == 1 else None

    def is_known(self, batch: TxnBatch) -> bool:
        """Whether the batch holds, byte by byte, what its zxids were first seen to hold; all of them must be known."""
        known = self._batches.get(batch.first)
        if known is not None and known.count == batch.count:
            return known is batch or known.body == batch.body
        return all(self.txn(zxid) == txn for zxid, txn in enumerate(decode_txns(batch.body), batch.first))

    def txn(self, zxid: Zxid) -> Txn | None:
        """What this zxid was first seen to hold; None if it was never seen."""
        if zxid not in self._txns:
            for first in range(zxid, make_zxid(epoch_of(zxid), 0), -1):
                batch = self._batches.get(first)
                if batch is not None:
                    if batch.last >= zxid:
                        self._txns.update(enumerate(decode_txns(batch.body), batch.first))
                    break
        return self._txns.get(zxid)

    def contains(self, end: Zxid, zxid: Zxid) -> bool:
        """Whether the history that ends at `end` contains `zxid`; the empty one, 0, is part of all but no history."""
        if zxid <= 0:
            return end >= zxid
        epoch = zxid >> EPOCH_BITS
        while end >> EPOCH_BITS > epoch:
            end = self.before.get(end >> EPOCH_BITS, NO_ZXID)
        return end >= zxid and end >> EPOCH_BITS == epoch

    def meet(self, one: Zxid, other: Zxid) -> Zxid:
        """The end of what the histories that end there have in common."""
        while one >> EPOCH_BITS != other >> EPOCH_BITS:
            if one > other:
                one = self.before.get(one >> EPOCH_BITS, NO_ZXID)
            else:
                other = self.before.get(other >> EPOCH_BITS, NO_ZXID)
        return min(one, other)

    def transactions(self, end: Zxid) -> Iterator[tuple[Zxid, Txn]]:
        """The history that ends at `end`, as far back as it is known, oldest first."""
        runs: list[tuple[Zxid, Zxid]] = []
        while end > 0:
            runs.append((make_zxid(epoch_of(end), 1), end))
            end = self.before.get(epoch_of(end), NO_ZXID)
        for first, last in reversed(runs):
            zxid = first
            while zxid <= last:
                batch = self._batches.get(zxid)
                if batch is None:  # before the first batch that anybody showed
                    zxid += 1
                    continue
                for txn in decode_txns(batch.body):
                    if zxid <= last:
                        yield zxid, txn
                    zxid += 1
