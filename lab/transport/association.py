"""The consecutive sessions of one link between two incarnations of two processes, over datagrams, sans-IO.

Each end draws a nonce for the session that it wants next and sends HELLO until the other end has answered with it:

    prefix 8 | attempt u64 | nonce u64 | echo u64 | kind u8 | check 8

`attempt` counts this end's HELLOs on this link, so one that is repeated or late is known by it and dropped.  `echo` is
the other end's nonce, 0 if it is not known: who gets the own nonce back knows that the other end lives and means this
session.  Both nonces make the session's prefixes, so nothing of one session is ever taken for another's (Z-9).  ASK is
answered, by as many bytes; OPEN says that its sender's end is open, and is not.  `check` is a digest of the rest: an
attempt that a carrier without tags has damaged would lock out all that follow.
"""

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from struct import Struct

import msgspec

from lab.transport.datagram import PREFIX_BYTES
from lab.transport.recovery import MS
from lab.transport.streams import WindowChannel
from lab.transport.window import Window, WindowConfig

_HELLO = Struct("<8sQQQB")
_CHECK_BYTES = 8
HELLO_BYTES = _HELLO.size + _CHECK_BYTES
_ASK, _OPEN = 1, 2
_RETRY_FIRST_NS = 10 * MS
_RETRY_LEAST_NS, _RETRY_MOST_NS = 100 * MS, 1_000 * MS  # between which the longest pause lies


class Opened(msgspec.Struct, frozen=True):
    """A session began; `Association.channels` are its channels."""


class Ended(msgspec.Struct, frozen=True):
    """The open session ended; whoever kept its channels can still `receive` what had arrived."""

    reason: str


def _nothing() -> None:
    """Nobody wants to know."""


def _prefix(*words: int) -> bytes:
    return blake2b(b"".join(word.to_bytes(8, "little") for word in words), digest_size=PREFIX_BYTES).digest()


def _check(hello: bytes) -> bytes:
    return blake2b(hello, digest_size=_CHECK_BYTES).digest()


