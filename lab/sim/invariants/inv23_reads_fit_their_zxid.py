"""INV-23: session monotonic reads and read-your-writes, across reconnects.

A session's zxids never decrease (INV-22), also from one server to the next: so it is enough that every read, and every
refusal, tells the state at its zxid.
"""

from collections.abc import Iterable

from lab.service.requests import Children, Data, Exists, Failed, GetChildren, GetData, StatReply
from lab.service.transactions import Txn
from lab.sim.client import Operation
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.facts import Facts
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import Zxid, show

_READS = (Exists, GetData, GetChildren)


class ReadsFitTheirZxid(Invariant):
    name = "INV-23"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._answered: dict[Zxid, list[Operation]] = {}
        self._at: Zxid = 0  # what the fold is of

    def begin_rest(self, rest: Rest) -> None:
        for operation in rest.operations:
            if operation.reply is not None and isinstance(operation.request, _READS):
                self._answered.setdefault(operation.zxid, []).append(operation)

    def before_txn(self, fold: Fold, zxid: Zxid, txn: Txn) -> None:
        if zxid != self._at:  # a multi comes part by part; nobody may see the state between
            self._check(fold, self._at, self._answered.pop(self._at, ()))
            self._at = zxid

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        self._check(fold, self._at, self._answered.pop(self._at, ()))
        if self._answered:
            zxids = [show(zxid) for zxid in sorted(self._answered)]
            raise self.error(f"reads are answered at {zxids}, which is not committed")

    def _check(self, fold: Fold, zxid: Zxid, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if not _fits(fold, operation):
                path = operation.request.path  # type: ignore[union-attr]
                raise self.error(
                    f"{operation.request} is told {operation.reply}, at {show(zxid)} the node is {fold.nodes.get(path)}"
                )


def _fits(fold: Fold, operation: Operation) -> bool:
    request, reply = operation.request, operation.reply
    assert isinstance(request, _READS)
    node = fold.nodes.get(request.path)
    match reply:
        case Failed():
            return node is None
        case Data(mzxid=mzxid, version=version, data=data):
            return node == (data, version, mzxid)
        case StatReply(stat=stat):
            return node is not None and (stat.data_length, stat.version, stat.mzxid) == (len(node[0]), *node[1:])
        case Children(names=names):
            return node is not None and names == fold.children(request.path)
    return False
