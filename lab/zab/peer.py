"""One server's Zab: looks for a leader, then leads or learns, then looks again (ZooKeeper: QuorumPeer).

`Peer` routes events to the election or to the role in force and does what leaving a role takes; the decisions are in
`election`, `leader` and `learner`.
"""

from typing import TYPE_CHECKING

from lab.zab.config import PeerId, ZabConfig
from lab.zab.constants import PEER_ID_MAX
from lab.zab.effects import Barrier, CloseSession, EndSnapshot, Entered, PeerEffect, StopServing
from lab.zab.election import Election, Outcome
from lab.zab.errors import ProtocolError
from lab.zab.events import (
    Flushed,
    Forward,
    LogRead,
    Notified,
    PeerDown,
    PeerEvent,
    PeerUp,
    Received,
    Recovered,
    Session,
    SessionClosed,
    SnapshotRead,
    SnapshotWritten,
    Start,
    Submit,
    SyncAsked,
    Tick,
    Timeout,
    Truncated,
)
from lab.zab.leader import PROPOSALS, Leader
from lab.zab.learner import Learner
from lab.zab.master import LearnerMaster
from lab.zab.messages import FollowerInfo, ObserverInfo, Phase, ServerState
from lab.zab.own_snapshots import OwnSnapshots
from lab.zab.relay import master_of
from lab.zab.state import PeerState
from lab.zab.zxid import Zxid

if TYPE_CHECKING:
    import random


