"""The leader: it negotiates the epoch, brings learners level and broadcasts (zab.md 4.2, 4.3, 5.3; ZooKeeper: Leader).

`handler.Handler` is what it knows of one learner session; `broadcast` decides what is committed.
"""

from collections.abc import Callable
from math import ceil

from lab.zab.broadcast import CHECKS, Broadcast
from lab.zab.config import PeerId
from lab.zab.constants import COUNTER_MAX, EPOCH_MAX
from lab.zab.effects import (
    Barrier,
    CancelTimer,
    CloseSession,
    Entered,
    FirstCommit,
    PeerEffect,
    Requested,
    Send,
    Serve,
    SetTimer,
    Synced,
)
from lab.zab.errors import EpochsUsedUpError, ProtocolError
from lab.zab.events import Received, Session
from lab.zab.handler import Handler
from lab.zab.master import LearnerMaster
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    FollowerInfo,
    Inform,
    LeaderInfo,
    ObserverInfo,
    Phase,
    Ping,
    Proposal,
    Request,
    ServerState,
    Sync,
    SyncProgress,
    TxnBatch,
    UpToDate,
)
from lab.zab.phases import HANDLER_PHASES, Bootstrap
from lab.zab.state import PeerState
from lab.zab.synchronizer import Synchronizer
from lab.zab.zxid import counter_of, epoch_of, is_leap, make_zxid, show

PROPOSALS = "proposals"  # the timer of `proposal_timeout_ms`


