"""INV-22: session FIFO: the replies of a session come in the order of its requests, with zxids that never decrease.

What of a session takes effect does so in that order, too, answered or not: a request that an older attachment sent must
not come behind the session's later ones (SessionMoved, ZOOKEEPER-710).
"""

from lab.service.transactions import ErrorTxn, MultiErrorTxn, OpenSessionTxn, Txn
from lab.sim.client import Operation
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.facts import Facts
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import Zxid, show


class SessionFifo(Invariant):
    name = "INV-22"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._last_cxid: dict[int, int] = {}

    def before_txn(self, fold: Fold, zxid: Zxid, txn: Txn) -> None:
        if isinstance(txn, ErrorTxn | MultiErrorTxn | OpenSessionTxn) or not txn.cxid:
            return
        last = self._last_cxid.get(txn.session, 0)
        if txn.cxid < last:
            raise self.error(f"{show(zxid)} is request {txn.cxid} of session {txn.session}, which stands behind {last}")
        self._last_cxid[txn.session] = txn.cxid

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        last: dict[int, Operation] = {}
        for operation in rest.operations:
            if operation.reply is None:
                continue
            request, reply = operation.request, operation.reply
            if request.cxid != reply.cxid:  # type: ignore[union-attr]
                raise self.error(f"session {operation.session}: {reply} answers {request}")
            before = last.get(operation.session)
            if before is not None:
                if operation.answered < before.answered:
                    raise self.error(f"session {operation.session}: {request} is answered before {before.request}")
                if operation.zxid < before.zxid:
                    raise self.error(
                        f"session {operation.session}: {request} is answered at {show(operation.zxid)}, "
                        f"{before.request} before it at {show(before.zxid)}"
                    )
            last[operation.session] = operation
