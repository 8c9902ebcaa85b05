"""Everything of one process that goes over datagrams: one UDP socket, and rings that carry datagrams.

The port finds the association that a datagram is for, checks its tag, and gives it the delay and loss that the link is
to have.  It decides nothing about sessions, and it answers nothing to what it does not know.
"""

import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from lab.transport.errors import CorruptFrameError
from lab.transport.guard import Guard
from lab.transport.udp import Address, UdpSocket

if TYPE_CHECKING:
    from lab.transport.association import Association
    from lab.transport.seal import Seal
    from lab.transport.shaping import Shaper

PREFIX_BYTES = 8
READS_MAX = 64  # of one `receive`: whatever floods the socket, the process goes on with its other work
BURSTS_MAX = 16  # of one association in one `flush`, each of some 64 KiB


class DatagramChannel(Protocol):
    """What a carrier needs of a channel over shared memory (see lab.transport.shm)."""

    send: Callable[..., bool]
    receive: Callable[[], list[bytes]]
    flush: Callable[[], bool]

    @property
    def broken(self) -> bool: ...
    @property
    def frames_sent(self) -> int: ...
    def has_input(self) -> bool: ...
    def wants_flush(self) -> bool: ...
    def clear_queue(self) -> None: ...


class DatagramSocket(Protocol):
    """What the port needs of its socket (see lab.transport.udp.UdpSocket)."""

    def fileno(self) -> int: ...
    def send(self, datagrams: Sequence[bytes], address: Address) -> None: ...
    def has_input(self) -> bool: ...
    def receive(self) -> list[bytes]: ...
    @property
    def counters(self) -> dict[str, int]: ...
    def close(self) -> None: ...


class Carrier(Protocol):
    """Takes datagrams to the other end of one link, or loses them."""

    def send(self, datagrams: list[bytes]) -> None: ...


class UdpCarrier:
    """Over the port's socket, to one address."""

    def __init__(self, port: "Port", address: Address) -> None:
        self._port, self._address = port, address

    def send(self, datagrams: list[bytes]) -> None:
        self._port.send_to(datagrams, self._address)


class RingCarrier:
    """Over one channel in shared memory, in which every frame is a datagram.

    A ring that is full loses what comes then, as a switch would: nothing may wait here for longer than the ring is.
    """

    def __init__(self, channel: DatagramChannel) -> None:
        """`channel` stays the caller's; remove the association from the port before the memory is unmapped."""
        self._channel = channel
        self.lost = 0
        self.is_corrupt = False  # the other end wrote what no correct process writes: nothing is read any more

    def send(self, datagrams: list[bytes]) -> None:
        channel = self._channel
        if channel.wants_flush() and not channel.flush():
            self.lost += len(datagrams)
            return
        for datagram in datagrams:
            if not channel.send(datagram):
                self.lost += 1
        channel.flush()
        if channel.broken:
            accepted = channel.frames_sent
            channel.clear_queue()
            self.lost += accepted - channel.frames_sent

    def receive(self) -> list[bytes]:
        """The datagrams that have arrived; what waited for room moves on, too."""
        if self.is_corrupt:
            return []
        try:
            if self._channel.wants_flush():
                self._channel.flush()
            return self._channel.receive()
        except CorruptFrameError:
            self.is_corrupt = True
            return []

    def has_input(self) -> bool:
        return not self.is_corrupt and self._channel.has_input()


class _Member:
    """One association with what the port knows of it."""

    __slots__ = ("carrier", "prefixes", "ring", "session", "shaper")

    def __init__(self, session: "Association", carrier: Carrier, shaper: "Shaper | None") -> None:
        self.session, self.carrier, self.shaper = session, carrier, shaper
        self.ring = carrier if isinstance(carrier, RingCarrier) else None
        self.prefixes: tuple[bytes, ...] = ()  # under which it can be found; those of `session` as of its last step


def _make_seal(key: bytes) -> "Seal":
    from lab.transport.seal import Seal  # hashlib and hmac: 3 ms of a server's start, which most do without

    return Seal(key)


