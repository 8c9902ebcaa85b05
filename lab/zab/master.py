"""What serves learner sessions: it brings each level and knows how far it has come (ZooKeeper: LearnerMaster)."""

from lab.zab.config import PeerId
from lab.zab.effects import CloseSession, PeerEffect
from lab.zab.events import LogRead, Session, SnapshotRead
from lab.zab.handler import Handler
from lab.zab.phases import Bootstrap
from lab.zab.state import PeerState
from lab.zab.synchronizer import Synchronizer
from lab.zab.zxid import Zxid


class LearnerMaster:
    """The learner sessions of one role, one a learner; which epoch they are offered is the role's business."""

    def __init__(self, state: PeerState) -> None:
        self.state = state
        self.handlers: dict[PeerId, Handler] = {}  # in the order of the peers
        self._synchronizer: Synchronizer | None = None  # once the epoch is known
        self._tick = 0

    @property
    def synchronizer(self) -> Synchronizer:
        assert self._synchronizer is not None, "the epoch is not known yet"
        return self._synchronizer

    @property
    def lowest_cursor(self) -> Zxid | None:
        """How far the learner that is furthest behind has been sent its history; None if nobody is being sent any."""
        return min((h.feed.cursor for h in self.handlers.values() if h.feed is not None), default=None)

    def on_log_read(self, event: LogRead) -> list[PeerEffect]:
        handler = self._handler_of(event.learner, event.session)
        return [] if handler is None else self.synchronizer.on_log_read(handler, event)

    def on_snapshot_read(self, event: SnapshotRead) -> list[PeerEffect]:
        handler = self._handler_of(event.learner, event.session)
        return [] if handler is None else self.synchronizer.on_snapshot_read(handler, event)

    def on_session_closed(self, peer: PeerId, session: Session) -> list[PeerEffect]:
        if self._handler_of(peer, session) is not None:
            self._forget(peer)
        return []

    def on_link_ended(self, peer: PeerId) -> None:
        """The link to `peer` is gone, and its session with it."""
        self._forget(peer)

    def drop(self, peer: PeerId) -> list[PeerEffect]:
        """End the learner session of `peer`; what it acknowledged and promised remains."""
        handler = self._forget(peer)
        return [CloseSession(peer, handler.session)] if handler else []

    def close(self) -> list[PeerEffect]:
        """The role is over: end every session.

        Nothing that refers to the role is kept by it: servers run without a collector of cycles.
        """
        ends: list[PeerEffect] = [CloseSession(*handler.to) for handler in self._sorted_handlers()]
        self.handlers.clear()
        self._synchronizer = None
        return ends

    def _is_silent(self, handler: Handler) -> bool:
        """Whether nothing was heard in this session for too long."""
        config = self.state.config
        limit = config.sync_limit_ticks if handler.stage is Bootstrap.ACTIVE else config.init_limit_ticks
        return self._tick - handler.heard_tick > limit

    def _handler_of(self, peer: PeerId, session: Session) -> Handler | None:
        """None if that session has ended."""
        handler = self.handlers.get(peer)
        return handler if handler is not None and handler.session == session else None

    def _forget(self, peer: PeerId) -> Handler | None:
        if self._synchronizer is not None:
            self._synchronizer.forget(peer)
        return self.handlers.pop(peer, None)

    def _admit(self, handler: Handler) -> None:
        """A session begins; whoever walks the handlers need not sort them."""
        self.handlers[handler.peer] = handler
        for peer in sorted(self.handlers):
            self.handlers[peer] = self.handlers.pop(peer)

    def _sorted_handlers(self) -> list[Handler]:
        return list(self.handlers.values())
