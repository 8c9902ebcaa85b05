"""Clients' histories against what was committed: every reply fits, nothing took effect twice.

INV-22 to 25, INV-27, INV-29.
"""

from collections.abc import Iterable

from lab.service.requests import (
    Children,
    Create,
    Created,
    CreateMode,
    Data,
    Delete,
    Done,
    ErrorCode,
    Failed,
    GetChildren,
    GetData,
    Multi,
    MultiDone,
    MultiFailed,
    Op,
    Reply,
    SetData,
    StatReply,
    Sync,
)
from lab.service.transactions import (
    Change,
    CheckTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiErrorTxn,
    MultiTxn,
    SetDataTxn,
    Txn,
)
from lab.sim.client import Operation, Outcome
from lab.sim.ledger import InvariantError
from lab.zab.zxid import Zxid, show

_Node = tuple[bytes, int, Zxid]  # data, version, mzxid
_WRITES = (Create, Delete, SetData, Multi)
_ERRORS = (ErrorTxn, MultiErrorTxn)


def check_operations(history: Iterable[tuple[Zxid, Txn]], operations: Iterable[Operation]) -> None:
    """Fold the committed transactions and compare every reply with the state at its zxid."""
    answered: dict[Zxid, list[Operation]] = {}
    effects: dict[tuple[int, int], int] = {}
    entries = list(history)
    for operation in operations:
        if operation.reply is not None:
            answered.setdefault(operation.reply.zxid, []).append(operation)  # type: ignore[union-attr]
    nodes: dict[str, _Node] = {"/": (b"", 0, 0)}
    creates = {"/": 0}  # children that each node ever had
    _check_reads(nodes, 0, answered.pop(0, []))
    for zxid, txn in entries:
        _count_children(creates, zxid, txn)
        _apply(nodes, zxid, txn)
        if not isinstance(txn, _ERRORS) and txn.cxid:
            effects[txn.session, txn.cxid] = effects.get((txn.session, txn.cxid), 0) + 1
        replies = answered.pop(zxid, [])
        _check_writes(nodes, zxid, txn, replies)
        _check_reads(nodes, zxid, replies)
    if answered:
        raise InvariantError(f"INV-25: replies at {[show(zxid) for zxid in sorted(answered)]}, which is not committed")
    for (session, cxid), count in effects.items():
        if count > 1:
            raise InvariantError(f"INV-29: request {cxid} of session {session} took effect {count} times")


def _apply(nodes: dict[str, _Node], zxid: Zxid, txn: Txn) -> None:
    match txn:
        case CreateTxn(path=path, data=data):
            nodes[path] = (data, 0, zxid)
        case SetDataTxn(path=path, data=data, version=version):
            assert version == nodes[path][1] + 1, f"{show(zxid)}: {txn} over {nodes[path]}"
            nodes[path] = (data, version, zxid)
        case DeleteTxn(path=path):
            del nodes[path]
        case CheckTxn(path=path, version=version):
            assert version == nodes[path][1], f"{show(zxid)}: {txn} of {nodes[path]}"
        case MultiTxn(txns=txns):
            for part in txns:
                _apply(nodes, zxid, part)


def _count_children(creates: dict[str, int], zxid: Zxid, txn: Txn) -> None:
    """INV-27: a sequential node's number is how many children this incarnation of its parent had before."""
    if isinstance(txn, MultiTxn):
        for part in txn.txns:
            _count_children(creates, zxid, part)
    elif isinstance(txn, DeleteTxn):
        del creates[txn.path]
    elif isinstance(txn, CreateTxn):
        parent = txn.path.rpartition("/")[0] or "/"
        if txn.flags == CreateMode.PERSISTENT_SEQUENTIAL and not txn.path.endswith(f"{creates[parent]:010d}"):
            raise InvariantError(f"INV-27: {show(zxid)} is {txn}, {parent} had {creates[parent]} children before")
        creates[parent] += 1
        creates[txn.path] = 0


