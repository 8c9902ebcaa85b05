"""A whole server, sans-IO: Zab's peer, the tree, the clients attached here (ZooKeeper: QuorumZooKeeperServer).

`step` takes one event and returns what the host has to do.  The peer's upcalls are carried out here, in their place
among its other effects, so that a snapshot stream or a reply stands exactly where the protocol put it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from lab.service.errors import UnreadableError
from lab.service.events import (
    ClientDown,
    ClientRequests,
    DropClient,
    OpenSnapshot,
    ReplyTo,
    ServerEffect,
    ServerEvent,
    TurnEnd,
    WriteSnapshot,
)
from lab.service.forwarding import Forwarded, decode_forwarded, encode_forwarded
from lab.service.outcomes import apply_txn, reply_to
from lab.service.prepare import Prepared
from lab.service.proposals import Proposals
from lab.service.reading import answer_reads
from lab.service.requests import (
    Closed,
    Connect,
    Connected,
    Create,
    Delete,
    Done,
    ErrorCode,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Read,
    Reply,
    Request,
    SetData,
    Sync,
)
from lab.service.sessions import OPENING, LocalSession, PendingSync, WaitingClient
from lab.service.transactions import (
    ErrorTxn,
    OpenSessionTxn,
    SetDataTxn,
    Txn,
    encode_txns,
    is_run_of_sets,
    open_batch,
)
from lab.service.tree import Tree
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import (
    Deliver,
    LoadSnapshot,
    PeerEffect,
    Replay,
    Requested,
    Restore,
    Serve,
    StopServing,
    StreamSnapshot,
    Synced,
    TakeSnapshot,
    Upcall,
)
from lab.zab.events import Forward, History, PeerEvent, Recovered, Submit, SyncAsked
from lab.zab.messages import MalformedError, TxnBatch
from lab.zab.peer import Peer
from lab.zab.zxid import show

if TYPE_CHECKING:
    import random

WAITING_BYTES_MAX = 1 << 20  # of requests that one client may send ahead to a server that does not serve yet

_CHUNKS_A_WINDOW = 16

_UPCALLS = frozenset(get_args(Upcall))
_READS = frozenset((GetData, Exists, GetChildren))
_WRITES = frozenset((SetData, Create, Delete, Multi))


def _load(history: History) -> Tree:
    try:
        return Tree.load(history.chunks)
    except MalformedError as error:
        raise UnreadableError(f"snapshot {show(history.base)}: {error}") from error


class Server:
    """One server of the ensemble; `peer` decides what is committed, this what that means."""

    def __init__(self, me: PeerId, config: ZabConfig, recovered: Recovered, rng: "random.Random") -> None:
        self.peer = Peer(me, config, recovered, rng)
        self.tree = Tree()
        self.applied_zxid = 0  # last real transaction in the tree
        self.txns_committed = 0
        self._config = config
        self._serving = False
        self._sessions: dict[int, LocalSession] = {}  # by session id
        self._by_client: dict[int, LocalSession] = {}
        self._waiting: dict[int, WaitingClient] = {}
        self._answered: list[LocalSession] = []  # sessions with answers of the step in hand
        self._syncs: dict[int, tuple[LocalSession, PendingSync]] = {}
        self._nonce = 0
        self._proposals: Proposals | None = None  # while this server leads
        self._loading = Tree()  # from the snapshot that is being received

    def step(self, event: ServerEvent) -> list[ServerEffect]:
        """Take one event; the effects are to be carried out in order before the next event (lab.zab.effects)."""
        effects: list[ServerEffect] = []
        if isinstance(event, ClientRequests):
            self._on_requests(event.client, event.requests, event.size, effects)
        elif isinstance(event, TurnEnd):
            if self.has_work:
                self._propose(effects)
        elif isinstance(event, ClientDown):
            self._on_client_down(event.client)
        else:
            self._step_peer(event, effects)
        if self._answered:
            self._reply(effects)
        return effects

    # -- the peer's effects ----------------------------------------------------------------------

    def _step_peer(self, event: PeerEvent, effects: list[ServerEffect]) -> None:
        for effect in self.peer.step(event):
            self._carry_out(effect, effects)

    def _carry_out(self, effect: PeerEffect, effects: list[ServerEffect]) -> None:
        if type(effect) not in _UPCALLS:  # most are not
            effects.append(effect)  # type: ignore[arg-type]
            return
        match effect:
            case Deliver(batch):
                self._deliver(batch, effects)
            case Requested(learner, body):
                self._on_forwarded(learner, body)
            case Replay(batch):
                self._apply(batch.first, open_batch(batch))
            case Synced(nonce):
                self._on_synced(nonce)
            case Serve(leading):
                self._serve(leading, effects)
            case StopServing():
                self._stop_serving(effects)
            case Restore(history):
                self.tree = _load(history)
                self.applied_zxid = max(history.base, 0)
                for batch in history.batches:
                    self._apply(batch.first, open_batch(batch))
            case LoadSnapshot(data, first, last):
                self._load_snapshot(data, first, last)
            case TakeSnapshot(gen, zxid):
                self._reply(effects)  # nobody's answer waits while this process is copied
                effects.append(WriteSnapshot(gen, zxid, self._chunks_of(zxid)))
            case StreamSnapshot((learner, session), zxid):
                effects.append(OpenSnapshot(learner, session, self._chunks_of(zxid)))
            case _:
                raise AssertionError(f"no upcall: {effect}")

    def _load_snapshot(self, data: bytes, first: bool, last: bool) -> None:
        if first:
            self._loading = Tree()
        self._loading.add_chunk(data)
        if last:
            self.tree, self._loading = self._loading, Tree()
            self.applied_zxid = max(self.peer.last_zxid, 0)

    def _chunks_of(self, zxid: int) -> Iterator[bytes]:
        assert self.applied_zxid == zxid, f"a snapshot of {zxid:#x} of a tree of {self.applied_zxid:#x} (Z-13)"
        yield from self.tree.chunks(max(self._config.sync_window_bytes // _CHUNKS_A_WINDOW, 1))

    # -- applying --------------------------------------------------------------------------------

    def _deliver(self, batch: TxnBatch, effects: list[ServerEffect]) -> None:
        txns = open_batch(batch) if self._proposals is None else self._proposals.take_delivered()
        if not self._sessions:
            self._apply(batch.first, txns)
        elif not self._apply_run(batch.first, txns):
            self._apply_and_answer(batch.first, txns, effects)
        self.txns_committed += batch.count
        if self._proposals is not None:
            self._proposals.note_applied()

    def _apply(self, zxid: int, txns: Sequence[Txn]) -> None:
        self.applied_zxid = zxid + len(txns) - 1
        if is_run_of_sets(txns):
            self.tree.set_run(txns, zxid)
            return
        for txn in txns:
            apply_txn(self.tree, txn, zxid)
            zxid += 1

    def _apply_run(self, zxid: int, txns: Sequence[Txn]) -> bool:
        """Apply and answer what is nothing but one session's writes of data; False: it is something else."""
        if not is_run_of_sets(txns):
            return False
        session_id, cxids = txns[0].session, [txn.cxid for txn in txns]
        if len(txns) > 1 and any(txn.session != session_id for txn in txns):
            return False
        session = self._sessions.get(session_id)
        if session is None:
            self._apply(zxid, txns)
            return True
        if not session.takes_run(cxids):
            return False
        session.forget_run(len(cxids))
        self._apply(zxid, txns)
        versions = [txn.version for txn in txns]
        self._answer(session, list(map(Done, cxids, range(zxid, zxid + len(txns)), versions)))
        return True

    def _apply_and_answer(self, zxid: int, txns: Sequence[Txn], effects: list[ServerEffect]) -> None:
        """Apply, and answer the sessions attached here; a read behind a write sees the tree right after that write."""
        sessions, set_data = self._sessions, self.tree.set_data
        for txn in txns:
            if type(txn) is SetDataTxn:
                set_data(txn.path, txn.data, txn.version, zxid)
            else:
                apply_txn(self.tree, txn, zxid)
            session = sessions.get(txn.session)
            if session is not None:
                pending = session.pending
                if type(txn) is OpenSessionTxn or (pending and pending[0] == OPENING):
                    self.applied_zxid = zxid
                    self._on_session_txn(session, txn, zxid, effects)
                elif pending and pending[0] == txn.cxid:
                    pending.popleft()
                    if not session.out:
                        self._answered.append(session)
                    if type(txn) is SetDataTxn:
                        session.out.append(Done(txn.cxid, zxid, txn.version))
                    elif type(txn) is ErrorTxn and txn.error == ErrorCode.SESSION_MOVED:
                        pending.appendleft(txn.cxid)  # of an older attachment, elsewhere: ours is to come
                    else:
                        session.out.append(reply_to(txn, zxid))
                    if pending and type(pending[0]) is not int:
                        self.applied_zxid = zxid
                        self._drain(session)
            zxid += 1
        self.applied_zxid = zxid - 1

    def _on_session_txn(self, session: LocalSession, txn: Txn, zxid: int, effects: list[ServerEffect]) -> None:
        """The session's Connect took effect or failed, or the session has attached itself elsewhere since."""
        if isinstance(txn, OpenSessionTxn):
            if txn.attachment == session.attachment:
                session.pending.popleft()
                effects.append(ReplyTo(session.client, [Connected(session.id, zxid, session.attachment)]))
                self._drain(session)
            elif txn.attachment > session.attachment:
                self._close(session, "the session moved to another server", effects)
        elif isinstance(txn, ErrorTxn) and txn.cxid == OPENING:
            self._close(session, "a newer attachment of the session exists", effects)

    def _drain(self, session: LocalSession) -> None:
        """Answer what stands at the head and need not wait any longer."""
        pending = session.pending
        while pending and type(pending[0]) is not int:
            head = pending[0]
            if isinstance(head, PendingSync):
                if not head.done:
                    return
                self._answer(session, [Done(head.cxid, self.applied_zxid, 0)])
            else:
                self._answer(session, answer_reads(self.tree, (head,), self.applied_zxid))  # type: ignore[arg-type]
            pending.popleft()
            session.blocked -= 1

    def _answer(self, session: LocalSession, replies: list[Reply]) -> None:
        if not session.out:
            self._answered.append(session)
        session.out += replies

    def _reply(self, effects: list[ServerEffect]) -> None:
        for session in self._answered:
            if session.out:
                effects.append(ReplyTo(session.client, session.out))
                session.out = []
        self._answered.clear()

    # -- clients ---------------------------------------------------------------------------------

    def _on_requests(self, client: int, requests: list[Request], size: int, effects: list[ServerEffect]) -> None:
        if not requests:
            return
        if isinstance(requests[0], Connect):
            if not self._serving:
                if self.peer.reaches_quorum:
                    self._wait(client, requests, size, effects)
                else:
                    self._refuse(client, requests[0], "this server reaches no quorum", effects)
                return
            if self._proposals is not None and not self._config.leader_serves:
                self._refuse(client, requests[0], "this server leads, and leaders serve no clients", effects)
                return
            self._connect(client, requests[0], effects)
            requests = requests[1:]
        elif client in self._waiting:
            self._wait(client, requests, size, effects)
            return
        session = self._by_client.get(client)
        if session is not None and requests:
            self._admit(session, requests, size, effects)
        # Without a session the client has been told so by Closed and these came too late to matter.

    def _wait(self, client: int, requests: list[Request], size: int, effects: list[ServerEffect]) -> None:
        """Hold a client that came before this server serves; a newer Connect replaces what it sent before."""
        if isinstance(requests[0], Connect):
            self._waiting[client] = WaitingClient()
        waiting = self._waiting[client]
        waiting.requests += requests
        waiting.size += size
        if waiting.size > WAITING_BYTES_MAX:
            first = waiting.requests[0]
            assert isinstance(first, Connect)
            self._refuse(client, first, "this server does not serve", effects)

    def _refuse(self, client: int, request: Connect, reason: str, effects: list[ServerEffect]) -> None:
        self._waiting.pop(client, None)
        effects.append(ReplyTo(client, [Closed(request.session, reason, request.attachment)]))

    def _connect(self, client: int, request: Connect, effects: list[ServerEffect]) -> None:
        old = self._by_client.get(client)
        if old is not None:
            self._forget(old)
        if request.last_zxid > self.applied_zxid:
            reason = "this server has applied less than the session has seen"  # zab.md 5.7
            self._refuse(client, request, reason, effects)
            return
        elsewhere = self._sessions.get(request.session)
        if elsewhere is not None:
            self._close(elsewhere, "the session attached itself anew", effects)
        session = LocalSession(client, request.session, request.attachment)
        self._sessions[session.id] = self._by_client[client] = session
        self._hand_on(session, [request], 0, effects)

    def _admit(self, session: LocalSession, requests: list[Request], size: int, effects: list[ServerEffect]) -> None:
        """Requests in their order: writes go to the leader, reads are answered here unless they have to wait."""
        kinds, pending = set(map(type, requests)), session.pending
        if kinds <= _WRITES:
            pending.extend([request.cxid for request in requests])  # type: ignore[union-attr]
            self._hand_on(session, requests, size, effects)  # type: ignore[arg-type]
        elif kinds <= _READS and not pending:
            self._answer(session, answer_reads(self.tree, requests, self.applied_zxid))  # type: ignore[arg-type]
        elif Connect in kinds:
            effects.append(DropClient(session.client, "Connect must be the first request of its frame"))
            self._forget(session)
        else:
            self._admit_mixed(session, requests, size, effects)

    def _admit_mixed(
        self, session: LocalSession, requests: list[Request], size: int, effects: list[ServerEffect]
    ) -> None:
        pending, writes, reads = session.pending, list[Prepared](), list[Read]()
        for request in requests:
            if isinstance(request, GetData | Exists | GetChildren):
                if pending:
                    pending.append(request)
                    session.blocked += 1
                else:
                    reads.append(request)
            elif isinstance(request, Sync):
                if writes:
                    self._hand_on(session, writes, size, effects)
                    writes = []
                sync = PendingSync(request.cxid)
                pending.append(sync)
                session.blocked += 1
                self._nonce += 1
                self._syncs[self._nonce] = (session, sync)
                if reads:
                    self._answer(session, answer_reads(self.tree, reads, self.applied_zxid))
                    reads = []
                self._step_peer(SyncAsked(self._nonce), effects)
            else:
                assert not isinstance(request, Connect)
                pending.append(request.cxid)
                writes.append(request)
        if reads:
            self._answer(session, answer_reads(self.tree, reads, self.applied_zxid))
        if writes:
            self._hand_on(session, writes, size, effects)

    def _hand_on(self, session: LocalSession, writes: list[Prepared], size: int, effects: list[ServerEffect]) -> None:
        if self._proposals is not None:
            self._proposals.add(session.id, session.attachment, writes, size)
        else:
            self._step_peer(Forward(encode_forwarded(Forwarded(session.id, session.attachment, writes))), effects)

    def _on_synced(self, nonce: int) -> None:
        session, sync = self._syncs.pop(nonce, (None, None))
        if session is not None and sync is not None:
            sync.done = True
            self._drain(session)

    def _on_client_down(self, client: int) -> None:
        self._waiting.pop(client, None)
        session = self._by_client.get(client)
        if session is not None:
            self._forget(session)

    def _close(self, session: LocalSession, reason: str, effects: list[ServerEffect]) -> None:
        """End an attachment: what was answered goes out, the rest is unknown to the client."""
        if session.out:
            effects.append(ReplyTo(session.client, session.out))
            session.out = []
        self._forget(session)
        effects.append(ReplyTo(session.client, [Closed(session.id, reason, session.attachment)]))

    def _forget(self, session: LocalSession) -> None:
        session.pending.clear()
        session.blocked = 0
        session.out = []
        if self._by_client.get(session.client) is session:
            del self._by_client[session.client]
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]
        for nonce in [nonce for nonce, (owner, _) in self._syncs.items() if owner is session]:
            del self._syncs[nonce]

    # -- serving ---------------------------------------------------------------------------------

    def _serve(self, leading: bool, effects: list[ServerEffect]) -> None:
        self._serving = True
        self._proposals = Proposals(self.tree, self._config.batch_txns_max) if leading else None
        waiting, self._waiting = self._waiting, {}
        for client in sorted(waiting):
            self._on_requests(client, waiting[client].requests, waiting[client].size, effects)

    def _stop_serving(self, effects: list[ServerEffect]) -> None:
        self._serving, self._proposals = False, None
        for session in list(self._sessions.values()):
            self._close(session, "this server has stopped serving", effects)
        self._syncs.clear()

    def _on_forwarded(self, learner: PeerId, body: bytes) -> None:
        assert self._proposals is not None, "a learner's request reached a server that does not lead"
        try:
            forwarded = decode_forwarded(body)
        except MalformedError as error:
            # The body crossed a checked link from a server of ours: this is a bug there, and no reason to stop here.
            self.peer.last_problem = f"server {learner}: malformed request: {error}"
            return
        self._proposals.add(forwarded.session, forwarded.attachment, forwarded.requests, len(body))

    def _propose(self, effects: list[ServerEffect]) -> None:
        """Turn what is queued into batches, as many as `max_outstanding` leaves room for."""
        while self._proposals is not None and self.has_work:
            txns = self._proposals.next_batch()
            self._step_peer(Submit(len(txns), encode_txns(txns)), effects)

    @property
    def has_work(self) -> bool:
        """Whether a TurnEnd would propose something now."""
        return self._proposals is not None and self._proposals.is_ready and self.peer.room > 0
