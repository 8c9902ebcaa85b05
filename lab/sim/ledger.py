"""What the sessions of datagrams must keep to (zab.md appendix A, Z-9), checked frame by frame where links hand over.

LINK-1  A session delivers what was sent in one session of the other end: whole, once, in order, from the first on.
        Frames may be missing only where their sender dropped all that waited.
LINK-2  Nothing of an old session arrives in a new one: ends of sessions belong together in pairs, in order.
LINK-3  Where nothing passes one way, both ends learn that the link is down (P8), and it stays down.
LINK-4  Without faults, a frame arrives within a bound or its session ends.

Each frame is stamped by its sender with the number of its session at that end and its own, and the stamp is taken off
by the receiver; what was sent is kept here, to be compared.  The frames of a walk are few and short: padding makes them
fill datagrams, windows and queues.
"""

from collections.abc import Sequence
from struct import Struct

from lab.sim.clock import VirtualClock
from lab.sim.errors import InvariantError
from lab.transport.link import Channel, Link

# session of the sender's end on this link, frame of that session and channel, both from 0 on, and bytes of padding
_STAMP = Struct("<III")
_ORDER, _PAIR = "LINK-1", "LINK-2"
_NAMES = ("election", "learner")

End = tuple[int, int]  # link, side


class SessionEnd:
    """One end of one session: what it has sent, and what has arrived there."""

    def __init__(self, end: End, number: int, channels: int) -> None:
        self.link, self.side = end
        self.number = number
        self.pair: SessionEnd | None = None  # what has arrived here was sent there
        self.sent: list[list[tuple[float, bytes]]] = [[] for _ in range(channels)]
        self.dropped_at: list[set[int]] = [set() for _ in range(channels)]  # frames from which on nothing is missing
        self.arrived = [0] * channels  # number of the next frame

    def __str__(self) -> str:
        return f"session {self.number} of side {self.side} of link {self.link:#x}"


class Ledger:
    """All sessions of all links of a world."""

    def __init__(self) -> None:
        self.padding = 0  # bytes by which frames are longer from now on
        self._sessions: dict[End, list[SessionEnd]] = {}

    def open(self, link: int, side: int, channels: int) -> SessionEnd:
        sessions = self._sessions.setdefault((link, side), [])
        session = SessionEnd((link, side), len(sessions), channels)
        sessions.append(session)
        return session

    def sender_of(self, receiver: SessionEnd, number: int) -> SessionEnd:
        """The other end of `receiver`, which gets something that was sent in that end's session `number`."""
        pair = receiver.pair
        if pair is None:
            return self._join(receiver, number)
        if pair.number != number:
            raise InvariantError(_PAIR, f"{receiver} gets what was sent in session {number}, after {pair}")
        return pair

    def _join(self, receiver: SessionEnd, number: int) -> SessionEnd:
        others = self._sessions.get((receiver.link, 1 - receiver.side), [])
        if not number < len(others):
            raise InvariantError(_PAIR, f"{receiver} gets something of session {number}, which the other end never had")
        sender = others[number]
        if sender.pair not in (None, receiver):
            raise InvariantError(_PAIR, f"{receiver} gets what was sent in {sender}, which belongs to {sender.pair}")
        for session in self._sessions[receiver.link, receiver.side]:
            if session is not receiver and session.pair is not None and session.pair.number >= number:
                raise InvariantError(_PAIR, f"{receiver} gets what was sent in {sender}, {session} that of a later one")
        receiver.pair, sender.pair = sender, receiver
        return sender


class WatchedChannel:
    """A channel of a session, with everything that passes entered in the ledger."""

    def __init__(self, over: Channel, ledger: Ledger, session: SessionEnd, index: int, clock: VirtualClock) -> None:
        self._over, self._ledger, self._session, self._index = over, ledger, session, index
        self._sent = session.sent[index]
        self._clock = clock
        self.flush, self.has_input, self.wants_flush = over.flush, over.has_input, over.wants_flush

    @property
    def broken(self) -> bool:
        return self._over.broken

    @property
    def bytes_sent(self) -> int:
        return self._over.bytes_sent

    @property
    def frames_sent(self) -> int:
        return self._over.frames_sent

    def send(self, *parts: bytes) -> bool:
        frame, number, padding = b"".join(parts), len(self._sent), self._ledger.padding
        if not self._over.send(_STAMP.pack(self._session.number, number, padding), frame + _pad(number, padding)):
            return False
        self._sent.append((self._clock.now_ms(), frame))
        return True

    def clear_queue(self) -> None:
        self._over.clear_queue()
        self._session.dropped_at[self._index].add(len(self._sent))

    def receive(self) -> list[bytes]:
        arrived = self._over.receive()
        return [self._check(stamped) for stamped in arrived] if arrived else arrived

    def _check(self, stamped: bytes) -> bytes:
        session, index = self._session, self._index
        if len(stamped) < _STAMP.size:
            raise self._error(f"{stamped!r} arrives, which nobody sent")
        session_number, number, padding = _STAMP.unpack_from(stamped)
        sender = self._ledger.sender_of(session, session_number)
        sent, expected = sender.sent[index], session.arrived[index]
        if number != expected and not (number > expected and number in sender.dropped_at[index]):
            raise self._error(f"frame {number} arrives, not {expected}")
        frame: bytes = sent[number][1] if number < len(sent) else b""
        if len(stamped) != _STAMP.size + len(frame) + padding or stamped[_STAMP.size :] != frame + _pad(
            number, padding
        ):
            raise self._error(f"frame {number} arrives with other bytes than it was sent with")
        session.arrived[index] = number + 1
        return frame

    def _error(self, what: str) -> InvariantError:
        return InvariantError(_ORDER, f"{self._session}, {_NAMES[self._index]} channel: {what}")


def _pad(number: int, padding: int) -> bytes:
    """Differs from frame to frame."""
    return bytes((number & 0xFF,)) * padding


class WatchedLink:
    """One end of one session as a link."""

    def __init__(self, over: Link, ledger: Ledger, session: SessionEnd, clock: VirtualClock) -> None:
        self._over = over
        self.session = session
        self.channels: Sequence[Channel] = [
            WatchedChannel(channel, ledger, session, index, clock) for index, channel in enumerate(over.channels)
        ]
        self.has_ended, self.is_ending, self.close = over.has_ended, over.is_ending, over.close

    def waiting_since_ms(self) -> float | None:
        """When the oldest frame was sent that has not arrived; None: all have."""
        session = self.session
        times = []
        for index, sent in enumerate(session.sent):
            arrived = session.pair.arrived[index] if session.pair is not None else 0
            if arrived < len(sent):
                times.append(sent[arrived][0])
        return min(times, default=None)
