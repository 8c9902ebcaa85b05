"""The link to one incarnation of a peer: its election channel, and the learner sessions on the other (Z-9).

A frame of the learner channel begins with a kind and the session's number; a Close frame ends a session in the place
where it stands, so that what was sent before still arrives.  Incarnations need no field: a link's memory belongs to one
incarnation of either end.
"""

from struct import Struct

from lab.service.host import ElectionFrame, Inbound, LearnerFrame
from lab.transport.errors import CorruptFrameError
from lab.transport.link import Link
from lab.zab.config import PeerId
from lab.zab.events import Session, SessionClosed

_PREFIX = Struct("<BQ")
_PREFIX_BYTES = _PREFIX.size
_DATA, _CLOSE = 1, 2
_NO_SESSION: Session = -1


class PeerLink:
    """One end.  Session numbers are the caller's; none may be used again on this link after it ended."""

    def __init__(self, peer: PeerId, incarnation: int, link: Link) -> None:
        """Takes over `link`, whose channels are election and learner."""
        self.peer = peer
        self.incarnation = incarnation
        self._link = link
        self._election, self._learner = link.channels
        self._live: set[Session] = set()
        self._ended: set[Session] = set()
        self._notified = False  # something was sent on the election channel, and perhaps waits
        self._current = _NO_SESSION  # the session, live, that frames came or went in last
        self._prefix = b""  # of its data frames

    @property
    def bytes_sent(self) -> int:
        return self._election.bytes_sent + self._learner.bytes_sent

    @property
    def frames_sent(self) -> int:
        return self._election.frames_sent + self._learner.frames_sent

    def flush(self) -> bool:
        """Publish what was sent; False if some of it waits for room.  Raises CorruptFrameError."""
        if self._notified:
            self._notified = not self._election.flush()
        return self._learner.flush() and not self._notified

    def notify(self, frame: bytes) -> None:
        """Send on the election channel.  If it is full, what waits is lost: the newest notification matters."""
        self._notified = True
        if not self._election.send(frame):
            self._election.clear_queue()
            self._election.send(frame)

    def send(self, session: Session, frame: bytes) -> list[SessionClosed]:
        """Send in a session; one that has ended takes nothing.

        Returns the sessions that ended because too much is waiting: everything that waited is dropped with them.
        """
        if session != self._current and not self._begin(session):
            return []
        if self._learner.send(self._prefix, frame):
            return []
        return self._overflow()

    def _begin(self, session: Session) -> bool:
        """Frames come or go in another session than the last one; False if it has ended."""
        if session in self._ended:
            return False
        self._live.add(session)
        self._current, self._prefix = session, _PREFIX.pack(_DATA, session)
        return True

    def close_session(self, session: Session) -> list[SessionClosed]:
        """End a session at both ends.  Returns further ones that ended, as `send` does."""
        if session in self._ended:
            return []
        self._end(session)
        if self._learner.send(_PREFIX.pack(_CLOSE, session)):
            return []
        return self._overflow()

    def _end(self, session: Session) -> None:
        self._live.discard(session)
        self._ended.add(session)
        if session == self._current:
            self._current, self._prefix = _NO_SESSION, b""

    def _overflow(self) -> list[SessionClosed]:
        self._learner.clear_queue()
        closed = [SessionClosed(self.peer, session) for session in sorted(self._live)]
        for each in closed:
            self._end(each.session)
        for session in sorted(self._ended):  # earlier Close frames may have waited, too; a second one does no harm
            self._learner.send(_PREFIX.pack(_CLOSE, session))
        return closed

    def receive(self, arrived: list[Inbound], *, rare: bool) -> None:
        """Append what arrived, election first.  Raises CorruptFrameError; what came before it has been appended.

        Votes are `rare`: they are looked for only if something rare was announced.
        """
        if rare:
            votes = self._election.receive()
            if votes:
                arrived.extend([ElectionFrame(self.peer, frame) for frame in votes])
        for frame in self._learner.receive():
            if self._prefix and frame.startswith(self._prefix):
                arrived.append(LearnerFrame(self.peer, self._current, frame[_PREFIX_BYTES:]))
            else:
                arrived.extend(self._open(frame))

    def _open(self, frame: bytes) -> list[Inbound]:
        """A frame that is not one more of the current session's."""
        if len(frame) < _PREFIX_BYTES:
            raise CorruptFrameError(f"learner frame of {len(frame)} bytes: at least {_PREFIX_BYTES}")
        kind, session = _PREFIX.unpack_from(frame)
        if session in self._ended:
            return []
        if kind == _DATA:
            self._begin(session)
            return [LearnerFrame(self.peer, session, frame[_PREFIX_BYTES:])]
        if kind == _CLOSE:
            self._end(session)
            return [SessionClosed(self.peer, session)]
        raise CorruptFrameError(f"learner frame of kind {kind}")

    def has_ended(self) -> bool:
        """Whether the other end closed the link."""
        return self._link.has_ended()

    def close(self) -> None:
        self._link.close()