def _check_writes(nodes: dict[str, _Node], zxid: Zxid, txn: Txn, operations: Iterable[Operation]) -> None:
    for operation in operations:
        request, reply = operation.request, operation.reply
        if not isinstance(request, _WRITES):
            continue
        if (txn.session, txn.cxid) != (operation.session, request.cxid):
            raise InvariantError(f"INV-24: {request} was acknowledged at {show(zxid)}, which is {txn}")
        if zxid <= operation.floor:
            raise InvariantError(f"INV-24: {request} got {show(zxid)}, sent when {show(operation.floor)} was known")
        if isinstance(txn, _ERRORS) is not (operation.outcome is Outcome.FAILED):
            raise InvariantError(f"INV-25: {request} is told {reply}, committed is {txn}")
        if isinstance(request, SetData) and isinstance(reply, Done) and reply.version != nodes[request.path][1]:
            raise InvariantError(f"INV-25: {request} is told {reply}, the node is {nodes[request.path]}")
        if isinstance(request, Create) and operation.outcome is Outcome.ACKNOWLEDGED:
            _check_name(request, reply, txn)
        if isinstance(request, Multi):
            _check_multi(request, reply, txn)


def _check_name(request: Create, reply: Reply | None, txn: Txn) -> None:
    """INV-27: who asked for a sequential node is told the name of the one that was made for it, others need none."""
    made = txn.path if isinstance(txn, CreateTxn) else ""
    if request.flags == CreateMode.PERSISTENT_SEQUENTIAL:
        fits = isinstance(reply, Created) and reply.path == made and made[:-10] == request.path
    else:
        fits = isinstance(reply, Done) and made == request.path
    if not fits:
        raise InvariantError(f"INV-27: {request} is told {reply}, committed is {txn}")


def _check_multi(request: Multi, reply: Reply | None, txn: Txn) -> None:
    """All of it took effect and is told so, or nothing did and the first op that failed is named (zab.md 8.4)."""
    match reply, txn:
        case MultiDone(results=results), MultiTxn(txns=txns):
            fits = list(map(_told, txns)) == results and list(map(_kind, txns)) == list(map(_kind, request.ops))
        case MultiFailed(errors=errors), MultiErrorTxn(errors=committed):
            tried = next((index for index, error in enumerate(errors, 1) if error), 0)
            not_tried = [ErrorCode.RUNTIME_INCONSISTENCY] * (len(request.ops) - tried)
            fits = errors == committed and tried > 0 and errors[tried:] == not_tried
        case _:
            fits = False
    if not fits:
        raise InvariantError(f"all or nothing: {request} is told {reply}, committed is {txn}")


def _kind(part: Op | Change) -> tuple[str, str, bytes]:
    """What a multi's op and the change that came of it have in common."""
    numbered = isinstance(part, CreateTxn) and part.flags == CreateMode.PERSISTENT_SEQUENTIAL
    name = type(part).__name__.removesuffix("Op").removesuffix("Txn")
    return name, part.path[:-10] if numbered else part.path, getattr(part, "data", b"")


def _told(part: Change) -> str | int:
    return part.path if isinstance(part, CreateTxn) else 0 if isinstance(part, DeleteTxn) else part.version


def _check_reads(nodes: dict[str, _Node], zxid: Zxid, operations: Iterable[Operation]) -> None:
    for operation in operations:
        request, reply = operation.request, operation.reply
        if isinstance(request, (*_WRITES, Sync)):
            continue
        node = nodes.get(request.path) if isinstance(request, GetData) else None
        match reply:
            case Data(mzxid=mzxid, version=version, data=data):
                fits = node == (data, version, mzxid)
            case Children(names=names) if isinstance(request, GetChildren):
                fits = names == _children(nodes, request.path)
            case Failed():
                fits = request.path not in nodes  # type: ignore[union-attr]
            case StatReply(stat=stat):
                held = nodes.get(request.path)  # type: ignore[union-attr]
                fits = held is not None and (stat.version, stat.mzxid) == held[1:] and stat.data_length == len(held[0])
            case _:
                fits = False
        if not fits:
            raise InvariantError(f"INV-23: {request} is told {reply}, at {show(zxid)} the node is {node}")


def _children(nodes: dict[str, _Node], path: str) -> list[str]:
    split = (name.rpartition("/") for name in nodes if name != "/")
    return sorted(child for parent, _, child in split if (parent or "/") == path)