class Peer:
    """The protocol of one incarnation of one server.  `step` is the only way in, its effects the only way out."""

    def __init__(self, me: PeerId, config: ZabConfig, recovered: Recovered, rng: "random.Random") -> None:
        assert me in config.members, f"server {me} is no member of {config.members}"
        self.me = me
        self.config = config
        self.state_of_zab = PeerState(me, config, recovered)
        self.election = Election(me, config, self.state_of_zab.quorum)
        self.role: Leader | Learner | None = None  # None: LOOKING
        self.last_problem = ""  # why the last role ended, or which session was closed and why; for people
        self._recovered: Recovered | None = recovered
        self._links: dict[PeerId, int] = {}  # live incarnations
        self._ended: set[PeerId] = set()  # peers whose links are known to have ended
        self._shuns_relays = False  # the next time that this observer finds a leader
        self._held: dict[PeerId, Received] = {}  # *INFO that came before this server had decided
        # Learner sessions are counted from anywhere: what is still sent in a session of an older incarnation of this
        # server, by a leader that has not heard of its end, must not be taken for one of this incarnation's (Z-9).
        self._session = rng.getrandbits(31)
        self._own_snapshots = OwnSnapshots(self.state_of_zab, rng)

    # -- what others may read ----------------------------------------------------------------------

    @property
    def state(self) -> ServerState:
        return self.role.server_state if self.role else ServerState.LOOKING

    @property
    def phase(self) -> Phase:
        return self.role.phase if self.role else Phase.ELECTION

    @property
    def leader(self) -> PeerId:
        """Whom this server follows, itself if it leads, 0 while it looks."""
        return self.role.leader if self.role else 0

    @property
    def epoch(self) -> int:
        return self.role.epoch if self.role else self.state_of_zab.current_epoch

    @property
    def last_zxid(self) -> Zxid:
        return self.state_of_zab.last_zxid

    @property
    def _master(self) -> LearnerMaster | None:
        """What serves learners here, if anything does: the leader, or a follower that relays."""
        return self.role.relay if isinstance(self.role, Learner) else self.role

    @property
    def reaches_quorum(self) -> bool:
        """Whether a quorum of voters, itself included, is up and linked: without one no leader can be found."""
        return self.state_of_zab.quorum.contains([self.me, *self._links])

    @property
    def next_zxid(self) -> Zxid:
        """Of the next transaction to submit; only on an established leader."""
        assert isinstance(self.role, Leader)
        return self.role.broadcast.last_proposed + 1

    @property
    def room(self) -> int:
        """How many batches may be submitted now (`max_outstanding`); only on an established leader."""
        assert isinstance(self.role, Leader)
        if self.role.synchronizer.holds_back:
            return 0
        bound = self.config.max_outstanding
        return bound - len(self.role.broadcast.outstanding) if bound else 1 << 30

    # -- the one way in ----------------------------------------------------------------------------

    def step(self, event: PeerEvent) -> list[PeerEffect]:
        """Take one event; the effects are to be carried out in order (`effects`) before the next event."""
        try:
            effects = self._route(event)
        except ProtocolError as error:
            effects = self._on_protocol_error(error, event)
        while self.role is not None and self.role.over is not None:  # twice if what was held ends the new role, too
            effects += self._leave_role(self.role.over)
        return effects

    def _route(self, event: PeerEvent) -> list[PeerEffect]:
        role = self.role
        match event:
            case Received():
                return self._on_received(event)
            case Flushed(gen, zxid):
                return self._on_flushed(role, zxid) if role and gen == self.state_of_zab.gen else []
            case Submit(count, body):
                assert isinstance(role, Leader), "only a leader proposes"
                return role.submit(count, body)
            case Forward(body):
                assert isinstance(role, Learner), "only a learner forwards"
                return role.forward(body)
            case Tick():
                return [*role.on_tick(), *self._overdue_snapshot(role)] if role else []
            case Timeout(timer):
                if isinstance(role, Leader) and timer == PROPOSALS:
                    return role.on_proposals_timer()
                return [] if role else self._after(self.election.on_timeout(timer, self._ended))
            case Notified(sender, notification):
                if role:
                    return [*self.election.reply_when_settled(sender, notification, self.state)]
                incarnation = self._links.get(sender, 0)
                return self._after(self.election.on_notification(sender, incarnation, notification, self._ended))
            case PeerUp(peer, incarnation):
                return self._on_peer_up(peer, incarnation)
            case PeerDown(peer, incarnation):
                return self._on_peer_down(peer) if self._links.get(peer) == incarnation else []
            case SessionClosed(peer, session):
                return self._on_session_closed(peer, session)
            case SyncAsked(nonce):
                assert role is not None, "sync needs a serving server"
                return role.ask_sync(nonce)
            case Truncated(gen):
                assert isinstance(role, Learner), "only a learner truncates"
                assert gen == self.state_of_zab.gen, f"Truncated of generation {gen}, not {self.state_of_zab.gen}"
                return role.on_truncated(event, self._next_session())
            case LogRead():
                return master.on_log_read(event) if (master := self._master) else []
            case SnapshotRead():
                return master.on_snapshot_read(event) if (master := self._master) else []
            case SnapshotWritten(gen, _, ok):
                self._own_snapshots.end()
                log_after = master.lowest_cursor if (master := self._master) else None
                return [EndSnapshot(ok and gen == self.state_of_zab.gen, log_after)]
            case Start():
                return self._start()
        raise AssertionError(f"unknown event {event}")

    def _start(self) -> list[PeerEffect]:
        assert self._recovered is not None, "started twice"
        restore = self.state_of_zab.restore(self._recovered.history)
        self._recovered = None
        return [restore, *self._look()]

    # -- snapshots of the own disk -----------------------------------------------------------------

    def ask_snapshot(self) -> None:
        """Take one as soon as may be, besides those that `snap_count` asks for."""
        self._own_snapshots.ask()

    def _on_flushed(self, role: Leader | Learner, zxid: Zxid) -> list[PeerEffect]:
        effects = role.on_flushed(zxid)
        if self._own_snapshots.is_due and self._may_snapshot(role) and self.state_of_zab.applied.last <= zxid:
            return [*effects, self._own_snapshots.begin()]
        return effects

    def _overdue_snapshot(self, role: Leader | Learner) -> list[PeerEffect]:
        """A disk that is always behind what is applied is waited for once, and everything with it (Z-8)."""
        if not self._own_snapshots.is_overdue() or not self._may_snapshot(role):
            return []
        flushed = role.on_flushed(self.state_of_zab.last_zxid)  # what the Barrier waits for yields no Flushed (Z-3)
        return [Barrier(), *flushed, self._own_snapshots.begin()]

    def _may_snapshot(self, role: Leader | Learner) -> bool:
        """What is applied in BROADCAST is committed: no snapshot ever holds what a TRUNC may cut (H-5)."""
        return role.phase is Phase.BROADCAST and role.over is None

    # -- links and sessions ------------------------------------------------------------------------

    def _next_session(self) -> Session:
        """Greater than all that this server opened before, and none that the other end of a link could choose."""
        self._session += 1
        return self._session * (PEER_ID_MAX + 1) + self.me

    def _on_peer_up(self, peer: PeerId, incarnation: int) -> list[PeerEffect]:
        effects: list[PeerEffect] = []
        if peer in self._links:
            effects += self._on_peer_down(peer)  # a newer incarnation ends all sessions with older ones (Z-9)
        self._links[peer] = incarnation
        self._ended.discard(peer)
        if self.role is None:
            effects += self.election.on_peer_up(peer)
        elif isinstance(self.role, Learner) and peer == self.role.master and not self.role.session:
            effects += self.role.connect(self._next_session())
        return effects

    def _on_peer_down(self, peer: PeerId) -> list[PeerEffect]:
        self._links.pop(peer, None)
        self._held.pop(peer, None)
        self._ended.add(peer)
        if self.role is None:
            return self._after(self.election.on_peer_down(self._ended))
        if self._master is not None:
            self._master.on_link_ended(peer)
        if isinstance(self.role, Learner) and peer == self.role.master and self.role.session:
            self.role.over = f"the link to {self.role.show_master()} ended"
        return []

    def _on_received(self, event: Received) -> list[PeerEffect]:
        role = self.role
        if isinstance(role, Leader):
            return role.on_message(event)
        if role is None:
            if isinstance(event.message, FollowerInfo | ObserverInfo):  # held until this server has decided (DESIGN 3)
                self._held[event.sender] = event
            return []
        if event.sender == role.master and event.session == role.session:
            return role.on_message(event.message)
        if isinstance(event.message, FollowerInfo) or (role.relay is None and isinstance(event.message, ObserverInfo)):
            return [CloseSession(event.sender, event.session)]  # this server does not lead
        return role.relay.on_message(event) if role.relay else []  # of a session that has ended

    def _on_session_closed(self, peer: PeerId, session: Session) -> list[PeerEffect]:
        held = self._held.get(peer)
        if held is not None and held.session == session:
            del self._held[peer]
        if isinstance(self.role, Learner) and (peer, session) == (self.role.master, self.role.session):
            self.role.over = f"{self.role.show_master()} closed the session"
        elif self._master is not None:
            return self._master.on_session_closed(peer, session)
        return []

    def _on_protocol_error(self, error: ProtocolError, event: PeerEvent) -> list[PeerEffect]:
        assert isinstance(event, Received), f"{error} without a message"
        self.last_problem = str(error)
        if isinstance(self.role, Learner) and (event.sender, event.session) == (self.role.master, self.role.session):
            self.role.over = str(error)
            return []
        assert self._master is not None
        broken = CloseSession(event.sender, event.session)
        return [broken, *(effect for effect in self._master.drop(event.sender) if effect != broken)]

    # -- changing roles ----------------------------------------------------------------------------

    def _after(self, outcome: Outcome) -> list[PeerEffect]:
        """What the election wants done, and the new role if it is over."""
        effects: list[PeerEffect] = [*outcome.effects]
        if outcome.leader is not None:
            effects += self._lead() if outcome.leader == self.me else self._learn(outcome.leader)
        return effects

    def _lead(self) -> list[PeerEffect]:
        self.state_of_zab.gen += 1
        self.role = role = Leader(self.state_of_zab, on_established=self._on_established)
        effects: list[PeerEffect] = [Entered(self.state, self.phase, role.epoch, self.me), *self.election.announce()]
        return [*effects, *role.begin(), *self._take_held()]

    def _take_held(self) -> list[PeerEffect]:
        """This server has decided: it serves those who waited for it, or sends them away."""
        held, self._held = self._held, {}
        effects: list[PeerEffect] = []
        for peer in sorted(held):
            try:
                effects += self._on_received(held[peer])
            except ProtocolError as error:
                effects += self._on_protocol_error(error, held[peer])
        return effects

    def _learn(self, leader: PeerId) -> list[PeerEffect]:
        self.state_of_zab.gen += 1
        master = leader
        if not self.state_of_zab.is_voter and not self._shuns_relays:
            master = master_of(self.me, leader, self.config, self._links)
        self.role = role = Learner(self.state_of_zab, leader, self.election.settle, master)
        effects: list[PeerEffect] = [Entered(self.state, self.phase, 0, leader), *self._take_held()]
        if master in self._links:
            effects += role.connect(self._next_session())
        return effects  # without a link it waits for one, no longer than initLimit

    def _on_established(self, epoch: int) -> list[PeerEffect]:
        self.election.settle(epoch)
        return [*self.election.announce()]

    def _leave_role(self, reason: str) -> list[PeerEffect]:
        """Back to LOOKING: nobody is served, everything logged is durable and applied before the first vote (Z-3)."""
        role, self.role, self.last_problem = self.role, None, reason
        assert role is not None
        self._shuns_relays = isinstance(role, Learner) and role.relay_failed  # the leader itself is asked then
        self.state_of_zab.gen += 1
        effects: list[PeerEffect] = [StopServing()] if role.phase is Phase.BROADCAST else []
        effects += role.close()
        effects.append(Barrier())
        effects += self.state_of_zab.replay_all(role.tail)
        return [*effects, *self._look()]

    def _look(self) -> list[PeerEffect]:
        state = self.state_of_zab
        effects = state.repair_current_epoch()
        effects.append(Entered(ServerState.LOOKING, Phase.ELECTION, state.current_epoch, 0))
        outcome = self.election.begin(state.current_epoch, state.last_zxid, state.may_vote, self._ended)
        return [*effects, *self._after(outcome)]
