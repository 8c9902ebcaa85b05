"""What a committed transaction does to the tree, and what the client that asked for it is told."""

from lab.service.requests import Created, CreateMode, Done, Failed, MultiDone, MultiFailed, Reply
from lab.service.transactions import (
    Change,
    CheckTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiErrorTxn,
    MultiTxn,
    OpenSessionTxn,
    SetDataTxn,
    Txn,
)
from lab.service.tree import Tree


def apply_txn(tree: Tree, txn: Txn, zxid: int) -> None:
    if isinstance(txn, CreateTxn):
        tree.create(txn.path, txn.data, zxid)
    elif isinstance(txn, SetDataTxn):
        tree.set_data(txn.path, txn.data, txn.version, zxid)
    elif isinstance(txn, DeleteTxn):
        tree.delete(txn.path, zxid)
    elif isinstance(txn, MultiTxn):
        for part in txn.txns:
            apply_txn(tree, part, zxid)
    elif isinstance(txn, OpenSessionTxn):
        tree.open_session(txn.session, txn.attachment)


def reply_to(txn: Txn, zxid: int) -> Reply:
    """The answer to the write that `txn` came from."""
    if isinstance(txn, CreateTxn) and txn.flags == CreateMode.PERSISTENT_SEQUENTIAL:
        return Created(txn.cxid, zxid, txn.path)
    if isinstance(txn, ErrorTxn):
        return Failed(txn.cxid, zxid, txn.error)
    if isinstance(txn, MultiTxn):
        return MultiDone(txn.cxid, zxid, [_result_of(part) for part in txn.txns])
    if isinstance(txn, MultiErrorTxn):
        return MultiFailed(txn.cxid, zxid, txn.errors)
    return Done(txn.cxid, zxid, txn.version if isinstance(txn, SetDataTxn) else 0)


def _result_of(part: Change) -> str | int:
    if isinstance(part, CreateTxn):
        return part.path
    return part.version if isinstance(part, SetDataTxn | CheckTxn) else 0
