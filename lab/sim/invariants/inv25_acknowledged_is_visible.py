"""INV-25: every acknowledged write is visible at its zxid on any server whose lastProcessed >= zxid.

Every server applies the committed sequence (INV-6, INV-17): so the write must stand in it, at the zxid that its client
was told, with the outcome that it was told.  A multi stands there with all its parts, or failed with an error for each
(zab.md 8.4).
"""

from lab.service.requests import (
    Create,
    CreateMode,
    Delete,
    Done,
    ErrorCode,
    Multi,
    MultiDone,
    MultiFailed,
    Op,
    SetData,
    Write,
)
from lab.service.transactions import (
    Change,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiErrorTxn,
    MultiTxn,
    SetDataTxn,
    Txn,
)
from lab.sim.client import Operation, Outcome
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import Zxid, show


class AcknowledgedIsVisible(Invariant):
    name = "INV-25"

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        committed = self.facts.history
        for operation in rest.operations:
            if operation.reply is not None and isinstance(operation.request, Write):
                self._check(operation, operation.request, committed.get(operation.zxid), operation.zxid)

    def _check(self, operation: Operation, request: Write, txn: Txn | None, zxid: Zxid) -> None:
        if txn is None or isinstance(txn, ErrorTxn | MultiErrorTxn) is not (operation.outcome is Outcome.FAILED):
            fits = False
        else:
            came_of_it = (txn.session, txn.cxid) == (operation.session, request.cxid)
            fits = came_of_it and (_multi_fits if isinstance(request, Multi) else _write_fits)(operation, txn)
        if not fits:
            raise self.error(
                f"{request} of session {operation.session} is told {operation.reply}, committed at {show(zxid)} is "
                f"{txn if txn is not None else 'nothing'}"
            )


def _write_fits(operation: Operation, txn: Txn) -> bool:
    request, reply = operation.request, operation.reply
    match txn:
        case ErrorTxn():
            return True
        case CreateTxn():  # whose name a sequential node gets is INV-27's
            return isinstance(request, Create) and request.data == txn.data and txn.path.startswith(request.path)
        case SetDataTxn():
            same = isinstance(request, SetData) and (request.path, request.data) == (txn.path, txn.data)
            return same and isinstance(reply, Done) and reply.version == txn.version
        case DeleteTxn():
            return isinstance(request, Delete) and request.path == txn.path
    return False


def _multi_fits(operation: Operation, txn: Txn) -> bool:
    """All of it took effect and is told so, or nothing did and the first op that failed is named."""
    assert isinstance(operation.request, Multi)
    ops = operation.request.ops
    match operation.reply, txn:
        case MultiDone(results=results), MultiTxn(txns=txns):
            return [*map(_told, txns)] == results and [*map(_common, txns)] == [*map(_common, ops)]
        case MultiFailed(errors=errors), MultiErrorTxn(errors=committed):
            tried = next((index for index, error in enumerate(errors, 1) if error), 0)
            not_tried = [ErrorCode.RUNTIME_INCONSISTENCY] * (len(ops) - tried)
            return errors == committed and tried > 0 and errors[tried:] == not_tried
    return False


def _common(part: Op | Change) -> tuple[str, str, bytes]:
    """What a multi's op and the change that came of it have in common."""
    numbered = isinstance(part, CreateTxn) and part.flags == CreateMode.PERSISTENT_SEQUENTIAL
    name = type(part).__name__.removesuffix("Op").removesuffix("Txn")
    return name, part.path[:-10] if numbered else part.path, getattr(part, "data", b"")


def _told(part: Change) -> str | int:
    return part.path if isinstance(part, CreateTxn) else 0 if isinstance(part, DeleteTxn) else part.version
