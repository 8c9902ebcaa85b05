"""The store of durability=memory: nothing reaches a disk, and a restart is a wipe (Z-12)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter

from lab.storage.reading import read_slice
from lab.zab.batches import prefix_batch, split_batch
from lab.zab.config import PeerId
from lab.zab.constants import NO_ZXID
from lab.zab.events import Flushed, Generation, History, LogRead, Recovered, Session, Truncated
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Epoch, Zxid, follows

TXNS_MAX = 1_000_000
BYTES_MAX = 256 << 20

_first, _last = attrgetter("first"), attrgetter("last")


class MemoryStore:
    """Satisfies `lab.service.host.Store`.

    It keeps its history, so that it can truncate and serve learners, up to `txns_max` transactions and `bytes_max`
    bytes of them; beyond that the oldest are dropped, and what would need them is answered "not possible".
    """

    def __init__(self, *, txns_max: int = TXNS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._txns_max = txns_max
        self._bytes_max = bytes_max
        self._installing: list[bytes] = []
        self._unreported: Flushed | None = None
        self._restart(NO_ZXID, [])

    def _restart(self, base: Zxid, chunks: list[bytes]) -> None:
        """The history becomes this snapshot and an empty log."""
        self._base = base
        self._chunks = chunks
        self._start = base  # the zxid before the oldest batch kept: the base until something is dropped
        self._batches: list[TxnBatch] = []
        self._txns = 0
        self._bytes = 0

    def recover(self, initialize: bool) -> Recovered:
        """`initialize`: this is a new server, whose empty history may vote; else it lost everything it had."""
        self._restart(0 if initialize else NO_ZXID, [])
        return Recovered(0, 0, self._history(), initialize)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _history(self) -> History:
        return History(self._base, tuple(self._chunks), tuple(self._batches), self._end)

    @property
    def _end(self) -> Zxid:
        return self._batches[-1].last if self._batches else self._start

    # -- the log

    def append(self, gen: Generation, batch: TxnBatch) -> None:
        assert self._base != NO_ZXID, "nothing can be logged before a snapshot is installed (Z-12)"
        assert follows(batch.first, self._end), (batch.first, self._end)
        self._batches.append(batch)
        self._txns += batch.count
        self._bytes += len(batch.body)
        if self._txns > self._txns_max or self._bytes > self._bytes_max:
            self._drop_oldest()
        self._unreported = Flushed(gen, batch.last)

    def _drop_oldest(self) -> None:
        """Drop down to seven eighths of what may be kept, so that the list is moved rarely."""
        number = 0
        for batch in self._batches:
            if self._txns <= self._txns_max * 7 // 8 and self._bytes <= self._bytes_max * 7 // 8:
                break
            self._start = batch.last
            self._txns -= batch.count
            self._bytes -= len(batch.body)
            number += 1
        del self._batches[:number]
        self._chunks = []  # without what followed it the snapshot is of no use

    def flush(self) -> Flushed | None:
        flushed, self._unreported = self._unreported, None
        return flushed

    def barrier(self) -> None:
        self._unreported = None

    def truncate(self, gen: Generation, zxid: Zxid) -> Truncated:
        self.barrier()
        if self._start != self._base or self._previous(zxid) != zxid:
            return Truncated(gen, None)
        kept = list(self._read(self._base, zxid))
        self._restart(self._base, self._chunks)
        self._batches = kept
        self._txns = sum(batch.count for batch in kept)
        self._bytes = sum(len(batch.body) for batch in kept)
        return Truncated(gen, self._history())

    def read_log(self, learner: PeerId, session: Session, after: Zxid, until: Zxid, bytes_max: int) -> LogRead:
        previous = self._previous(after)
        if previous == NO_ZXID:
            return LogRead(learner, session, NO_ZXID, None)
        batches = read_slice(previous, self._read(previous, until), bytes_max)
        later = len(self._batches) - bisect_right(self._batches, previous, key=_last)
        log_bytes = self._bytes * later // max(len(self._batches), 1)
        return LogRead(learner, session, previous, batches, log_bytes, sum(map(len, self._chunks)))

    def _previous(self, zxid: Zxid) -> Zxid:
        """The greatest zxid kept, or just before what is kept, that is <= `zxid`; NO_ZXID if there is none."""
        at = bisect_right(self._batches, zxid, key=_first) - 1
        if at >= 0:
            return min(zxid, self._batches[at].last)
        return self._start if zxid >= self._start else NO_ZXID

    def _read(self, after: Zxid, upto: Zxid) -> Iterator[TxnBatch]:
        start = bisect_right(self._batches, after, key=_last)
        stop = bisect_right(self._batches, upto, key=_first)
        for batch in self._batches[start:stop] if after < upto else ():
            yield prefix_batch(split_batch(batch, after), upto)

    # -- snapshots and epochs

    def install(self, gen: Generation, zxid: Zxid, data: bytes, *, first: bool, last: bool) -> None:  # noqa: ARG002
        self.barrier()
        if first:
            self._installing = []
        self._installing.append(data)
        if last:
            self._restart(zxid, self._installing)
            self._installing = []

    def begin_snapshot(self, zxid: Zxid, chunks: Iterable[bytes]) -> None:
        """A snapshot of its own would be of no use to it: none is made."""

    def snapshot_outcome(self) -> bool | None:
        return False

    def end_snapshot(self, *, keep: bool, log_after: Zxid | None) -> None: ...

    def save_accepted_epoch(self, epoch: Epoch) -> None:  # noqa: ARG002
        self.barrier()

    def save_current_epoch(self, epoch: Epoch) -> None:  # noqa: ARG002
        self.barrier()

    # -- inspection

    def log_runs(self) -> list[tuple[Zxid, Zxid]]:
        """As `FileStore.log_runs`, with what was dropped counted to the base."""
        runs: list[tuple[Zxid, Zxid]] = [] if self._base == NO_ZXID else [(0, self._start)]
        for batch in self._batches:
            if len(runs) > 1 and batch.first == runs[-1][1] + 1:
                runs[-1] = (runs[-1][0], batch.last)
            else:
                runs.append((batch.first, batch.last))
        return runs

    def batches(self, after: Zxid = NO_ZXID) -> Iterator[TxnBatch]:
        return self._read(after, self._end)
