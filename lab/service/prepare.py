"""The leader's first stage: requests become idempotent transactions (zab.md 5.2; ZooKeeper: PrepRequestProcessor).

Requests are validated against the applied tree overlaid with what is in flight, so that any number of proposals may be
outstanding.  The arrival order here is the total order of the epoch.
"""

from collections.abc import Sequence

from lab.service.overlay import Overlay, Pending
from lab.service.paths import is_valid_path
from lab.service.requests import PATH_CHARS_MAX, Connect, Create, CreateMode, Delete, ErrorCode, SetData
from lab.service.transactions import CreateTxn, DeleteTxn, ErrorTxn, OpenSessionTxn, SetDataTxn, Txn
from lab.service.tree import Tree, parent_of

Prepared = Connect | Create | Delete | SetData

SEQUENCE_MAX = 0x7FFFFFFF  # the last number a sequential node can get (zab.md 8.1)


class Preparer:
    """Validation of one leadership; a new leader starts a new one from its applied tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._overlay = Overlay(tree)
        self._attachments = dict(tree.sessions)

    def forget(self) -> None:
        """Nothing is in flight: the tree alone says what is."""
        self._overlay.forget()

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be prepared until nothing is in flight (`Overlay`)."""
        return self._overlay.is_full

    def prepare(self, session: int, attachment: int, requests: Sequence[Prepared], into: list[Txn]) -> None:
        """Append one transaction per request."""
        overlay = self._overlay.pending
        current = self._attachments.get(session) == attachment
        for request in requests:
            if type(request) is SetData and current:  # the hot path: everything else goes through _prepare_one
                path = request.path
                pending = overlay.get(path)
                if pending is None:
                    node = self._tree.nodes.get(path)
                    if node is None:
                        into.append(ErrorTxn(session, request.cxid, ErrorCode.NO_NODE))
                        continue
                    pending = overlay[path] = Pending(True, node.version, len(node.children or ()), node.creates)
                elif not pending.exists:
                    into.append(ErrorTxn(session, request.cxid, ErrorCode.NO_NODE))
                    continue
                if request.version != -1 and request.version != pending.version:
                    into.append(ErrorTxn(session, request.cxid, ErrorCode.BAD_VERSION))
                    continue
                pending.version = version = (pending.version + 1) & 0x7FFFFFFF  # never -1, "any" (ZOOKEEPER-4743)
                into.append(SetDataTxn(session, request.cxid, path, request.data, version))
            else:
                into.append(self._prepare_one(session, attachment, request))
                current = self._attachments.get(session) == attachment

    def _prepare_one(self, session: int, attachment: int, request: Prepared) -> Txn:
        if isinstance(request, Connect):
            return self._open_session(session, request)
        if self._attachments.get(session) != attachment:
            return ErrorTxn(session, request.cxid, ErrorCode.SESSION_MOVED)
        if isinstance(request, Create):
            return self._create(session, request)
        assert isinstance(request, Delete), request
        return self._delete(session, request)

    def _open_session(self, session: int, request: Connect) -> Txn:
        if request.attachment <= self._attachments.get(session, -1):
            return ErrorTxn(session, 0, ErrorCode.SESSION_MOVED)
        self._attachments[session] = request.attachment
        return OpenSessionTxn(session, 0, request.attachment)

    def _create(self, session: int, request: Create) -> Txn:
        path, is_sequential, look = request.path, request.flags == CreateMode.PERSISTENT_SEQUENTIAL, self._overlay.look
        if request.flags != CreateMode.PERSISTENT and not is_sequential:
            return ErrorTxn(session, request.cxid, ErrorCode.UNIMPLEMENTED)
        if path == "/" and not is_sequential:
            return ErrorTxn(session, request.cxid, ErrorCode.NODE_EXISTS)
        if not is_valid_path(f"{path}0" if is_sequential else path):
            return ErrorTxn(session, request.cxid, ErrorCode.BAD_ARGUMENTS)
        parent = look(parent_of(path))
        if not parent.exists:
            return ErrorTxn(session, request.cxid, ErrorCode.NO_NODE)
        if is_sequential:
            if parent.creates > SEQUENCE_MAX:  # Differs from ZooKeeper, which goes on with negative numbers
                return ErrorTxn(session, request.cxid, ErrorCode.QUOTA_EXCEEDED)
            path = f"{path}{parent.creates:010d}"
            if len(path) > PATH_CHARS_MAX:
                return ErrorTxn(session, request.cxid, ErrorCode.BAD_ARGUMENTS)  # no request could name that node
        node = look(path)
        if node.exists:
            return ErrorTxn(session, request.cxid, ErrorCode.NODE_EXISTS)
        node.exists, node.version, node.children, node.creates = True, 0, 0, 0
        parent.children += 1
        parent.creates += 1
        return CreateTxn(session, request.cxid, path, request.data, request.flags)

    def _delete(self, session: int, request: Delete) -> Txn:
        path, look = request.path, self._overlay.look
        if path == "/":
            return ErrorTxn(session, request.cxid, ErrorCode.BAD_ARGUMENTS)
        node = look(path)
        if not node.exists:
            return ErrorTxn(session, request.cxid, ErrorCode.NO_NODE)
        if request.version not in (-1, node.version):
            return ErrorTxn(session, request.cxid, ErrorCode.BAD_VERSION)
        if node.children:
            return ErrorTxn(session, request.cxid, ErrorCode.NOT_EMPTY)
        node.exists = False
        look(parent_of(path)).children -= 1
        return DeleteTxn(session, request.cxid, path)
