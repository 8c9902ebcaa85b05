"""INV-27: sequence numbers under one incarnation of a parent strictly increase and are unique.

Stronger, and what makes it so: a sequential node's number is how many children this incarnation of its parent has had,
and its client is told the name of the node that was made for it.
"""

from lab.service.requests import Create, Created, CreateMode, Done
from lab.service.transactions import CreateTxn, Txn
from lab.sim.client import Operation, Outcome
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.facts import Facts
from lab.sim.invariants.fold import Fold, parent_of
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import Zxid, show


class SequenceNumbers(Invariant):
    name = "INV-27"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._made: dict[Zxid, str] = {}

    def before_txn(self, fold: Fold, zxid: Zxid, txn: Txn) -> None:
        if not isinstance(txn, CreateTxn):
            return
        self._made[zxid] = txn.path
        family = fold.families.get(parent_of(txn.path))
        if family is None or txn.flags != CreateMode.PERSISTENT_SEQUENTIAL:
            return
        if not txn.path.endswith(f"{family.creates:010d}"):
            raise self.error(f"{show(zxid)} is {txn}, {parent_of(txn.path)} had {family.creates} children before")

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        for operation in rest.operations:
            if isinstance(operation.request, Create) and operation.outcome is Outcome.ACKNOWLEDGED:
                self._check_name(operation, operation.request, self._made.get(operation.zxid, ""))

    def _check_name(self, operation: Operation, request: Create, path: str) -> None:
        reply = operation.reply
        if request.flags == CreateMode.PERSISTENT_SEQUENTIAL:
            fits = isinstance(reply, Created) and reply.path == path and path[:-10] == request.path
        else:
            fits = isinstance(reply, Done) and path == request.path
        if not fits:
            raise self.error(f"{request} is told {reply}, what was made is {path!r}")
