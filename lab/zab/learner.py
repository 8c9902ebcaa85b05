"""A follower or observer, from its decision until it loses its leader (zab.md 4.1, 4.4, 5.3; ZooKeeper: Learner)."""

from collections import deque
from collections.abc import Callable

from lab.zab.batches import find_flaw, prefix_batch, split_batch
from lab.zab.config import PeerId
from lab.zab.effects import (
    CloseSession,
    Entered,
    Install,
    LoadSnapshot,
    PeerEffect,
    Send,
    Serve,
    Synced,
    Truncate,
)
from lab.zab.errors import ProtocolError
from lab.zab.events import Session, Truncated
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    LeaderInfo,
    LearnerMessage,
    MalformedError,
    NewLeader,
    ObserverInfo,
    Phase,
    Ping,
    Proposal,
    Request,
    ServerState,
    Snap,
    SnapChunk,
    Sync,
    SyncProgress,
    Trunc,
    TxnBatch,
    UpToDate,
)
from lab.zab.phases import LEARNER_PHASES
from lab.zab.relay import RELAYED_NONCE, Relay
from lab.zab.state import PeerState
from lab.zab.zxid import Zxid, epoch_of, follows, is_leap, make_zxid, show


class Learner:
    """Phases 1 to 3 of Zab on the side of a server that does not lead.

    `over` says why the role has ended, once it has; the peer then goes back to LOOKING.
    """

    def __init__(
        self, state: PeerState, leader: PeerId, on_serving: Callable[[int], None], master: PeerId | None = None
    ) -> None:
        """`master` is whose learner this is, if not the leader's own: an observer's relay."""
        self.state = state
        self._on_serving = on_serving  # the election publishes the new epoch in its vote (ZOOKEEPER-1732)
        self.leader = leader
        self.master = master or leader
        self.relay = Relay(state, leader, self._send) if state.is_voter and state.config.relays else None
        self.session: Session = 0  # 0: not connected
        self.phase = Phase.DISCOVERY
        self.over: str | None = None
        self.epoch = 0
        self._idle_ticks = 0  # since the last frame from the leader (Z-18)
        self._received: Zxid = state.last_zxid  # end of what the leader has sent
        self._committed: Zxid = 0  # greatest zxid the leader said is committed
        self._pending: deque[TxnBatch] = deque()  # received, not applied; in BROADCAST also appended
        self._snap: Zxid | None = None  # label of the snapshot stream that is being received
        self._snap_begun = False
        self._synced_history = False  # DIFF, TRUNC or a whole SNAP was received
        self._new_leader_acked = False
        self._consumed_bytes = self._reported_bytes = 0  # of the history that came in this session

    @property
    def server_state(self) -> ServerState:
        return ServerState.FOLLOWING if self.state.is_voter else ServerState.OBSERVING

    @property
    def is_relayed(self) -> bool:
        return self.master != self.leader

    @property
    def relay_failed(self) -> bool:
        """Whether a relay has not brought this server level, or has fallen silent since."""
        return self.is_relayed and (
            self.phase is not Phase.BROADCAST or self._idle_ticks > self.state.config.sync_limit_ticks
        )

    def show_master(self) -> str:
        """For people."""
        return f"relay {self.master}" if self.is_relayed else f"leader {self.leader}"

    @property
    def tail(self) -> list[TxnBatch]:
        """Appended to the log but not applied."""
        return list(self._pending) if self.phase is Phase.BROADCAST else []

    def connect(self, session: Session) -> list[PeerEffect]:
        """Open a learner session: the first packet is *INFO."""
        self.session = session
        self.phase = Phase.DISCOVERY
        self._idle_ticks = 0
        self._committed = 0
        self._pending.clear()
        self._consumed_bytes = self._reported_bytes = 0
        if self.state.is_voter:
            return [self._send(FollowerInfo(self.state.accepted_epoch, self.state.may_vote))]
        return [self._send(ObserverInfo(self.state.accepted_epoch, self.leader))]

    def on_message(self, message: LearnerMessage) -> list[PeerEffect]:
        self._idle_ticks = 0
        following = LEARNER_PHASES.get((self.phase, type(message)))
        if following is None:
            raise self._broken(f"{type(message).__name__} in {self.phase.name}")
        match message:
            case Proposal(batch):
                effects = self._on_proposal(batch)
                return effects if self.phase is Phase.BROADCAST else [*effects, *self._consume(len(batch.body))]
            case Commit(zxid):
                return self._on_commit(zxid)
            case Inform(batch):
                if self.state.is_voter:
                    raise self._broken("Inform sent to a voter")
                return [*self._on_proposal(batch), *self._on_commit(batch.last)]
            case Ping():
                return [self._send(message)] if self.phase is Phase.BROADCAST else []
            case Sync(nonce):
                return self.relay.on_synced(nonce) if self.relay and nonce > RELAYED_NONCE else [Synced(nonce)]
            case LeaderInfo(epoch):
                return self._on_leader_info(epoch)
            case Diff():
                self._begin_history()
                self._synced_history = True
                return []
            case Trunc(zxid):
                self._begin_history()
                self.state.gen += 1
                return [Truncate(self.state.gen, zxid)]
            case Snap(zxid):
                if epoch_of(zxid) > self.epoch:  # it could never vote with it (Z-2)
                    raise self._broken(f"snapshot {show(zxid)} in epoch {self.epoch}")
                self._begin_history()
                self.state.gen += 1
                self._snap, self._snap_begun = zxid, False
                return []
            case SnapChunk(data, last):
                return [*self._on_snap_chunk(data, last), *self._consume(len(data))]
            case NewLeader(epoch):
                return self._on_new_leader(epoch)
            case UpToDate():
                return self._on_up_to_date()
        raise self._broken(f"{type(message).__name__} is not for a learner")

    def on_truncated(self, event: Truncated, next_session: Session) -> list[PeerEffect]:
        """The log was cut and the tree is to be rebuilt; or the cut is impossible and SNAP must come (Z-11)."""
        if event.history is None:
            self.state.need_snap = True
            return [CloseSession(self.master, self.session), *self.connect(next_session)]
        restore = self.state.restore(event.history)
        self._received = self.state.last_zxid
        self._synced_history = True
        return [restore]

    def on_flushed(self, zxid: Zxid) -> list[PeerEffect]:
        """Acknowledge what is durable, once serving and only in the leader's epoch (Z-3)."""
        if self.phase is Phase.BROADCAST and self.state.is_voter and epoch_of(zxid) == self.epoch:
            return [self._send(Ack(zxid))]
        return []

    def on_tick(self) -> list[PeerEffect]:
        self._idle_ticks += 1
        config = self.state.config
        limit = config.sync_limit_ticks if self.phase is Phase.BROADCAST else config.init_limit_ticks
        effects = self.relay.on_tick() if self.relay else []
        if self._idle_ticks > limit:
            self.over = f"nothing heard from {self.show_master()} for {limit} ticks"
        elif self.phase is Phase.SYNCHRONIZATION:
            effects.append(self._report_progress())
        return effects

    def forward(self, body: bytes) -> list[PeerEffect]:
        return [self._send(Request(body))]

    def ask_sync(self, nonce: int) -> list[PeerEffect]:
        return [self._send(Sync(nonce))]

    def close(self) -> list[PeerEffect]:
        effects = self.relay.close() if self.relay else []
        self.relay = None  # it refers to this role
        return [*effects, CloseSession(self.master, self.session)] if self.session else effects

    # -- discovery and synchronization -------------------------------------------------------------

    def _on_leader_info(self, epoch: int) -> list[PeerEffect]:
        state = self.state
        if epoch < state.accepted_epoch:
            self.over = f"{self.show_master()} offers epoch {epoch}, but {state.accepted_epoch} was accepted"
            return []
        if is_leap(state.accepted_epoch, epoch):
            raise self._broken(f"it offers epoch {epoch}, far beyond any that was")
        self.phase, self.epoch = Phase.SYNCHRONIZATION, epoch
        effects: list[PeerEffect] = []
        current_epoch = state.current_epoch
        if epoch > state.accepted_epoch:
            effects.append(state.save_accepted_epoch(epoch))
        else:
            current_epoch = -1  # this very epoch was accepted before: not to be counted (Z-12)
        effects.append(self._send(AckEpoch(current_epoch, state.last_zxid, state.need_snap)))
        effects.append(Entered(self.server_state, self.phase, epoch, self.leader))
        return effects

    def _begin_history(self) -> None:
        if self._synced_history or self._snap is not None or self._new_leader_acked:
            raise self._broken("a second DIFF, TRUNC or SNAP in one session")
        self._received = self.state.last_zxid

    def _consume(self, size: int) -> list[PeerEffect]:
        """So much of the history is taken in; the leader is told often enough that it never runs dry (Z-18)."""
        self._consumed_bytes += size
        if self._consumed_bytes - self._reported_bytes < self.state.config.sync_window_bytes // 4:
            return []
        return [self._report_progress()]

    def _report_progress(self) -> Send:
        self._reported_bytes = self._consumed_bytes
        return self._send(SyncProgress(self._consumed_bytes))

    def _on_snap_chunk(self, data: bytes, last: bool) -> list[PeerEffect]:
        if self._snap is None:
            raise self._broken("SnapChunk without Snap")
        first, self._snap_begun = not self._snap_begun, True
        effects: list[PeerEffect] = [
            LoadSnapshot(data, first, last),  # first: what is no tree must not get in force
            Install(self.state.gen, self._snap, data, first, last),
        ]
        if last:
            self.state.replace_by_snapshot(self._snap)
            self._received, self._snap = self._snap, None
            self._synced_history = True
        return effects

    def _on_new_leader(self, epoch: int) -> list[PeerEffect]:
        """L7, whose order is everything: history durable, then currentEpoch durable, then the ack (H-1, H-3)."""
        if epoch != self.epoch or not self._synced_history or self._new_leader_acked:
            raise self._broken(f"NewLeader({epoch}) in epoch {self.epoch} before its history or twice")
        state, committed = self.state, self._take_committed()
        effects: list[PeerEffect] = [state.append(batch) for batch in committed]
        effects += state.replay_all(committed)
        effects += state.save_current_epoch(epoch)
        self._new_leader_acked = True
        state.need_snap, state.may_vote = False, True
        return [*effects, self._send(Ack(make_zxid(epoch, 0)))]

    def _on_up_to_date(self) -> list[PeerEffect]:
        """L9: what is pending goes through the log like any proposal, then what is committed is applied."""
        if not self._new_leader_acked:
            raise self._broken("UpToDate before NewLeader")
        self.phase = Phase.BROADCAST
        self._on_serving(self.epoch)
        effects: list[PeerEffect] = [self._send(Ack(make_zxid(self.epoch, 0)))]
        effects += [self.state.append(batch) for batch in self._pending]
        effects += [self.state.deliver(batch) for batch in self._take_committed()]
        effects += [Entered(self.server_state, self.phase, self.epoch, self.leader), Serve(leading=False)]
        return [*effects, *self.relay.open(self.epoch)] if self.relay else effects

    # -- proposals and commits ---------------------------------------------------------------------

    def _on_proposal(self, batch: TxnBatch) -> list[PeerEffect]:
        if batch.last <= self._received:
            return []  # it came with the history already (X-45, Z-13)
        if flaw := find_flaw(batch):
            raise self._broken(f"proposal {show(batch.first)}: {flaw}")
        if batch.first <= self._received:
            batch = self._cut(split_batch, batch, self._received)
        if epoch_of(batch.last) > self.epoch:
            raise self._broken(f"proposal {show(batch.last)} in epoch {self.epoch}")
        if not self._synced_history or not follows(batch.first, self._received):
            raise self._broken(f"proposal {show(batch.first)} after {show(self._received)}: a hole (INV-7)")
        self._received = batch.last
        self._pending.append(batch)
        return [self.state.append(batch)] if self.phase is Phase.BROADCAST else []

    def _on_commit(self, zxid: Zxid) -> list[PeerEffect]:
        if zxid > self._received:
            raise self._broken(f"commit {show(zxid)} beyond the last proposal {show(self._received)} (INV-8)")
        self._committed = max(self._committed, zxid)
        if self.phase is not Phase.BROADCAST:
            return []
        committed = self._take_committed()
        effects: list[PeerEffect] = [self.state.deliver(batch) for batch in committed]
        return [*effects, *self.relay.on_committed(committed)] if self.relay else effects

    def _take_committed(self) -> list[TxnBatch]:
        taken = []
        while self._pending and self._pending[0].last <= self._committed:
            taken.append(self._pending.popleft())
        if self._pending and self._pending[0].first <= self._committed:
            batch = self._pending[0]
            taken.append(self._cut(prefix_batch, batch, self._committed))
            self._pending[0] = self._cut(split_batch, batch, self._committed)
        return taken

    def _cut(self, part: Callable[[TxnBatch, Zxid], TxnBatch], batch: TxnBatch, at: Zxid) -> TxnBatch:
        try:
            return part(batch, at)
        except MalformedError as error:
            raise self._broken(f"proposal {show(batch.first)}: {error}") from error

    def _send(self, message: LearnerMessage) -> Send:
        return Send(((self.master, self.session),), message)

    def _broken(self, reason: str) -> ProtocolError:
        return ProtocolError(self.master, reason)
