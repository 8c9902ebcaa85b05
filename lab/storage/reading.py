"""The answer to ReadLog, the same for every store."""

from collections.abc import Iterable

from lab.zab.config import PeerId
from lab.zab.events import LogRead, Session
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, follows


def answer_read(learner: PeerId, session: Session, previous: Zxid, batches: Iterable[TxnBatch]) -> LogRead:
    """`batches` follow `previous`; a pair that leaves a hole makes the answer None (Z-8)."""
    taken: list[TxnBatch] = []
    last = previous
    for batch in batches:
        if not follows(batch.first, last):
            return LogRead(learner, session, previous, None)
        taken.append(batch)
        last = batch.last
    return LogRead(learner, session, previous, tuple(taken))
