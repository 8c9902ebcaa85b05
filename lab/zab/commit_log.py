"""The most recent transactions of the history, kept in memory to bring learners level (zab.md 7.5, Z-14)."""

from collections import deque
from collections.abc import Iterator

from lab.zab.batches import split_batch
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, follows

BYTES_MAX = 32 << 20  # of transactions; what one learner is sent of it must fit what may wait in one link


class CommitLog:
    """A contiguous run of batches above `base`, the zxid right before the first of them.

    Holds the last `count_max` transactions, in whole batches, unless they take more than BYTES_MAX.

    Everything that is ever applied goes through `append`, which insists on contiguity (H-10, ZOOKEEPER-4925).
    """

    def __init__(self, base: Zxid, count_max: int) -> None:
        self.base = base
        self.last = base
        self._count_max = count_max
        self.since_snapshot = 0  # transactions applied since the one on disk that the tree began with, or a later one
        self._count = 0
        self._bytes = 0
        self._batches: deque[TxnBatch] = deque()

    def append(self, batch: TxnBatch) -> None:
        assert follows(batch.first, self.last), f"{batch.first:#x} after {self.last:#x}: a hole in the history"
        self._batches.append(batch)
        self.last = batch.last
        self._count += batch.count
        self.since_snapshot += batch.count
        self._bytes += len(batch.body)
        while self._count - (oldest := self._batches[0]).count >= self._count_max or self._is_too_large():
            self._batches.popleft()
            self._count -= oldest.count
            self._bytes -= len(oldest.body)
            self.base = oldest.last

    def _is_too_large(self) -> bool:
        return self._bytes > BYTES_MAX and len(self._batches) > 1

    def floor(self, zxid: Zxid) -> Zxid | None:
        """The greatest zxid of this history that is <= `zxid`; None if that lies below `base`."""
        if zxid < self.base:
            return None
        found = self.base
        for batch in self._batches:
            if batch.first > zxid:
                break
            found = min(zxid, batch.last)
        return found

    def after(self, zxid: Zxid) -> Iterator[TxnBatch]:
        """What follows `zxid`, oldest first; a batch that contains it is split."""
        for batch in self._batches:
            if batch.first > zxid:
                yield batch
            elif batch.last > zxid:
                yield split_batch(batch, zxid)
