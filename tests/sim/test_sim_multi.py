"""What clients are told of sequential nodes and multis, against what was committed (INV-25, INV-27)."""

import pytest

from lab.service.requests import (
    CheckOp,
    Create,
    Created,
    CreateMode,
    CreateOp,
    Data,
    Done,
    ErrorCode,
    GetData,
    Multi,
    MultiDone,
    MultiFailed,
    Op,
    Reply,
    Request,
    SetDataOp,
)
from lab.service.transactions import (
    CheckTxn,
    CreateTxn,
    ErrorTxn,
    MultiErrorTxn,
    MultiTxn,
    SetDataTxn,
    Txn,
    encode_txns,
)
from lab.sim.client import Operation, Outcome
from lab.sim.errors import InvariantError
from lab.sim.invariants.rest import Rest
from lab.sim.invariants.suite import Suite
from lab.zab.batches import make_batch
from lab.zab.config import ZabConfig

SEQUENTIAL = CreateMode.PERSISTENT_SEQUENTIAL
OK, NOT_TRIED = ErrorCode.OK, ErrorCode.RUNTIME_INCONSISTENCY


def check_operations(history: list[tuple[int, Txn]], operations: list[Operation]) -> None:
    suite = Suite(ZabConfig(voters=(1,)))
    suite.facts.learn_disk(0, [make_batch(zxid, 1, encode_txns([txn])) for zxid, txn in history])
    suite.facts.top = history[-1][0]
    suite.at_rest(Rest({}, operations))


def operation(request: Request, reply: Reply) -> Operation:
    operation = Operation(1, request, 0)
    operation.reply = reply
    operation.outcome = Outcome.FAILED if isinstance(reply, MultiFailed) else Outcome.ACKNOWLEDGED
    return operation


def numbered(zxid: int, path: str) -> tuple[int, Txn]:
    return zxid, CreateTxn(1, zxid, path, b"", SEQUENTIAL)


def test_numbers_that_count_all_children_pass():
    plain = (2, CreateTxn(1, 2, "/b", b""))
    history = [numbered(1, "/a-0000000000"), plain, numbered(3, "/a-0000000002"), numbered(4, "/b/0000000000")]
    check_operations(history, [operation(Create(3, "/a-", b"", SEQUENTIAL), Created(3, 3, "/a-0000000002"))])


@pytest.mark.parametrize("second", ["/b-0000000000", "/b-0000000002"], ids=["given twice", "left out"])
@pytest.mark.covers("INV-27")
def test_a_number_out_of_turn_is_found(second: str):
    with pytest.raises(InvariantError, match="INV-27"):
        check_operations([numbered(1, "/a-0000000000"), numbered(2, second)], [])


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (Create(1, "/a-", b"", SEQUENTIAL), Created(1, 1, "/a-0000000001")),  # of no node
        (Create(1, "/b-", b"", SEQUENTIAL), Created(1, 1, "/a-0000000000")),  # of another request
        (Create(1, "/a-", b"", SEQUENTIAL), Done(1, 1, 0)),
        (Create(1, "/a-", b""), Created(1, 1, "/a-0000000000")),
    ],
)
def test_a_reply_that_does_not_name_the_node_is_found(request_: Request, reply: Reply):
    with pytest.raises(InvariantError, match=r"INV-25|INV-27"):
        check_operations([numbered(1, "/a-0000000000")], [operation(request_, reply)])


BOTH = Multi(2, [SetDataOp("/a", b"x"), CheckOp("/a", 1)])
SET, CHECKED = SetDataTxn(0, 0, "/a", b"x", 1), CheckTxn(0, 0, "/a", 1)
ALL = MultiTxn(1, 2, [SET, CHECKED])


@pytest.mark.parametrize(
    ("ops", "txn", "reply"),
    [
        (BOTH.ops, ALL, MultiDone(2, 2, [1, 1])),
        (
            [SetDataOp("/a", b""), CheckOp("/a", 7)],
            MultiErrorTxn(1, 2, [OK, ErrorCode.BAD_VERSION]),
            MultiFailed(2, 2, [OK, ErrorCode.BAD_VERSION]),
        ),
        (
            [CheckOp("/b"), SetDataOp("/a", b"")],
            MultiErrorTxn(1, 2, [ErrorCode.NO_NODE, NOT_TRIED]),
            MultiFailed(2, 2, [ErrorCode.NO_NODE, NOT_TRIED]),
        ),
    ],
)
def test_all_and_nothing_pass(ops: list[Op], txn: Txn, reply: Reply):
    check_operations([(1, CreateTxn(1, 1, "/a", b"")), (2, txn)], [operation(Multi(2, ops), reply)])


@pytest.mark.parametrize(
    ("txn", "reply"),
    [
        (MultiTxn(1, 2, [SET]), MultiDone(2, 2, [1])),
        (MultiTxn(1, 2, [SET, SetDataTxn(0, 0, "/a", b"y", 2)]), MultiDone(2, 2, [1, 2])),
        (ALL, MultiDone(2, 2, [1, 2])),
        (ALL, Done(2, 2, 1)),
        (ALL, MultiFailed(2, 2, [ErrorCode.NO_NODE, NOT_TRIED])),
        (ErrorTxn(1, 2, -101), MultiDone(2, 2, [1, 1])),
        (MultiErrorTxn(1, 2, [-101, 0]), MultiFailed(2, 2, [-101, 0])),
        (MultiErrorTxn(1, 2, [0, 0]), MultiFailed(2, 2, [0, 0])),
        (MultiErrorTxn(1, 2, [-101, -2]), MultiFailed(2, 2, [0, -101])),
    ],
)
@pytest.mark.covers("X-31")
def test_half_a_multi_is_found(txn: Txn, reply: Reply):
    with pytest.raises(InvariantError, match=r"INV-24|INV-25"):
        check_operations([(1, CreateTxn(1, 1, "/a", b"")), (2, txn)], [operation(BOTH, reply)])


def test_a_read_that_shows_half_a_multi_is_found():
    history = [(1, MultiTxn(1, 1, [CreateTxn(0, 0, "/a", b"x"), CreateTxn(0, 0, "/b", b"x")]))]
    written = operation(Multi(1, [CreateOp("/a", b"x"), CreateOp("/b", b"x")]), MultiDone(1, 1, ["/a", "/b"]))
    check_operations(history, [written, operation(GetData(2, "/b"), Data(2, 1, 1, 0, b"x"))])
    missing = operation(GetData(2, "/b"), MultiFailed(2, 1, [ErrorCode.NO_NODE]))
    with pytest.raises(InvariantError, match="INV-23"):
        check_operations(history, [written, missing])
