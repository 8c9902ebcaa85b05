"""The clients' codec: its bounds, and what its largest frame becomes."""

import pytest

from lab.service.host import CLIENT_FRAME_BYTES_MAX
from lab.service.prepare import Preparer
from lab.service.proposals import BATCH_BYTES_MAX
from lab.service.requests import (
    MULTI_OPS_MAX,
    CheckOp,
    Create,
    CreateOp,
    Delete,
    DeleteOp,
    Multi,
    Request,
    SetData,
    SetDataOp,
    decode_requests,
    encode_frame,
)
from lab.service.transactions import Txn, encode_txns
from lab.service.tree import Tree
from lab.transport.ring import FRAME_BYTES_MAX
from lab.zab.messages import MalformedError

SEQUENTIAL = 2
OPS = (CreateOp("/", b"", SEQUENTIAL), CreateOp("/x", b""), SetDataOp("/", b""), CheckOp("/"), DeleteOp("/y"))


@pytest.mark.parametrize(
    "ops",
    [
        [],
        [DeleteOp("/a")] * (MULTI_OPS_MAX + 1),
        [Multi(1, [DeleteOp("/a")])],  # no multi within a multi
        [Delete(1, "/a")],
        [DeleteOp("/a", -2)],
        [CreateOp("", b"")],
    ],
)
def test_a_multi_out_of_bounds_is_malformed(ops: list[DeleteOp]):
    with pytest.raises(MalformedError):
        decode_requests(encode_frame([Multi(1, ops)]))


def test_a_check_is_no_request_of_its_own():
    with pytest.raises(MalformedError):
        decode_requests(encode_frame([CheckOp("/a", 1)]))


@pytest.mark.parametrize(
    "request_",
    [
        SetData(1, "/", b""),
        Create(1, "/", b"", SEQUENTIAL),
        Delete(1, "/y"),
        *[Multi(1, [op] * MULTI_OPS_MAX) for op in OPS],
        *[Multi(1, [op]) for op in OPS],
    ],
    ids=str,
)
def test_the_transactions_of_the_largest_batch_fit_a_link(request_: Request):
    """A batch takes frames until it passes BATCH_BYTES_MAX; small requests grow most when they become transactions."""
    tree, session, txns = Tree(), (1 << 63) - 1, list[Txn]()
    tree.open_session(session, 1)
    for path in ("/x", "/y"):
        tree.create(path, b"", 1)
    tree.nodes["/"].version = (1 << 31) - 2
    Preparer(tree).prepare(session, 1, [request_] * 100, txns)
    growth = len(encode_txns(txns)) / len(encode_frame([request_] * 100))
    assert growth * (BATCH_BYTES_MAX + CLIENT_FRAME_BYTES_MAX) < FRAME_BYTES_MAX
