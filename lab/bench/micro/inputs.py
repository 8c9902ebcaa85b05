"""What the parts are given: keys and values as in the default workload, the same in every process."""

from lab.service.requests import GetData, SetData
from lab.service.transactions import SetDataTxn, encode_txns
from lab.service.tree import Tree
from lab.zab.batches import make_batch
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, make_zxid

KEYS = 1000
VALUE_BYTES = 100
SESSION = 1
FIRST = make_zxid(1, 1)

PATHS = tuple(f"/k{number}" for number in range(KEYS))


def value(number: int) -> bytes:
    return number.to_bytes(8, "little") + bytes(VALUE_BYTES - 8)


def path(number: int) -> str:
    return PATHS[number % KEYS]


def sets(count: int, start: int = 0) -> list[SetData]:
    """One client's: their cxids count from 1."""
    return [SetData(at + 1, path(start + at), value(start + at)) for at in range(count)]


def reads(count: int, start: int = 0) -> list[GetData]:
    return [GetData(at + 1, path(start + at)) for at in range(count)]


def set_txns(count: int, start: int = 0) -> list[SetDataTxn]:
    """What `sets` become on a tree on which nothing was set yet."""
    return [SetDataTxn(SESSION, one.cxid, one.path, one.data, 1) for one in sets(count, start)]


def set_body(count: int, start: int = 0) -> bytes:
    return encode_txns(set_txns(count, start))


def batches(number: int, count: int, first: Zxid = FIRST) -> list[TxnBatch]:
    """`number` batches of `count` transactions, one after the other."""
    body = set_body(count)
    return [make_batch(first + at * count, count, body) for at in range(number)]


def tree() -> Tree:
    """All keys, without data, and the session."""
    made = Tree()
    for number, name in enumerate(PATHS, 1):
        made.create(name, b"", number)
    made.open_session(SESSION, 1)
    return made
