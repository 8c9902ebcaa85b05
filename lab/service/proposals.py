"""The writes of one leadership, from their arrival to their commit."""

from collections import deque

from lab.service.prepare import Prepared, Preparer
from lab.service.transactions import Txn
from lab.service.tree import Tree

BATCH_BYTES_MAX = 1 << 20  # a batch takes no further frame of requests beyond this


class Proposals:
    """Queued in the order of arrival, prepared a batch at a time, in flight until they are delivered."""

    def __init__(self, tree: Tree, batch_txns_max: int) -> None:
        self._batch_txns_max = batch_txns_max
        self._preparer = Preparer(tree)
        self._queue: deque[tuple[int, int, list[Prepared], int]] = deque()  # session, attachment, writes, bytes
        self._in_flight: deque[list[Txn]] = deque()

    def add(self, session: int, attachment: int, writes: list[Prepared], size: int) -> None:
        """Queue one frame's writes; `size` is the frame's in bytes."""
        self._queue.append((session, attachment, writes, size))

    @property
    def is_ready(self) -> bool:
        """Whether there is something to propose, and room to validate it against what is in flight."""
        return bool(self._queue) and not (self._in_flight and self._preparer.is_full)

    def next_batch(self) -> list[Txn]:
        """Prepare the next batch, which the caller submits; it is in flight from now on.

        At most `batch_txns_max` transactions, and no further frame once BATCH_BYTES_MAX is passed or multis have filled
        the overlay.
        """
        txns, size = list[Txn](), 0
        while self._queue and len(txns) < self._batch_txns_max and size < BATCH_BYTES_MAX:
            session, attachment, writes, frame_bytes = self._queue.popleft()
            done, room = len(txns), self._batch_txns_max - len(txns)
            self._preparer.prepare(session, attachment, writes if len(writes) <= room else writes[:room], txns)
            size += frame_bytes
            if len(txns) - done < len(writes):
                self._queue.appendleft((session, attachment, writes[len(txns) - done :], frame_bytes))
                break
        self._in_flight.append(txns)
        return txns

    def take_delivered(self) -> list[Txn]:
        """The oldest batch in flight, which was committed: its leader need not decode what it encoded itself."""
        return self._in_flight.popleft()

    def note_applied(self) -> None:
        """What was taken is in the tree; with nothing left in flight the tree alone says what is."""
        if not self._in_flight:
            self._preparer.forget()
