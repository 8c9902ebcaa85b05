"""Validation against applied plus in-flight state: it must equal applying one by one (zab.md 5.2)."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_fakes import Write

import lab.service.overlay as overlay_module
from lab.service.outcomes import apply_txn
from lab.service.prepare import Preparer
from lab.service.requests import (
    PATH_CHARS_MAX,
    CheckOp,
    Connect,
    Create,
    CreateMode,
    CreateOp,
    Delete,
    DeleteOp,
    ErrorCode,
    Multi,
    Op,
    SetData,
    SetDataOp,
)
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
from lab.service.tree import Tree, parent_of

SEQUENTIAL = CreateMode.PERSISTENT_SEQUENTIAL
PATHS = ("/a", "/b", "/a/x", "/a/y", "/b/z")
paths = st.sampled_from(PATHS)
versions = st.sampled_from((-1, -1, 0, 1, 2))
numbered_paths = st.sampled_from(("/a", "/a/x", "/b/", "/"))
ops = st.one_of(
    st.builds(CreateOp, paths, st.binary(max_size=2)),
    st.builds(CreateOp, numbered_paths, st.just(b""), st.just(SEQUENTIAL)),
    st.builds(DeleteOp, paths, versions),
    st.builds(SetDataOp, paths, st.binary(max_size=2), versions),
    st.builds(CheckOp, paths, versions),
)
writes = st.one_of(
    st.builds(Multi, st.just(1), st.lists(ops, min_size=1, max_size=4)),
    st.builds(Create, st.just(1), paths, st.binary(max_size=2)),
    st.builds(Create, st.just(1), numbered_paths, st.just(b""), st.just(SEQUENTIAL)),
    st.builds(Delete, st.just(1), paths, versions),
    st.builds(SetData, st.just(1), paths, st.binary(max_size=2), versions),
)


class Model:
    """Requests applied one by one to a dict of versions."""

    def __init__(self) -> None:
        self.versions = {"/": 0}
        self.creates = {"/": 0}

    def apply(self, request: Write) -> Txn:
        if isinstance(request, Multi):
            return self._apply_all(request.ops)
        outcome = self._apply_one(request, 1)
        return ErrorTxn(1, 1, outcome) if isinstance(outcome, ErrorCode) else outcome

    def _apply_all(self, ops: Sequence[Op]) -> Txn:
        before, txns = (dict(self.versions), dict(self.creates)), list[Change]()
        for op in ops:
            outcome = self._apply_one(op, 0)
            if isinstance(outcome, ErrorCode):
                self.versions, self.creates = before
                later = [ErrorCode.RUNTIME_INCONSISTENCY] * (len(ops) - len(txns) - 1)
                return MultiErrorTxn(1, 1, [ErrorCode.OK] * len(txns) + [outcome, *later])
            txns.append(outcome)
        return MultiTxn(1, 1, txns)

    def _apply_one(self, request: Create | Delete | SetData | Op, owner: int) -> Change | ErrorCode:
        path, held = request.path, self.versions
        has_children = any(other != "/" and parent_of(other) == path for other in held)
        match request:
            case Create(flags=flags) | CreateOp(flags=flags):
                parent = parent_of(path)
                if parent not in held:
                    return ErrorCode.NO_NODE
                if flags == SEQUENTIAL:
                    path += f"{self.creates[parent]:010d}"
                if path in held:
                    return ErrorCode.NODE_EXISTS
                self.creates[parent] += 1
                held[path] = self.creates[path] = 0
                return CreateTxn(owner, owner, path, request.data, flags)
            case _ if path not in held:
                return ErrorCode.NO_NODE
            case _ if request.version not in (-1, held[path]):
                return ErrorCode.BAD_VERSION
            case SetData() | SetDataOp():
                held[path] += 1
                return SetDataTxn(owner, owner, path, request.data, held[path])
            case CheckOp():
                return CheckTxn(owner, owner, path, held[path])
            case _ if has_children:
                return ErrorCode.NOT_EMPTY
        del held[path]
        return DeleteTxn(owner, owner, path)


def preparer_of(*paths: str, session: int = 1) -> tuple[Preparer, Tree]:
    tree = Tree()
    tree.open_session(session, 1)
    for zxid, path in enumerate(paths, 1):
        tree.create(path, b"", zxid)
    return Preparer(tree), tree


def prepare(preparer: Preparer, *requests: Write | Connect, session: int = 1, attachment: int = 1) -> list[Txn]:
    txns: list[Txn] = []
    preparer.prepare(session, attachment, requests, txns)
    return txns


@given(st.lists(st.tuples(st.lists(writes, min_size=1, max_size=6), st.integers(0, 3)), max_size=12))
@pytest.mark.covers("S71", "S72", "S73")
def test_pipelined_equals_one_by_one(turns: list[tuple[list[Write], int]]):
    """In each turn some requests are prepared as one batch, then some of the batches in flight are applied."""
    (preparer, tree), model = preparer_of(), Model()
    in_flight: list[list[Txn]] = []
    zxid = 0
    for requests, applied in turns:
        txns = prepare(preparer, *requests)
        assert txns == [model.apply(request) for request in requests]
        in_flight.append(txns)
        for batch in in_flight[:applied]:
            for txn in batch:
                zxid += 1
                apply_txn(tree, txn, zxid)
        del in_flight[:applied]
        if not in_flight:
            preparer.forget()
    for txn in (txn for batch in in_flight for txn in batch):
        zxid += 1
        apply_txn(tree, txn, zxid)
    assert {path: node.version for path, node in tree.nodes.items()} == model.versions
    assert {path: node.creates for path, node in tree.nodes.items()} == {p: model.creates[p] for p in model.versions}


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Create(1, "/a", b""), ErrorCode.NODE_EXISTS),
        (Create(1, "/", b""), ErrorCode.NODE_EXISTS),
        (Create(1, "/no/child", b""), ErrorCode.NO_NODE),
        (Create(1, "/a/", b""), ErrorCode.BAD_ARGUMENTS),
        (Create(1, "/e", b"", 1), ErrorCode.UNIMPLEMENTED),  # ephemeral: later
        (Create(1, "/a/x/../q-", b"", SEQUENTIAL), ErrorCode.BAD_ARGUMENTS),
        (Create(1, "/no/q-", b"", SEQUENTIAL), ErrorCode.NO_NODE),
        (Create(1, "/" + "q" * (PATH_CHARS_MAX - 10), b"", SEQUENTIAL), ErrorCode.BAD_ARGUMENTS),  # with its number
        (SetData(1, "/no", b""), ErrorCode.NO_NODE),
        (SetData(1, "/a", b"", 3), ErrorCode.BAD_VERSION),
        (Delete(1, "/no"), ErrorCode.NO_NODE),
        (Delete(1, "/a", 3), ErrorCode.BAD_VERSION),
        (Delete(1, "/a"), ErrorCode.NOT_EMPTY),
        (Delete(1, "/"), ErrorCode.BAD_ARGUMENTS),
    ],
)
@pytest.mark.covers("S26")
def test_refusal_is_an_error_transaction(request_: Write, error: ErrorCode):
    preparer, _ = preparer_of("/a", "/a/x")
    assert prepare(preparer, request_) == [ErrorTxn(1, 1, error)]


def test_refused_request_changes_nothing_for_the_next():
    preparer, _ = preparer_of("/a")
    txns = prepare(preparer, SetData(1, "/a", b"", 7), SetData(2, "/a", b"", 0), SetData(3, "/a", b"", 0))
    assert [type(txn) for txn in txns] == [ErrorTxn, SetDataTxn, ErrorTxn]


@pytest.mark.covers("X-42")
def test_version_never_becomes_any():
    preparer, tree = preparer_of("/a")
    tree.set_data("/a", b"", 0x7FFFFFFE, 9)
    last = MultiTxn(1, 1, [SetDataTxn(0, 0, "/a", b"", 0x7FFFFFFF), SetDataTxn(0, 0, "/a", b"", 0)])  # ZOOKEEPER-4743
    assert prepare(preparer, Multi(1, [SetDataOp("/a", b"")] * 2)) == [last]
    preparer.forget()
    assert prepare(preparer, SetData(2, "/a", b""), SetData(3, "/a", b"")) == [
        SetDataTxn(1, 2, "/a", b"", 0x7FFFFFFF),
        SetDataTxn(1, 3, "/a", b"", 0),
    ]


# -- sequential nodes (zab.md 8.1)


def numbered(preparer: Preparer, path: str) -> str:
    """The path that the next sequential create gets."""
    (txn,) = prepare(preparer, Create(1, path, b"", SEQUENTIAL))
    assert isinstance(txn, CreateTxn), txn
    return txn.path


def test_every_create_in_flight_counts_for_the_next_number_and_no_delete_does():
    preparer, _ = preparer_of("/q", "/q/applied")
    assert numbered(preparer, "/q/a-") == "/q/a-0000000001"
    prepare(preparer, Create(1, "/q/plain", b""), Delete(1, "/q/plain"), Delete(1, "/q/a-0000000001"))
    assert numbered(preparer, "/q/b-") == "/q/b-0000000003"
    assert numbered(preparer, "/q/") == "/q/0000000004"  # a name may be all number


def test_a_refused_create_takes_no_number():
    preparer, _ = preparer_of("/q")
    prepare(preparer, Create(1, "/q/a", b""), Create(1, "/q/a", b""), Create(1, "/q/e", b"", 1))
    assert numbered(preparer, "/q/") == "/q/0000000001"


def test_another_incarnation_of_the_parent_counts_anew():
    preparer, _ = preparer_of("/q", "/q/x")
    prepare(preparer, Delete(1, "/q/x"), Delete(1, "/q"), Create(1, "/q", b""))
    assert numbered(preparer, "/q/") == "/q/0000000000"


def test_numbers_end_rather_than_wrap():
    preparer, tree = preparer_of("/q")
    tree.nodes["/q"].creates = 0x7FFFFFFF
    assert numbered(preparer, "/q/") == "/q/2147483647"
    assert prepare(preparer, Create(1, "/q/", b"", SEQUENTIAL)) == [ErrorTxn(1, 1, ErrorCode.QUOTA_EXCEEDED)]
    assert isinstance(prepare(preparer, Create(1, "/q/plain", b""))[0], CreateTxn)


@pytest.mark.covers("INV-27")
def test_a_new_leadership_goes_on_where_the_applied_tree_stands():
    preparer, tree = preparer_of("/q", "/q/x")
    applied = prepare(preparer, Create(1, "/q/", b"", SEQUENTIAL))
    prepare(preparer, Create(1, "/q/", b"", SEQUENTIAL))  # in flight when the leadership ends, and lost
    apply_txn(tree, applied[0], 9)
    successor = Preparer(Tree.load(tree.chunks()))
    assert numbered(successor, "/q/") == "/q/0000000002"


# -- multi (zab.md 8.4)


def test_a_failed_multi_leaves_no_trace():
    preparer, _ = preparer_of("/q", "/q/x", "/c")
    failing = Multi(
        1,
        [
            CreateOp("/q/", b"", SEQUENTIAL),
            SetDataOp("/q/x", b"", 0),
            DeleteOp("/q/x"),
            CheckOp("/c", 1),
            CreateOp("/never", b""),
            SetDataOp("/never", b""),
        ],
    )
    ok, bad, not_tried = ErrorCode.OK, ErrorCode.BAD_VERSION, ErrorCode.RUNTIME_INCONSISTENCY
    assert prepare(preparer, failing) == [MultiErrorTxn(1, 1, [ok, ok, ok, bad, not_tried, not_tried])]
    assert prepare(preparer, SetData(2, "/q/x", b"", 0)) == [SetDataTxn(1, 2, "/q/x", b"", 1)]  # there, and unchanged
    assert numbered(preparer, "/q/") == "/q/0000000001"  # no number was taken
    assert prepare(preparer, SetData(3, "/never", b"")) == [ErrorTxn(1, 3, ErrorCode.NO_NODE)]


@pytest.mark.covers("S7")
def test_ops_of_a_multi_see_those_before_them_and_what_is_in_flight():
    preparer, _ = preparer_of("/a")
    prepare(preparer, SetData(1, "/a", b""), Create(2, "/b", b""))
    ops = [CheckOp("/a", 1), SetDataOp("/a", b"x", 1), CheckOp("/a", 2), DeleteOp("/b"), CreateOp("/b", b"y")]
    assert prepare(preparer, Multi(3, ops)) == [
        MultiTxn(
            1,
            3,
            [
                CheckTxn(0, 0, "/a", 1),
                SetDataTxn(0, 0, "/a", b"x", 2),
                CheckTxn(0, 0, "/a", 2),
                DeleteTxn(0, 0, "/b"),
                CreateTxn(0, 0, "/b", b"y"),
            ],
        )
    ]
    assert prepare(preparer, SetData(4, "/a", b"", 2)) == [SetDataTxn(1, 4, "/a", b"", 3)]


def test_a_multi_of_an_older_attachment_fails_as_a_whole():
    preparer, _ = preparer_of("/a")
    moved = [ErrorTxn(1, 5, ErrorCode.SESSION_MOVED)]
    assert prepare(preparer, Multi(5, [SetDataOp("/a", b"")]), attachment=0) == moved


def test_multis_that_fill_the_overlay_leave_the_rest_for_later(monkeypatch: pytest.MonkeyPatch):
    """A frame of 8 MiB may hold ops on half a million paths."""
    monkeypatch.setattr(overlay_module, "OVERLAY_PATHS_MAX", 4)
    preparer, _ = preparer_of("/a", "/b", "/c", "/d")
    multis = [
        Multi(cxid, [SetDataOp(path, b"") for path in ("/a", "/b", "/c", "/d")[: cxid * 2]]) for cxid in (1, 2, 3)
    ]
    assert [txn.cxid for txn in prepare(preparer, *multis)] == [1, 2]
    assert preparer.is_full


# -- attachments (SessionMoved)


@pytest.mark.covers("X-35")
def test_only_the_newest_attachment_may_write():
    preparer, _ = preparer_of("/a")
    assert prepare(preparer, Connect(1, 2, 0), attachment=2) == [OpenSessionTxn(1, 0, 2)]
    assert prepare(preparer, SetData(5, "/a", b""), attachment=1) == [ErrorTxn(1, 5, ErrorCode.SESSION_MOVED)]
    assert prepare(preparer, Create(6, "/b", b""), attachment=1) == [ErrorTxn(1, 6, ErrorCode.SESSION_MOVED)]
    assert isinstance(prepare(preparer, SetData(5, "/a", b""), attachment=2)[0], SetDataTxn)


@pytest.mark.parametrize("attachment", [0, 1])
def test_late_connect_of_an_older_attachment_fails(attachment: int):
    preparer, _ = preparer_of()
    assert prepare(preparer, Connect(1, attachment, 0)) == [ErrorTxn(1, 0, ErrorCode.SESSION_MOVED)]


def test_unknown_session_may_not_write_and_attaches_with_any_number():
    preparer, _ = preparer_of("/a")
    assert prepare(preparer, SetData(1, "/a", b""), session=7) == [ErrorTxn(7, 1, ErrorCode.SESSION_MOVED)]
    assert prepare(preparer, Connect(7, 0, 0), SetData(1, "/a", b""), session=7, attachment=0) == [
        OpenSessionTxn(7, 0, 0),
        SetDataTxn(7, 1, "/a", b"", 1),
    ]


def test_overlay_is_bounded_and_forgotten_when_nothing_is_in_flight(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(overlay_module, "OVERLAY_PATHS_MAX", 2)
    preparer, _ = preparer_of("/a", "/b")
    prepare(preparer, SetData(1, "/a", b""), SetData(1, "/a", b""))
    assert not preparer.is_full
    prepare(preparer, SetData(1, "/b", b""))
    assert preparer.is_full
    preparer.forget()
    assert not preparer.is_full
