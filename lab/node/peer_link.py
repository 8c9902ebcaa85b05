"""The link to one incarnation of a peer: its election channel, and the learner sessions on the other (Z-9).

A frame of the learner channel begins with a kind and the session's number; a Close frame ends a session in the place
where it stands, so that what was sent before still arrives.  Incarnations need no field: a link's memory belongs to one
incarnation of either end.
"""

from collections.abc import Iterator
from struct import Struct

from lab.service.host import ElectionFrame, Inbound, LearnerFrame
from lab.transport.bell import Bell
from lab.transport.errors import CorruptFrameError
from lab.transport.shm import PEER_CHANNELS, ShmLink
from lab.zab.config import PeerId
from lab.zab.events import Session, SessionClosed

_PREFIX = Struct("<BQ")
_PREFIX_BYTES = _PREFIX.size
_DATA, _CLOSE = 1, 2


class PeerLink:
    """One end.  Session numbers are the caller's; none may be used again on this link after it ended."""

    def __init__(self, peer: PeerId, incarnation: int, memory_fd: int, side: int, bell: Bell, queue_bytes_max: int):
        """`bell` is the other process's and belongs to this object from now on; `memory_fd` stays the caller's."""
        self.peer = peer
        self.incarnation = incarnation
        self._bell = bell
        self._link = ShmLink(memory_fd, PEER_CHANNELS, side, bell, queue_bytes_max=queue_bytes_max)
        self._election, self._learner = self._link.channels
        self._live: set[Session] = set()
        self._ended: set[Session] = set()

    @property
    def bytes_sent(self) -> int:
        return self._election.bytes_sent + self._learner.bytes_sent

    @property
    def frames_sent(self) -> int:
        return self._election.frames_sent + self._learner.frames_sent

    def flush(self) -> bool:
        """Publish what was sent; False if some of it waits for room.  Raises CorruptFrameError."""
        self._election.flush()
        self._learner.flush()
        return not (self._learner.wants_flush() or self._election.wants_flush())

    def notify(self, frame: bytes) -> None:
        """Send on the election channel.  If it is full, what waits is lost: the newest notification matters."""
        if not self._election.send(frame):
            self._election.clear_queue()
            self._election.send(frame)

    def send(self, session: Session, frame: bytes) -> list[SessionClosed]:
        """Send in a session; one that has ended takes nothing.

        Returns the sessions that ended because too much is waiting: everything that waited is dropped with them.
        """
        if session in self._ended:
            return []
        self._live.add(session)
        if self._learner.send(_PREFIX.pack(_DATA, session), frame):
            return []
        return self._overflow()

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

    def _overflow(self) -> list[SessionClosed]:
        self._learner.clear_queue()
        closed = [SessionClosed(self.peer, session) for session in sorted(self._live)]
        self._ended |= self._live
        self._live.clear()
        for session in sorted(self._ended):  # earlier Close frames may have waited, too; a second one does no harm
            self._learner.send(_PREFIX.pack(_CLOSE, session))
        return closed

    def receive(self, arrived: list[Inbound]) -> None:
        """Append what arrived, election first.  Raises CorruptFrameError; what came before it has been appended."""
        votes = self._election.receive()
        if votes:
            arrived.extend([ElectionFrame(self.peer, frame) for frame in votes])
        frames = self._learner.receive()
        if frames:
            arrived.extend(self._open(frames))

    def _open(self, frames: list[bytes]) -> Iterator[Inbound]:
        peer, live, ended = self.peer, self._live, self._ended
        for frame in frames:
            if len(frame) < _PREFIX_BYTES:
                raise CorruptFrameError(f"learner frame of {len(frame)} bytes: at least {_PREFIX_BYTES}")
            kind, session = _PREFIX.unpack_from(frame)
            if session in ended:
                continue
            if kind == _DATA:
                live.add(session)
                yield LearnerFrame(peer, session, frame[_PREFIX_BYTES:])
            elif kind == _CLOSE:
                self._end(session)
                yield SessionClosed(peer, session)
            else:
                raise CorruptFrameError(f"learner frame of kind {kind}")

    def has_ended(self) -> bool:
        """Whether the other end closed the link."""
        return self._link.has_ended()

    def close(self) -> None:
        self._link.close()
        self._bell.close()