class Port:
    """Nothing here blocks.  One turn of a process: `receive`, its own work, `flush`, then wait until `deadline_ns`."""

    def __init__(
        self,
        bound: socket.socket | DatagramSocket | None,
        key: bytes,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Takes over the socket.  With a `key` (32 bytes) everything over it carries a tag; rings carry none."""
        self._guard = Guard(bound) if isinstance(bound, socket.socket) else None
        self._udp = UdpSocket(bound) if isinstance(bound, socket.socket) else bound
        self._seal = _make_seal(key) if key else None
        self._clock = clock
        self._members: list[_Member] = []
        self._by_prefix: dict[bytes, _Member] = {}
        self._rings: list[RingCarrier] = []
        self.foreign = 0  # not for any association
        self.forged = 0  # for one, with a wrong tag
        self._ring_lost = self._ring_corrupt = 0  # of associations that were removed

    def now_ns(self) -> int:
        """By the clock that everything here goes by."""
        return self._clock()

    def fileno(self) -> int:
        """The socket, for whoever waits; -1 without one."""
        return self._udp.fileno() if self._udp is not None else -1

    # -- associations come and go --------------------------------------------------------------------

    def add(self, association: "Association", carrier: Carrier, shaper: "Shaper | None") -> None:
        """From now on `association` lives here; `shaper` holds what comes in for it (None: it arrives as it comes)."""
        member = _Member(association, carrier, shaper)
        self._members.append(member)
        self._index(member)
        if member.ring is not None:
            self._rings.append(member.ring)

    def remove(self, association: "Association") -> None:
        """End `association`, telling the other end; what its shaper holds is lost.  KeyError if it is not here."""
        member = self._member(association)
        if farewell := association.close(self._clock()):
            member.carrier.send(farewell)
        self._members.remove(member)
        for prefix in member.prefixes:
            if self._by_prefix.get(prefix) is member:
                del self._by_prefix[prefix]
        if member.ring is not None:
            self._rings.remove(member.ring)
            self._ring_lost += member.ring.lost
            self._ring_corrupt += member.ring.is_corrupt

    def set_shaper(self, association: "Association", shaper: "Shaper | None") -> None:
        """Another shaper for what comes in from now on; what the former one holds is lost."""
        self._member(association).shaper = shaper

    def _member(self, association: "Association") -> _Member:
        for member in self._members:
            if member.session is association:
                return member
        raise KeyError(f"{association} is not at this port")

    def _index(self, member: _Member) -> None:
        for prefix in member.prefixes:
            if self._by_prefix.get(prefix) is member:
                del self._by_prefix[prefix]
        member.prefixes = member.session.prefixes
        for prefix in member.prefixes:
            self._by_prefix[prefix] = member
        if self._guard is not None and self._guard.is_up:
            self._guard.admit(self._by_prefix)

    # -- in ------------------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Read what has arrived and hand on what is due; then run the timers that are.  True: something was done.

        Reads READS_MAX times at most: `has_input` says whether more is there.
        """
        changed = False
        udp = self._udp
        if udp is not None:
            foreign, is_full = self.foreign, False
            for _ in range(READS_MAX):
                if not udp.has_input():
                    break
                changed |= self._take(udp.receive())
            else:
                is_full = self.foreign - foreign > READS_MAX // 2
            guard = self._guard
            if guard is not None and (self.foreign != foreign or guard.is_alert):
                guard.on_turn(self.foreign, is_full, self._by_prefix, self._clock())
        for member in self._members:
            if member.ring is not None and member.ring.has_input() and (datagrams := member.ring.receive()):
                self._hand_over(member, datagrams, self._clock())
                changed = True
        return self._run_due() or changed

    def _take(self, datagrams: Sequence[bytes]) -> bool:
        """Datagrams from the socket; whether any was for us."""
        now, find, seal = self._clock(), self._by_prefix.get, self._seal
        known, current, run = False, None, list[bytes]()
        for datagram in datagrams:
            member = find(datagram[:PREFIX_BYTES])
            if member is None and current is not None:  # a session may have begun with what stands before it
                self._hand_over(current, run, now)
                current, member = None, find(datagram[:PREFIX_BYTES])
            if member is None:
                self.foreign += 1
                continue
            if seal is not None:
                opened = seal.open(datagram)
                if opened is None:
                    self.forged += 1
                    continue
                datagram = opened
            if member is not current:
                if current is not None:
                    self._hand_over(current, run, now)
                known, current, run = True, member, []
            run.append(datagram)
        if current is not None:
            self._hand_over(current, run, now)
        return known

    def _hand_over(self, member: _Member, datagrams: Sequence[bytes], now: int) -> None:
        """What has come over the link, to its shaper if it has one."""
        if member.shaper is None:
            self._deliver(member, datagrams, now)
        else:
            for datagram in datagrams:
                member.shaper.push(datagram, now)

    def _deliver(self, member: _Member, datagrams: Sequence[bytes], now: int) -> None:
        session = member.session
        session.on_datagrams(datagrams, now)
        if session.prefixes is not member.prefixes:
            self._index(member)

    def _run_due(self) -> bool:
        """What the shapers let go and the timers that have run out; whether there was any."""
        now, changed = self._clock(), False
        for member in self._members:
            if member.shaper is not None:
                due = member.shaper.next_due()
                if due is not None and due <= now:
                    self._deliver(member, [datagram for datagram in member.shaper.due(now) if datagram], now)
                    changed = True  # without datagrams, too: END is for whoever owns the shaper
            timeout = member.session.next_timeout()
            if timeout is not None and 0 < timeout <= now:  # at 0 there is something to send, which `flush` does
                self._send(member, now)
                changed = True
        return changed

    def has_input(self) -> bool:
        """A cheap look: whether `receive` would find a datagram, or room in a ring that had none."""
        if self._udp is not None and self._udp.has_input():
            return True
        return any(ring.has_input() for ring in self._rings)

    def deadline_ns(self) -> int | None:
        """When `receive` has to be called even if nothing arrives."""
        times = [member.session.next_timeout() for member in self._members]
        times += [member.shaper.next_due() for member in self._members if member.shaper is not None]
        return min((time_ns for time_ns in times if time_ns is not None), default=None)

    # -- out -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what the associations have to send now: frames, acknowledgements, what was lost."""
        now = self._clock()
        for member in self._members:
            self._send(member, now)

    def _send(self, member: _Member, now: int) -> None:
        """Burst after burst until nothing more may leave now, or others have waited for long enough."""
        session = member.session
        for _ in range(BURSTS_MAX):
            datagrams = session.datagrams_to_send(now)
            if session.prefixes is not member.prefixes:
                self._index(member)
            if datagrams:
                member.carrier.send(datagrams)
            timeout = session.next_timeout()
            if timeout is None or timeout > now:
                return

    def send_to(self, datagrams: list[bytes], address: Address) -> None:
        """Send over the socket, with tags if there is a key."""
        assert self._udp is not None, "a port without a socket has nothing to send over"
        if self._seal is not None:
            datagrams = list(map(self._seal.seal, datagrams))
        self._udp.send(datagrams, address)

    # -- what there is to know -----------------------------------------------------------------------

    @property
    def counters(self) -> dict[str, int]:
        """Since the start; of datagrams unless the name says otherwise."""
        counters = {
            "foreign": self.foreign,
            "forged": self.forged,
            "ring_lost": self._ring_lost + sum(ring.lost for ring in self._rings),
            "ring_corrupt": self._ring_corrupt + sum(ring.is_corrupt for ring in self._rings),
        }
        if self._udp is not None:
            counters |= self._udp.counters
        if self._guard is not None:
            counters["filtered"] = self._guard.filtered
        return counters

    def close(self) -> None:
        """Remove every association and close the socket."""
        for member in list(self._members):
            self.remove(member.session)
        if self._udp is not None:
            self._udp.close()