class Leader(LearnerMaster):
    """Phases 1 to 3 of Zab on the side of the server that was elected.

    `over` says why the role has ended, once it has; the peer then goes back to LOOKING.
    """

    server_state = ServerState.LEADING

    def __init__(self, state: PeerState, on_established: Callable[[int], list[PeerEffect]]) -> None:
        super().__init__(state)
        self._on_established = on_established  # the election publishes the new epoch in its vote (ZOOKEEPER-1732)
        self.leader = state.me
        self.phase = Phase.DISCOVERY
        self.over: str | None = None
        self.epoch = 0  # 0 until a quorum has shown its promises
        self._summary = (state.current_epoch, state.last_zxid)  # no voter may be more recent (4.2 step 4)
        self._epoch_max = max(state.accepted_epoch, state.epoch_floor)
        self._connecting: set[PeerId] = {state.me}
        self._epoch_acked: set[PeerId] = set()
        self._new_leader_acked: set[PeerId] = set()
        self._broadcast: Broadcast | None = None  # once the epoch is known
        self._progress_tick = 0  # of the bootstrap as a whole (Z-18)

    @property
    def broadcast(self) -> Broadcast:
        assert self._broadcast is not None, "the epoch is not known yet"
        return self._broadcast

    @property
    def tail(self) -> list[TxnBatch]:
        """Appended to the log but not applied."""
        return list(self._broadcast.outstanding) if self._broadcast else []

    def begin(self) -> list[PeerEffect]:
        """Enter DISCOVERY; alone it is a quorum of one and is established at once."""
        return self._propose_epoch()

    def on_message(self, event: Received) -> list[PeerEffect]:
        peer, session, message = event.sender, event.session, event.message
        if isinstance(message, FollowerInfo | ObserverInfo):
            return self._on_info(peer, session, message)
        handler = self.handlers.get(peer)
        if handler is None or handler.session != session:
            return []  # of a session that has ended
        handler.heard_tick = self._tick
        if (handler.stage, type(message)) not in HANDLER_PHASES:
            raise ProtocolError(peer, f"{type(message).__name__} in {handler.stage.name}")
        match message:
            case Ack(zxid):
                return self._on_ack(handler, zxid)
            case Request(body):
                return [Requested(peer, body)]
            case Ping(_, nonce):
                return self._on_echo(handler, nonce)
            case Sync(nonce):
                return self._on_sync(Send((handler.to,), Sync(nonce)))
            case AckEpoch():
                return self._on_ack_epoch(handler, message)
            case SyncProgress(consumed_bytes):
                if handler.recent_enough and peer not in self._new_leader_acked and handler.is_voter:
                    self._note_progress(Phase.SYNCHRONIZATION)
                return self.synchronizer.on_progress(handler, consumed_bytes)
        raise ProtocolError(peer, f"{type(message).__name__} is not for a leader")

    def on_flushed(self, zxid: int) -> list[PeerEffect]:
        """The own disk votes like anybody else's (Z-3)."""
        return self._on_durable(self.state.me, zxid)

    def submit(self, count: int, body: bytes) -> list[PeerEffect]:
        """Broadcast a batch of the service's transactions; only in BROADCAST."""
        assert self.phase is Phase.BROADCAST, "proposals need an established leader"
        if counter_of(self.broadcast.last_proposed) + count >= COUNTER_MAX:
            self.over = "the epoch's counter is used up: a new epoch must begin (ZOOKEEPER-1277)"
            return []
        batch = self.broadcast.next_batch(count, body)
        effects: list[PeerEffect] = []
        if to := self._forwarding(voters=True):
            effects.append(Send(to, Proposal(batch)))  # the others' disks work while ours does
        append = self.state.append(batch)
        if self.state.config.leader_log_first:  # a Barrier yields no Flushed: what it waited for is durable here (Z-3)
            return [append, Barrier(), *effects, *self._on_durable(self.state.me, batch.last)]
        effects.append(append)
        return effects

    def ask_sync(self, nonce: int) -> list[PeerEffect]:
        """On the leader itself sync passes like a read, unless a quorum has to confirm it (zab.md 5.8)."""
        return self._on_sync(Synced(nonce)) if self.broadcast.syncs.by_quorum else [Synced(nonce)]

    def close(self) -> list[PeerEffect]:
        effects = super().close()
        return [CancelTimer(PROPOSALS), *effects] if self.state.config.proposal_timeout_ms else effects

    # -- liveness ----------------------------------------------------------------------------------

    def on_tick(self) -> list[PeerEffect]:
        self._tick += 1
        config, effects = self.state.config, list[PeerEffect]()
        for handler in self._sorted_handlers():
            if self._is_silent(handler) or handler.lags(self._broadcast, self._tick, config.sync_limit_ticks):
                effects += self.drop(handler.peer)
        if self.phase is Phase.BROADCAST and not self._has_quorum():
            self.over = "no quorum of voters is synced"
        elif self.phase is Phase.BROADCAST and self.synchronizer.holds_back and not self._can_commit():
            self.over = "too much is outstanding for those to join who would have to commit it"
        elif self.phase is not Phase.BROADCAST and self._tick - self._progress_tick > config.init_limit_ticks:
            self.over = f"no quorum within {config.init_limit_ticks} ticks in {self.phase.name}"
        elif not self.epoch and self._tick == config.sync_grace_ticks:
            effects += self._propose_epoch()
        elif to := tuple(h.to for h in self._sorted_handlers() if h.stage >= Bootstrap.PULLING):
            # who waits for the leader's own disk, or is level while a slower voter that the quorum needs is not, must
            # not give up meanwhile (Z-18)
            effects.append(Send(to, self._ping()))
        return effects

    def on_proposals_timer(self) -> list[PeerEffect]:
        """Nothing is taken back: what was proposed stays in the logs, and the next leader decides (zab.md 6.2, F1)."""
        if self.broadcast.has_stuck():
            self.over = f"a proposal stayed uncommitted for {self.state.config.proposal_timeout_ms} ms"
            return []
        return self._watch_proposals()

    def _watch_proposals(self) -> list[PeerEffect]:
        timeout_ms = self.state.config.proposal_timeout_ms
        return [SetTimer(PROPOSALS, ceil(timeout_ms / CHECKS))] if timeout_ms else []

    def _ping(self) -> Ping:
        return Ping(self.broadcast.last_proposed, self.broadcast.syncs.round)

    def on_link_ended(self, peer: PeerId) -> None:
        super().on_link_ended(peer)
        # Differs from ZooKeeper (zab.md 6.1), which asks at the next tick: whoever is behind a link that ended looks
        # for a leader already.  Outage of a partition with ticks of 100 ms: median 6.5 instead of 42 ms (V=3).
        if self.phase is Phase.BROADCAST and not self._has_quorum():
            self.over = f"without server {peer} no quorum of voters is synced"

    def _has_quorum(self) -> bool:
        voters = [peer for peer, handler in self.handlers.items() if handler.is_voter]
        return self.state.quorum.contains([self.state.me, *voters])

    def _can_commit(self) -> bool:
        """Whether a quorum gets live traffic."""
        live = [peer for peer, _ in self._forwarding(voters=True)]
        return self.state.quorum.contains([self.state.me, *live])

    def _note_progress(self, phase: Phase) -> None:
        if self.phase is phase:
            self._progress_tick = self._tick

    # -- discovery ---------------------------------------------------------------------------------

    def _on_info(self, peer: PeerId, session: Session, message: FollowerInfo | ObserverInfo) -> list[PeerEffect]:
        is_voter = peer in self.state.config.voters
        if peer in self.handlers and self.handlers[peer].session == session:
            raise ProtocolError(peer, f"a second {type(message).__name__} in one session")
        if is_voter is not isinstance(message, FollowerInfo):
            raise ProtocolError(peer, f"{type(message).__name__} from a {'voter' if is_voter else 'non-voter'}")
        if is_leap(self.state.accepted_epoch, message.accepted_epoch):
            raise ProtocolError(peer, f"it accepted epoch {message.accepted_epoch}, far beyond any that was")
        effects = self.drop(peer)  # a new session ends every older one (Z-9)
        if isinstance(message, ObserverInfo) and message.leader not in (0, self.leader):
            return [*effects, CloseSession(peer, session)]  # it takes this server for a relay of somebody else
        if self.epoch and message.accepted_epoch > self.epoch:
            self.state.epoch_floor = message.accepted_epoch
            self.over = f"server {peer} accepted epoch {message.accepted_epoch}, beyond ours {self.epoch} (Z-4)"
            return [*effects, CloseSession(peer, session)]
        may_vote = isinstance(message, FollowerInfo) and message.may_vote
        handler = Handler(peer, session, is_voter, may_vote, heard_tick=self._tick)
        self._admit(handler)
        if self._broadcast and is_voter:
            self._broadcast.reset_ack(peer)  # an older session's acks prove nothing (Z-1)
        if self.epoch:
            handler.stage = Bootstrap.EPOCH_OFFERED
            return [*effects, Send((handler.to,), LeaderInfo(self.epoch))]
        self._epoch_max = max(self._epoch_max, message.accepted_epoch)
        if may_vote and peer not in self._connecting:
            self._connecting.add(peer)
            self._note_progress(Phase.DISCOVERY)
        return [*effects, *self._propose_epoch()]

    def _propose_epoch(self) -> list[PeerEffect]:
        """With a quorum of promises the new epoch is greater than any of them (4.2 step 2)."""
        if not self.state.quorum.contains(self._connecting) or self._is_waiting_for_voters():
            return []
        if self._epoch_max >= EPOCH_MAX:
            raise EpochsUsedUpError(self._epoch_max)
        self.epoch = self._epoch_max + 1
        effects: list[PeerEffect] = [self.state.save_accepted_epoch(self.epoch)]
        self._broadcast = Broadcast(self.state, self.epoch)
        self._synchronizer = Synchronizer(self.state, self.epoch, self._broadcast.outstanding, self.drop)
        for handler in self._sorted_handlers():
            handler.stage = Bootstrap.EPOCH_OFFERED
            effects.append(Send((handler.to,), LeaderInfo(self.epoch)))
        self._epoch_acked.add(self.state.me)
        return [*effects, *self._try_synchronize()]

    def _is_waiting_for_voters(self) -> bool:
        """Whether voters are missing that `sync_grace_ticks` grants time to come (S38)."""
        config = self.state.config
        return self._tick < config.sync_grace_ticks and not {self.state.me, *self.handlers}.issuperset(config.voters)

    def _on_ack_epoch(self, handler: Handler, message: AckEpoch) -> list[PeerEffect]:
        theirs = (message.current_epoch, message.last_zxid)
        if self.phase is not Phase.BROADCAST and message.current_epoch != -1 and theirs > self._summary:
            raise ProtocolError(handler.peer, f"its history {theirs} is more recent than the leader's {self._summary}")
        handler.recent_enough = True
        handler.last_zxid, handler.need_snap = message.last_zxid, message.need_snap
        handler.stage = Bootstrap.EPOCH_ACKED
        counts = handler.may_vote and message.last_zxid >= 0 and message.current_epoch != -1  # Z-12
        if self.phase is Phase.DISCOVERY:
            if counts and handler.peer not in self._epoch_acked:
                self._epoch_acked.add(handler.peer)
                self._note_progress(Phase.DISCOVERY)
            return self._try_synchronize()
        return self.synchronizer.begin(handler)

    # -- synchronization ---------------------------------------------------------------------------

    def _try_synchronize(self) -> list[PeerEffect]:
        if self.phase is not Phase.DISCOVERY or not self.state.quorum.contains(self._epoch_acked):
            return []
        self.phase = Phase.SYNCHRONIZATION
        self._progress_tick = self._tick
        effects = self.state.save_current_epoch(self.epoch)
        effects.append(Entered(self.server_state, self.phase, self.epoch, self.state.me))
        for handler in self._sorted_handlers():
            if handler.stage is Bootstrap.EPOCH_ACKED:
                effects += self.synchronizer.begin(handler)
        self._new_leader_acked.add(self.state.me)  # its own history is durable since the Barrier
        return [*effects, *self._try_establish()]

    def _try_establish(self) -> list[PeerEffect]:
        if self.phase is not Phase.SYNCHRONIZATION or not self.state.quorum.contains(self._new_leader_acked):
            return []
        self.phase = Phase.BROADCAST
        synced = [handler for handler in self._sorted_handlers() if handler.stage is Bootstrap.SYNCED]
        effects: list[PeerEffect] = [Entered(self.server_state, self.phase, self.epoch, self.state.me)]
        for handler in synced:
            handler.stage = Bootstrap.ACTIVE
            effects.append(Send((handler.to,), UpToDate()))
        return [*effects, *self._on_established(self.epoch), Serve(leading=True), *self._watch_proposals()]

    # -- broadcast ---------------------------------------------------------------------------------

    def _on_ack(self, handler: Handler, zxid: int) -> list[PeerEffect]:
        if handler.stage is Bootstrap.SYNCING:
            if zxid != make_zxid(self.epoch, 0):
                raise ProtocolError(handler.peer, f"Ack({show(zxid)}) before NEWLEADER of epoch {self.epoch} was acked")
            return self._on_new_leader_ack(handler)
        if counter_of(zxid) == 0 and epoch_of(zxid) == self.epoch:
            return []  # of UPTODATE
        if epoch_of(zxid) != self.epoch or zxid > self.broadcast.last_proposed:
            raise ProtocolError(handler.peer, f"Ack({show(zxid)}), last proposed {show(self.broadcast.last_proposed)}")
        return self._on_durable(handler.peer, zxid) if handler.is_voter else []

    def _on_new_leader_ack(self, handler: Handler) -> list[PeerEffect]:
        if handler.is_voter and handler.peer not in self._new_leader_acked:
            self._new_leader_acked.add(handler.peer)
            self._note_progress(Phase.SYNCHRONIZATION)
        if self.phase is Phase.BROADCAST:
            handler.stage = Bootstrap.ACTIVE
            return [Send((handler.to,), UpToDate())]
        handler.stage = Bootstrap.SYNCED
        return self._try_establish()

    def _on_durable(self, voter: PeerId, zxid: int) -> list[PeerEffect]:
        committed = self.broadcast.on_ack(voter, zxid)
        if not committed:
            return []
        voters, observers = self._forwarding(voters=True), self._forwarding(voters=False)
        effects: list[PeerEffect] = []
        for run, syncs in self.broadcast.syncs.split(committed):
            if voters and run:
                effects.append(Send(voters, Commit(run[-1].last)))
            if observers:
                effects += [Send(observers, Inform(batch)) for batch in run]
            effects += syncs
        if counter_of(committed[0].first) == 1:
            effects.append(FirstCommit(self.epoch, committed[0].last))
        effects += [self.state.deliver(batch) for batch in committed]
        if self.synchronizer.holds_back:
            effects += self.synchronizer.retry_joins(self.handlers)
        return effects

    def _on_sync(self, answer: PeerEffect) -> list[PeerEffect]:
        return [*self.broadcast.on_sync(answer), *self._ping_for_syncs()]

    def _on_echo(self, handler: Handler, nonce: int) -> list[PeerEffect]:
        syncs = self.broadcast.syncs
        if nonce > syncs.round:
            raise ProtocolError(handler.peer, f"echo of ping {nonce}, the last one sent was {syncs.round}")
        if not handler.is_voter:
            return []
        syncs.on_echo(handler.peer, nonce)
        return [*syncs.confirmed(), *self._ping_for_syncs()]

    def _ping_for_syncs(self) -> list[PeerEffect]:
        syncs, effects = self.broadcast.syncs, list[PeerEffect]()
        if syncs.begin_round():
            if to := tuple(h.to for h in self._sorted_handlers() if h.is_voter and h.stage is Bootstrap.ACTIVE):
                effects.append(Send(to, self._ping()))
            effects += syncs.confirmed()  # alone the leader is a quorum
        return effects

    def _forwarding(self, *, voters: bool) -> tuple[tuple[PeerId, Session], ...]:
        """Sessions that get live traffic: from the step on in which NEWLEADER was sent to them (X-44)."""
        handlers = self.handlers.values()
        return tuple([h.to for h in handlers if h.is_voter is voters and h.stage >= Bootstrap.SYNCING])
