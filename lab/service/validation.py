"""Whether one change of the tree is allowed, and what it then is (zab.md 8.1).

An allowed change is made in the view that is handed in, so that the next one is validated against it.
"""

from typing import Protocol

from lab.service.overlay import Pending
from lab.service.paths import is_valid_path
from lab.service.requests import (
    PATH_CHARS_MAX,
    CheckOp,
    Create,
    CreateMode,
    CreateOp,
    Delete,
    DeleteOp,
    ErrorCode,
    Op,
    SetData,
    SetDataOp,
)
from lab.service.transactions import Change, CheckTxn, CreateTxn, DeleteTxn, SetDataTxn
from lab.service.tree import parent_of

SEQUENCE_MAX = 0x7FFFFFFF  # the last number that a sequential node can get
VERSION_MASK = 0x7FFFFFFF  # a version is never -1, "any" (ZOOKEEPER-4743)


class View(Protocol):
    def look(self, path: str) -> Pending:
        """The node as it will be; whoever changes what is returned changes what comes next."""


def change(view: View, request: Create | Delete | SetData | Op, session: int, cxid: int) -> Change | ErrorCode:
    """The change that `request` is, made in `view`; or why it is none, with nothing changed in `view`."""
    if isinstance(request, (Create, CreateOp)):
        return _create(view, request, session, cxid)
    if isinstance(request, (Delete, DeleteOp)):
        return _delete(view, request, session, cxid)
    node = view.look(request.path)
    if not node.exists:
        return ErrorCode.NO_NODE
    if request.version not in (-1, node.version):
        return ErrorCode.BAD_VERSION
    if isinstance(request, CheckOp):
        return CheckTxn(session, cxid, request.path, node.version)
    assert isinstance(request, (SetData, SetDataOp)), request
    node.version = (node.version + 1) & VERSION_MASK
    return SetDataTxn(session, cxid, request.path, request.data, node.version)


def _create(view: View, request: Create | CreateOp, session: int, cxid: int) -> CreateTxn | ErrorCode:
    path, is_sequential = request.path, request.flags == CreateMode.PERSISTENT_SEQUENTIAL
    if request.flags != CreateMode.PERSISTENT and not is_sequential:
        return ErrorCode.UNIMPLEMENTED
    if path == "/" and not is_sequential:
        return ErrorCode.NODE_EXISTS
    if not is_valid_path(f"{path}0" if is_sequential else path):
        return ErrorCode.BAD_ARGUMENTS
    parent = view.look(parent_of(path))
    if not parent.exists:
        return ErrorCode.NO_NODE
    if is_sequential:
        if parent.creates > SEQUENCE_MAX:  # Differs from ZooKeeper, which goes on with negative numbers
            return ErrorCode.QUOTA_EXCEEDED
        path = f"{path}{parent.creates:010d}"
        if len(path) > PATH_CHARS_MAX:
            return ErrorCode.BAD_ARGUMENTS  # no request could name that node
    node = view.look(path)
    if node.exists:
        return ErrorCode.NODE_EXISTS
    node.exists, node.version, node.children, node.creates = True, 0, 0, 0
    parent.children += 1
    parent.creates += 1
    return CreateTxn(session, cxid, path, request.data, request.flags)


def _delete(view: View, request: Delete | DeleteOp, session: int, cxid: int) -> DeleteTxn | ErrorCode:
    path = request.path
    if path == "/":
        return ErrorCode.BAD_ARGUMENTS
    node = view.look(path)
    if not node.exists:
        return ErrorCode.NO_NODE
    if request.version not in (-1, node.version):
        return ErrorCode.BAD_VERSION
    if node.children:
        return ErrorCode.NOT_EMPTY
    node.exists = False
    view.look(parent_of(path)).children -= 1
    return DeleteTxn(session, cxid, path)
