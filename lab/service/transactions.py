"""Transactions: idempotent results of validated requests, as they are logged and broadcast (zab.md 5.2)."""

import msgspec

from lab.service.requests import CreateMode
from lab.zab.messages import Record


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


Txn = OpenSessionTxn | CreateTxn | DeleteTxn | SetDataTxn | ErrorTxn

encode_txns = msgspec.msgpack.Encoder().encode
decode_txns = msgspec.msgpack.Decoder(list[Txn]).decode
