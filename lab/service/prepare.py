"""The leader's first stage: requests become idempotent transactions (zab.md 5.2; ZooKeeper: PrepRequestProcessor).

Requests are validated against the applied tree overlaid with what is in flight, so that any number of proposals may be
outstanding.  The arrival order here is the total order of the epoch.
"""

from collections.abc import Sequence

from lab.service.overlay import Draft, Overlay
from lab.service.requests import Connect, Create, Delete, ErrorCode, Multi, SetData
from lab.service.transactions import Change, ErrorTxn, MultiErrorTxn, MultiTxn, OpenSessionTxn, SetDataTxn, Txn
from lab.service.tree import Tree
from lab.service.validation import VERSION_MASK, change

Prepared = Connect | Create | Delete | SetData | Multi


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
        """Append one transaction per request; fewer if multis fill the overlay: the other requests have to wait."""
        overlay, versions, nodes = self._overlay.pending, self._overlay.versions, self._tree.nodes
        current = self._attachments.get(session) == attachment
        for request in requests:
            if type(request) is SetData and current:  # the hot path: everything else goes through _prepare_one
                path = request.path
                if path in overlay:
                    into.append(self._prepare_one(session, attachment, request))
                    continue
                version = versions.get(path)
                if version is None:
                    node = nodes.get(path)
                    if node is None:
                        into.append(ErrorTxn(session, request.cxid, ErrorCode.NO_NODE))
                        continue
                    version = node.version
                if request.version != -1 and request.version != version:
                    into.append(ErrorTxn(session, request.cxid, ErrorCode.BAD_VERSION))
                    continue
                versions[path] = version = (version + 1) & VERSION_MASK
                into.append(SetDataTxn(session, request.cxid, path, request.data, version))
            else:
                into.append(self._prepare_one(session, attachment, request))
                current = self._attachments.get(session) == attachment
                if type(request) is Multi and self._overlay.is_full:
                    return

    def _prepare_one(self, session: int, attachment: int, request: Prepared) -> Txn:
        if isinstance(request, Connect):
            return self._open_session(session, request)
        if self._attachments.get(session) != attachment:
            return ErrorTxn(session, request.cxid, ErrorCode.SESSION_MOVED)
        if isinstance(request, Multi):
            return self._multi(session, request)
        outcome = change(self._overlay, request, session, request.cxid)
        return ErrorTxn(session, request.cxid, outcome) if isinstance(outcome, ErrorCode) else outcome

    def _open_session(self, session: int, request: Connect) -> Txn:
        if request.attachment <= self._attachments.get(session, -1):
            return ErrorTxn(session, 0, ErrorCode.SESSION_MOVED)
        self._attachments[session] = request.attachment
        return OpenSessionTxn(session, 0, request.attachment)

    def _multi(self, session: int, request: Multi) -> Txn:
        """All of the ops as one transaction, or the first failure as an error of the whole (zab.md 8.4)."""
        draft, txns = Draft(self._overlay), list[Change]()
        for op in request.ops:
            outcome = change(draft, op, 0, 0)
            if isinstance(outcome, ErrorCode):
                later = len(request.ops) - len(txns) - 1
                errors: list[int] = [ErrorCode.OK] * len(txns)
                errors += [outcome] + [ErrorCode.RUNTIME_INCONSISTENCY] * later
                return MultiErrorTxn(session, request.cxid, errors)
            txns.append(outcome)
        draft.keep()
        return MultiTxn(session, request.cxid, txns)
