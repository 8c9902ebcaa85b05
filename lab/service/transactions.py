"""Transactions: idempotent results of validated requests, as they are logged and broadcast (zab.md 5.2)."""

from collections.abc import Sequence
from typing import TypeGuard

import msgspec

from lab.service.errors import UnreadableError
from lab.service.requests import CreateMode
from lab.zab.messages import MalformedError, Record, TxnBatch
from lab.zab.zxid import show


class OpenSessionTxn(Record, tag=-10, frozen=True):
    """The session's newest attachment; requests of older ones fail from here on (ZooKeeper: SessionMoved)."""

    session: int
    cxid: int
    attachment: int


class CreateTxn(Record, tag=1, frozen=True):
    """`path` is the final one; `flags` are the request's, so that every server knows what its client is to be told."""

    session: int
    cxid: int
    path: str
    data: bytes
    flags: int = CreateMode.PERSISTENT


class DeleteTxn(Record, tag=2, frozen=True):
    session: int
    cxid: int
    path: str


class SetDataTxn(Record, tag=5, frozen=True):
    """`version` is the new one."""

    session: int
    cxid: int
    path: str
    data: bytes
    version: int


class ErrorTxn(Record, tag=-1, frozen=True):
    """A request that failed validation: it has a zxid and no effect (zab.md 1.2)."""

    session: int
    cxid: int
    error: int


class CheckTxn(Record, tag=13, frozen=True):
    """Part of a multi: the node has this version.  No effect."""

    session: int
    cxid: int
    path: str
    version: int


Change = CreateTxn | DeleteTxn | SetDataTxn | CheckTxn


class MultiTxn(Record, tag=14, frozen=True):
    """One change per op, all at one zxid; session and cxid stand here and are 0 in them."""

    session: int
    cxid: int
    txns: list[Change]


class MultiErrorTxn(Record, tag=-14, frozen=True):
    """A multi of which an op failed validation: like ErrorTxn, with an error per op (zab.md 8.4)."""

    session: int
    cxid: int
    errors: list[int]


Txn = OpenSessionTxn | Change | MultiTxn | ErrorTxn | MultiErrorTxn

encode_txns = msgspec.msgpack.Encoder().encode
decode_txns = msgspec.msgpack.Decoder(list[Txn]).decode


def open_batch(batch: TxnBatch) -> list[Txn]:
    """The transactions of a batch.  Raises UnreadableError."""
    try:
        txns = decode_txns(batch.body)
    except MalformedError as error:
        raise UnreadableError(f"transactions {show(batch.first)} to {show(batch.last)}: {error}") from error
    if len(txns) != batch.count:
        raise UnreadableError(f"transactions {show(batch.first)} to {show(batch.last)}: there are {len(txns)}")
    return txns


def is_run_of_sets(txns: Sequence[Txn]) -> TypeGuard[Sequence[SetDataTxn]]:
    """Whether they are nothing but writes of data, as most batches are."""
    return set(map(type, txns)) == _SETS


_SETS = {SetDataTxn}