class Association:
    """One end of a link."""

    def __init__(self, link: int, side: int, channels: int, config: WindowConfig, rng: random.Random) -> None:
        """`link`: 64 bits that both ends were given, and no other link ever; `side` is 0 at one and 1 at the other."""
        self.on_dirty: Callable[[], None] = _nothing  # called when there is something to send at once
        self._link, self._side, self._channel_count = link, side, channels
        self._config, self._rng = config, rng
        self._hello_in, self._hello_out = _prefix(link, side), _prefix(link, 1 - side)
        self._attempt = 0  # of the last HELLO sent
        self._attempt_in = 0  # of the newest one received
        self._nonce = 0  # of the session that this end is in or wants
        self._nonce_in = 0  # the other end's, 0: not known
        self._expected = b""  # prefix by which the other end would begin that session
        self._hello_at = 0  # next one, while no session is open
        self._hello_sent_at: int | None = None  # the only one so far
        self._pause_ns = 0
        self._answers: list[bytes] = []
        self._events: list[Opened | Ended] = []
        self._window: Window | None = None
        self._is_closed = False
        self._now = 0  # as of the last call that told
        self.prefixes: tuple[bytes, ...] = ()  # of datagrams meant for this end
        self.channels: list[WindowChannel] = []  # of the open session
        self._hellos = self._replayed = self._malformed = self._opened = 0
        self._past = dict.fromkeys(("datagrams_sent", "bytes_sent", "retransmitted", "spurious"), 0)
        self._want_session()

    @property
    def is_open(self) -> bool:
        return self._window is not None

    def take_events(self) -> list[Opened | Ended]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    # -- what arrives --------------------------------------------------------------------------------

    def on_datagram(self, data: bytes, now: int) -> None:
        """`on_datagrams` with one."""
        self.on_datagrams((data,), now)

    def on_datagrams(self, datagrams: Sequence[bytes], now: int) -> None:
        """Take what arrived, in this order; what is malformed, foreign or repeated is dropped and counted.

        A run of them costs less at once than one by one.
        """
        self._now = now
        for data in self._to_window(datagrams, now):
            if data[:PREFIX_BYTES] == self._hello_in:
                self._on_hello(data, now)
                continue
            if self._window is None and self._expected and data[:PREFIX_BYTES] == self._expected:
                # only an end that has got our nonce from us can know the session: as good as its HELLO, which was lost
                self._open(now)
            self._malformed += len(self._to_window((data,), now))  # a session may have begun since the run did

    def _to_window(self, datagrams: Sequence[bytes], now: int) -> Sequence[bytes]:
        """Returns what is not of the open session."""
        window = self._window
        if window is None:
            return datagrams
        foreign = window.on_datagrams(datagrams, now)
        if window.ended:
            self._finish(window.ended)
        return foreign

    def _on_hello(self, data: bytes, now: int) -> None:
        if len(data) != HELLO_BYTES or _check(data[: _HELLO.size]) != data[_HELLO.size :]:
            self._malformed += 1
            return
        _, attempt, nonce, echo, kind = _HELLO.unpack_from(data)
        if self._is_closed or kind not in (_ASK, _OPEN) or not nonce:
            self._malformed += 1
            return
        if attempt <= self._attempt_in:
            self._replayed += 1
            return
        self._attempt_in = attempt
        if self._window is not None:
            if nonce == self._nonce_in:
                if kind == _ASK:
                    self._answer(self._hello(_OPEN))
                return
            if kind == _OPEN:
                return  # of a session that is over
            self._finish("the other end began a new session", is_known=True)
        self._nonce_in = nonce
        self._expect()
        if echo == self._nonce:
            self._open(now)
            if kind == _ASK:
                self._answer(self._hello(_OPEN))
        elif kind == _ASK:
            self._answer(self._ask(now))

    def _answer(self, hello: bytes) -> None:
        self._answers.append(hello)
        self.on_dirty()

    def _hello(self, kind: int) -> bytes:
        self._attempt += 1
        self._hellos += 1
        hello = _HELLO.pack(self._hello_out, self._attempt, self._nonce, self._nonce_in, kind)
        return hello + _check(hello)

    # -- sessions begin and end ----------------------------------------------------------------------

    def _want_session(self) -> None:
        self._nonce, self._nonce_in = self._rng.getrandbits(64) | 1, 0
        self._hello_at, self._hello_sent_at, self._pause_ns = 0, None, _RETRY_FIRST_NS
        self._expect()
        self.on_dirty()

    def _session_prefix(self, side: int) -> bytes:
        """Of datagrams to `side`."""
        nonces = (self._nonce, self._nonce_in)
        return _prefix(self._link, side, nonces[self._side], nonces[1 - self._side])

    def _expect(self) -> None:
        self._expected = self._session_prefix(self._side) if self._nonce_in else b""
        self.prefixes = (self._hello_in, self._expected) if self._expected else (self._hello_in,)

    def _open(self, now: int) -> None:
        rtt = max(now - self._hello_sent_at, 1) if self._hello_sent_at is not None else None
        prefixes = (self._expected, self._session_prefix(1 - self._side))
        self._window = Window(prefixes, self._channel_count, self._config, rtt, now, self._tell_dirty)
        self.channels = self._window.channels
        self._opened += 1
        self._events.append(Opened())
        self.on_dirty()

    def _finish(self, reason: str, *, is_known: bool = False) -> None:
        """`is_known`: the other end has left the session, and need not be told."""
        window = self._window
        assert window is not None
        if not is_known:
            self._answers.append(window.close_datagram(self._now))
        window.end(reason)
        self._window, self.channels = None, []
        for name, value in self._of(window).items():
            self._past[name] += value
        self._replayed += window.replayed
        self._malformed += window.malformed
        self._events.append(Ended(reason))
        self._want_session()

    def _tell_dirty(self) -> None:
        self.on_dirty()

    def end_session(self, reason: str) -> None:
        """End the open session, if there is one, at both ends; the next one begins by itself."""
        if self._window is not None:
            self._finish(reason)

    def close(self, now: int) -> list[bytes]:
        """End for ever; returns the datagrams that tell the other end."""
        self._now = max(self._now, now)
        if self._window is not None:
            self._finish("closed")
        farewell, self._answers = self._answers, []
        self._is_closed = True
        self.prefixes = ()
        self._expected = b""
        return farewell

    # -- what is sent --------------------------------------------------------------------------------

    def datagrams_to_send(self, now: int) -> list[bytes]:
        """What has to leave now, timers included; complete but for the carrier's tag.

        To be called after anything that happened here: a datagram that arrived, a channel that was flushed or received
        from.  One call gives some 64 KiB at most, and costs next to nothing if there is nothing to send.
        """
        if self._is_closed:
            return []
        self._now = now
        datagrams: list[bytes] = []
        window = self._window
        if window is not None:
            datagrams = window.datagrams_to_send(now)
            if window.ended:
                self._finish(window.ended)
        if self._window is None and now >= self._hello_at:
            self._answers.append(self._ask(now))
        if self._answers:
            datagrams = self._answers + datagrams
            self._answers = []
        return datagrams

    def _ask(self, now: int) -> bytes:
        """A HELLO; the next one follows after a pause that grows."""
        is_first = self._hello_at == 0
        self._hello_sent_at = now if is_first else None
        self._hello_at = now + self._pause_ns * self._rng.randrange(75, 125) // 100
        longest = min(max(4 * self._config.keepalive_ns, _RETRY_LEAST_NS), _RETRY_MOST_NS)
        self._pause_ns = min(2 * self._pause_ns, longest)
        return self._hello(_ASK)

    def next_timeout(self) -> int | None:
        """When `datagrams_to_send` has to be called even if nothing happens until then; None: never again."""
        if self._is_closed:
            return None
        if self._answers:
            return 0
        return self._hello_at if self._window is None else self._window.next_timeout()

    # -- counters ------------------------------------------------------------------------------------

    @staticmethod
    def _of(window: Window) -> dict[str, int]:
        return {
            "datagrams_sent": window.sent,
            "bytes_sent": window.sent_bytes,
            "retransmitted": window.retransmitted,
            "spurious": window.recovery.spurious_total,
        }

    @property
    def counters(self) -> dict[str, int]:
        """Of all sessions so far; `srtt_ns` and `cwnd_bytes` of the open one, 0 if none is."""
        window = self._window
        counters = dict(self._past)
        if window is not None:
            for name, value in self._of(window).items():
                counters[name] += value
        return counters | {
            "replayed": self._replayed + (window.replayed if window else 0),
            "malformed": self._malformed + (window.malformed if window else 0),
            "hellos": self._hellos,
            "sessions": self._opened,
            "srtt_ns": window.recovery.rtt.smoothed if window else 0,
            "cwnd_bytes": window.congestion.window if window else 0,
        }
