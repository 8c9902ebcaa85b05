"""One session with ZooKeeper, sans-IO: what to send to attach it, how many requests what arrived has answered.

A connection is one attachment; a session outlives it and goes on at another server, if that has seen what it has.
ZooKeeper answers the requests of a session in order, so what is outstanding is a number and n replies answer the n
oldest.  When an attachment ends, everything outstanding is *unknown*.
"""

from enum import Enum

from lab.targets.zookeeper import jute
from lab.targets.zookeeper.jute import JuteError, SessionExpiredError


class State(Enum):
    DETACHED = 0
    CONNECTING = 1  # from the first byte sent to the ConnectResponse
    ATTACHED = 2


class Session:
    """Whoever owns the connection sends what `connect` returns and hands in what arrives, cut anywhere."""

    def __init__(self, timeout_ms: int) -> None:
        self.id = 0  # none yet
        self.state = State.DETACHED
        self.outstanding = 0
        self.reason = "not attached yet"  # why the last attachment ended
        self._timeout_ms = timeout_ms
        self._granted: jute.Connected | None = None
        self._zxid = 0
        self._last = b""  # the latest replies; opened only if its zxid is asked for
        self._rest = b""  # the head of a reply whose end has not arrived

    @property
    def timeout_ms(self) -> int:
        """As granted; before that, as asked for."""
        return self._timeout_ms if self._granted is None else self._granted.timeout_ms

    @property
    def last_zxid(self) -> int:
        """The greatest zxid that this session was told."""
        if self._last:
            self._zxid = max(self._zxid, jute.zxid_of(jute.replies(self._last)[-1][1]))
            self._last = b""
        return self._zxid

    def connect(self) -> bytes:
        """Begin an attachment; nothing else may be sent before it is answered."""
        assert self.state is State.DETACHED, self.state
        self.state, self._rest = State.CONNECTING, b""
        granted = self._granted
        session, password = (0, bytes(16)) if granted is None else (granted.session, granted.password)
        return jute.connect(self.last_zxid, self._timeout_ms, session, password)

    def sent(self, count: int) -> None:
        """`count` requests were handed to the connection."""
        assert self.state is State.ATTACHED, self.state
        self.outstanding += count

    def receive(self, data: bytes) -> tuple[bytes, int]:
        """Take what arrived; returns whole replies and how many requests they answer.

        Raises JuteError if a server says what is no reply or answers what nobody asked: detach then.
        """
        data = self._rest + data if self._rest else data
        if self.state is State.CONNECTING:
            self._rest = data
            answer = jute.connected(data)
            if answer is None:
                return b"", 0
            self._attach(answer[0])
            data = data[answer[1] :]
        count, end, strangers = jute.split(data)
        if count > self.outstanding:
            raise JuteError(f"{count} replies to {self.outstanding} requests")
        self.outstanding -= count
        self._rest, frame = (data[end:], data[:end]) if end < len(data) else (b"", data)
        if strangers:
            frame = jute.asked_for(frame)
        if frame:
            self._last = frame
        return frame, count

    def detach(self, reason: str) -> int:
        """The attachment is over; returns how many outstanding requests have become unknown."""
        lost, self.outstanding = self.outstanding, 0
        self.state, self.reason, self._rest = State.DETACHED, reason, b""
        return lost

    def _attach(self, granted: jute.Connected) -> None:
        if not granted.timeout_ms:  # given up meanwhile: the next connection asks for a new one
            self._granted = None
            raise SessionExpiredError("the session has expired")
        self._granted, self.state, self._rest = granted, State.ATTACHED, b""
        self.id = self.id or granted.session  # in the history a place keeps its first session's number
