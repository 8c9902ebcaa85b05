"""The answer to ReadLog, the same for every store."""

from collections.abc import Iterable

from lab.zab.config import PeerId
from lab.zab.events import LogRead, Session
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, follows

READ_BYTES_MAX = 16 << 20  # with what the leader's memory adds it must fit what may wait in one link


def answer_read(learner: PeerId, session: Session, previous: Zxid, batches: Iterable[TxnBatch]) -> LogRead:
    """`batches` follow `previous`; a pair that leaves a hole makes the answer None (Z-8).

    So do more than READ_BYTES_MAX: the learner gets the tree instead of a log that would hold up the leader (zab.md
    4.3, R4; ZooKeeper: snapshotSizeFactor).
    """
    taken: list[TxnBatch] = []
    last, size = previous, 0
    for batch in batches:
        size += len(batch.body)
        if not follows(batch.first, last) or size > READ_BYTES_MAX:
            return LogRead(learner, session, previous, None)
        taken.append(batch)
        last = batch.last
    return LogRead(learner, session, previous, tuple(taken))
