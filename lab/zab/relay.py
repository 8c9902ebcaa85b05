"""A follower that plays the leader's part towards observers, so that the leader sends once per relay (zab.md 5.1).

ZooKeeper: ObserverMaster (ZOOKEEPER-3140).  An observer cannot tell a relay from its leader, and need not: what it gets
is history that the leader of the same epoch has committed, in order, and nothing else.
"""

from collections.abc import Callable, Container

from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import CloseSession, PeerEffect, Send
from lab.zab.errors import ProtocolError
from lab.zab.events import Received, Session
from lab.zab.handler import Handler
from lab.zab.master import LearnerMaster
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Inform,
    LeaderInfo,
    LearnerMessage,
    ObserverInfo,
    Ping,
    Request,
    Sync,
    SyncProgress,
    TxnBatch,
    UpToDate,
)
from lab.zab.phases import HANDLER_PHASES, Bootstrap
from lab.zab.state import PeerState
from lab.zab.synchronizer import Synchronizer
from lab.zab.zxid import Epoch, epoch_of, make_zxid, show

RELAYED_NONCE = 1 << 62  # from here on: syncs that a relay asks for an observer; below: for clients of its own


def master_of(observer: PeerId, leader: PeerId, config: ZabConfig, linked: Container[PeerId]) -> PeerId:
    """Whose learner this observer of `leader` becomes: a relay's, or the leader's own.

    The first `relays` followers share the observers evenly; in place of one that is not linked the next one serves.
    """
    if not config.relays:
        return leader
    followers = [voter for voter in config.voters if voter != leader]
    mine = config.observers.index(observer) % config.relays
    return next((peer for peer in followers[mine:] + followers[:mine] if peer in linked), leader)


class Relay(LearnerMaster):
    """Serves observers from what this follower has been told is committed, from `open` to the end of its role."""

    def __init__(self, state: PeerState, leader: PeerId, send: Callable[[LearnerMessage], Send]) -> None:
        """`send` is to the leader, in this follower's own session."""
        super().__init__(state)
        self._leader = leader
        self._send = send
        self._epoch: Epoch = 0  # 0 until this follower is in BROADCAST
        self._asked: dict[int, tuple[Handler, int]] = {}  # by the nonce of the sync: who wants it, under which nonce
        self._nonce = RELAYED_NONCE

    def open(self, epoch: Epoch) -> list[PeerEffect]:
        """This follower holds the initial history of `epoch`, which is established: begin with those who wait."""
        self._epoch = epoch
        self._synchronizer = Synchronizer(self.state, epoch, (), self.drop)
        return [self._offer(handler) for handler in self._sorted_handlers()]

    def on_message(self, event: Received) -> list[PeerEffect]:
        """From an observer."""
        peer, message = event.sender, event.message
        if isinstance(message, ObserverInfo):
            return self._on_info(peer, event.session, message)
        handler = self._handler_of(peer, event.session)
        if handler is None:
            return []
        handler.heard_tick = self._tick
        if (handler.stage, type(message)) not in HANDLER_PHASES:
            raise ProtocolError(peer, f"{type(message).__name__} in {handler.stage.name}")
        match message:
            case Request():
                return [self._send(message)]
            case Sync(nonce):
                return self._on_sync(handler, nonce)
            case Ping():
                return []
            case AckEpoch(_, last_zxid, need_snap):
                handler.last_zxid, handler.need_snap = last_zxid, need_snap
                handler.stage = Bootstrap.EPOCH_ACKED
                return self._begin(handler)
            case Ack(zxid):
                return self._on_ack(handler, zxid)
            case SyncProgress(consumed_bytes):
                return self.synchronizer.on_progress(handler, consumed_bytes)
        raise ProtocolError(peer, f"{type(message).__name__} is not for a relay")

    def on_committed(self, batches: list[TxnBatch]) -> list[PeerEffect]:
        """The leader has committed these, and they are applied here: hand them on."""
        effects: list[PeerEffect] = []
        if not self.handlers:
            return effects
        if to := tuple(handler.to for handler in self._sorted_handlers() if handler.stage >= Bootstrap.SYNCING):
            effects += [Send(to, Inform(batch)) for batch in batches]
        for handler in self._sorted_handlers():
            if handler.stage is Bootstrap.EPOCH_ACKED:  # it was ahead, for a log is read within the step
                effects += self._begin(handler)
        return effects

    def on_synced(self, nonce: int) -> list[PeerEffect]:
        """The leader's answer stands behind all that it had committed, and so does this one (zab.md 5.8)."""
        handler, their_nonce = self._asked.pop(nonce, (None, 0))
        if handler is None or self.handlers.get(handler.peer) is not handler:
            return []
        return [Send((handler.to,), Sync(their_nonce))]

    def on_tick(self) -> list[PeerEffect]:
        self._tick += 1
        effects: list[PeerEffect] = []
        for handler in self._sorted_handlers():
            if self._is_silent(handler):
                effects += self.drop(handler.peer)
        if to := tuple(h.to for h in self._sorted_handlers() if h.stage >= Bootstrap.EPOCH_ACKED):
            effects.append(Send(to, Ping(self.state.applied.last)))
        return effects

    def _on_info(self, peer: PeerId, session: Session, message: ObserverInfo) -> list[PeerEffect]:
        if peer not in self.state.config.observers:
            raise ProtocolError(peer, "ObserverInfo from a voter")
        if self._handler_of(peer, session) is not None:
            raise ProtocolError(peer, "a second ObserverInfo in one session")
        effects = self.drop(peer)  # a new session ends every older one (Z-9)
        if message.leader != self._leader:
            return [*effects, CloseSession(peer, session)]
        handler = Handler(peer, session, is_voter=False, may_vote=False, heard_tick=self._tick)
        self._admit(handler)
        # If it has accepted a later epoch it will refuse this one, and ask the leader, who steps down (Z-4).
        return [*effects, self._offer(handler)] if self._epoch else effects

    def _offer(self, handler: Handler) -> Send:
        handler.stage = Bootstrap.EPOCH_OFFERED
        return Send((handler.to,), LeaderInfo(self._epoch))

    def _begin(self, handler: Handler) -> list[PeerEffect]:
        """Bring the observer level, unless it is ahead.

        What it holds of this epoch is committed, for observers get nothing else, and this follower is yet to hear of
        it: cutting it off would take back what clients have seen (INV-14).  What it holds of older epochs is committed
        only as far as the initial history of this one has it, and that is here.
        """
        last = handler.last_zxid
        if last > self.state.applied.last and epoch_of(last) == self._epoch:
            return []
        return self.synchronizer.begin(handler)

    def _on_ack(self, handler: Handler, zxid: int) -> list[PeerEffect]:
        if zxid != make_zxid(self._epoch, 0):
            raise ProtocolError(handler.peer, f"Ack({show(zxid)}) from an observer in epoch {self._epoch}")
        if handler.stage is Bootstrap.ACTIVE:
            return []  # of UPTODATE
        handler.stage = Bootstrap.ACTIVE
        return [Send((handler.to,), UpToDate())]

    def _on_sync(self, handler: Handler, nonce: int) -> list[PeerEffect]:
        self._nonce += 1
        self._asked[self._nonce] = handler, nonce
        return [self._send(Sync(self._nonce))]
