"""Reading the log for a learner, slice by slice, the same for every store (R4, Z-18)."""

from collections.abc import Iterable

from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, follows


def read_slice(previous: Zxid, batches: Iterable[TxnBatch], bytes_max: int) -> tuple[TxnBatch, ...] | None:
    """The first of `batches`, which follow `previous`, until they have `bytes_max` bytes: what is behind is not read.

    None if there is a hole (Z-8).
    """
    taken: list[TxnBatch] = []
    last, size = previous, 0
    for batch in batches:
        if not follows(batch.first, last):
            return None
        taken.append(batch)
        last, size = batch.last, size + len(batch.body)
        if size >= bytes_max:
            break
    return tuple(taken)
