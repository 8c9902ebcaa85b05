"""Everything of one process that goes over datagrams: one UDP socket, and rings that carry datagrams.

The port finds the association that a datagram is for, checks its tag, and gives it the delay and loss that the link is
to have.  It decides nothing about sessions, and it answers nothing to what it does not know.
"""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from lab.transport.carriers import Carrier, RingCarrier
from lab.transport.guard import Guard
from lab.transport.seal import Seal, check_bind
from lab.transport.udp import Address, UdpSocket

if TYPE_CHECKING:
    from lab.transport.association import Association
    from lab.transport.shaping import Shaper

PREFIX_BYTES = 8
READS_MAX = 64  # of one `receive`: whatever floods the socket, the process goes on with its other work
_NEVER = 1 << 63  # later than any time
BURSTS_MAX = 16  # of one association in one `flush`, each of some 64 KiB


class DatagramSocket(Protocol):
    """What the port needs of its socket (see lab.transport.udp.UdpSocket)."""

    def fileno(self) -> int: ...
    def send(self, datagrams: Sequence[bytes], address: Address) -> None: ...
    def has_input(self) -> bool: ...
    def receive(self) -> list[bytes]: ...
    @property
    def counters(self) -> dict[str, int]: ...
    def close(self) -> None: ...


class _Member:
    """One association with what the port knows of it."""

    __slots__ = ("carrier", "due", "prefixes", "ring", "session", "shaper")

    def __init__(self, session: "Association", carrier: Carrier, shaper: "Shaper | None") -> None:
        self.session, self.carrier, self.shaper = session, carrier, shaper
        self.ring = carrier if isinstance(carrier, RingCarrier) else None
        self.prefixes: tuple[bytes, ...] = ()  # under which it can be found; those of `session` as of its last step
        self.due = _NEVER  # when its timers have something to do, as of its last step


def _nothing() -> None:
    """Nobody waits for this association any more."""


class Port:
    """Nothing here blocks.  One turn of a process: `receive`, its own work, `flush`, then wait until `deadline_ns`."""

    def __init__(
        self,
        bound: socket.socket | DatagramSocket | None,
        key: bytes,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Takes over the socket.  With a `key` (32 bytes) everything over it carries a tag; rings carry none.

        Raises SealError for a socket that is bound beyond loopback if there is no key; it stays the caller's then.
        """
        if isinstance(bound, socket.socket):
            check_bind(bound.getsockname()[0], key)
        self._guard = Guard(bound) if isinstance(bound, socket.socket) else None
        self._udp = UdpSocket(bound) if isinstance(bound, socket.socket) else bound
        self._seal = Seal(key) if key else None
        self._clock = clock
        self._members: list[_Member] = []
        self._by_prefix: dict[bytes, _Member] = {}
        self._ringed: list[_Member] = []
        self._shaped: list[_Member] = []
        self._dirty: dict[_Member, None] = {}  # have something to send at once, in the order in which that came
        self._heard: dict[Association, None] = {}  # got datagrams, or another session, since that was last asked for
        self._earliest = _NEVER  # no timer is due before
        self.turns = 0  # calls of `receive`
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
        self._dirty[member] = None
        association.on_dirty = partial(self._dirty.__setitem__, member, None)
        if member.ring is not None:
            self._ringed.append(member)
        if shaper is not None:
            self._shaped.append(member)

    def remove(self, association: "Association") -> None:
        """End `association`, telling the other end; what its shaper holds is lost.  KeyError if it is not here."""
        member = self._member(association)
        if farewell := association.close(self._clock()):
            member.carrier.send(farewell)
        self._members.remove(member)
        self._heard.pop(association, None)
        association.on_dirty = _nothing
        self._dirty.pop(member, None)
        if member.shaper is not None:
            self._shaped.remove(member)
        for prefix in member.prefixes:
            if self._by_prefix.get(prefix) is member:
                del self._by_prefix[prefix]
        if member.ring is not None:
            self._ringed.remove(member)
            self._ring_lost += member.ring.lost
            self._ring_corrupt += member.ring.is_corrupt

    def set_shaper(self, association: "Association", shaper: "Shaper | None") -> None:
        """Another shaper for what comes in from now on; what the former one holds is lost."""
        member = self._member(association)
        member.shaper = shaper
        self._shaped = [other for other in self._members if other.shaper is not None]

    def _member(self, association: "Association") -> _Member:
        for member in self._members:
            if member.session is association:
                return member
        raise KeyError(f"{association} is not at this port")

    def has_news(self) -> bool:
        """As `has_input`, or whether `take_heard` would give any."""
        return bool(self._heard) or self.has_input()

    def take_heard(self) -> "Iterable[Association]":
        """Those that may have something to tell or to be received since the last call, in the order of its coming."""
        heard, self._heard = self._heard, {}
        return heard

    def _index(self, member: _Member) -> None:
        """It can be found under other prefixes: a session has begun or ended."""
        self._heard[member.session] = None
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
        self.turns += 1
        udp = self._udp
        if udp is not None:
            foreign, is_full = self.foreign, False
            for _ in range(READS_MAX):
                if not udp.has_input():
                    break
                if datagrams := udp.receive():
                    changed = self._take(datagrams) or changed
            else:
                is_full = self.foreign - foreign > READS_MAX // 2
            guard = self._guard
            if guard is not None and (self.foreign != foreign or guard.is_alert):
                guard.on_turn(self.foreign, is_full, self._by_prefix, self._clock())
        for member in self._ringed:
            assert member.ring is not None, "it is among those that have one"
            if member.ring.has_input() and (datagrams := member.ring.receive()):
                self._hand_over(member, datagrams, self._clock())
                changed = True
        now = self._clock()
        if self._shaped or now >= self._earliest:
            changed = self._run_due(now) or changed
        return changed

    def _take(self, datagrams: Sequence[bytes]) -> bool:
        """Datagrams from the socket, at least one; whether any was for us."""
        now, find, seal = self._clock(), self._by_prefix.get, self._seal
        if seal is None:
            prefix = datagrams[0][:PREFIX_BYTES]
            for datagram in datagrams:
                if datagram[:PREFIX_BYTES] != prefix:
                    break
            else:  # as one burst of one association is, and so nearly every run
                member = find(prefix)
                if member is None:
                    self.foreign += len(datagrams)
                    return False
                self._hand_over(member, datagrams, now)
                return True
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
        self._heard[session] = None
        if session.prefixes is not member.prefixes:
            self._index(member)
        self._note_timer(member)

    def _note_timer(self, member: _Member) -> None:
        due = member.session.next_timeout()
        member.due = _NEVER if due is None else due
        if due is not None and 0 < due < self._earliest:  # at 0 there is something to send, which `flush` does
            self._earliest = due

    def _run_due(self, now: int) -> bool:
        """What the shapers let go and the timers that have run out; whether there was any."""
        changed = False
        for member in self._shaped:
            assert member.shaper is not None, "it is among those that have one"
            due = member.shaper.next_due()
            if due is not None and due <= now:
                self._deliver(member, [datagram for datagram in member.shaper.due(now) if datagram], now)
                changed = True  # without datagrams, too: END is for whoever owns the shaper
        if now >= self._earliest:
            for member in self._members:
                if 0 < member.due <= now:
                    self._send(member, now)
                    changed = True
            self._earliest = min((member.due for member in self._members if member.due), default=_NEVER)
        return changed

    def has_input(self) -> bool:
        """A cheap look: whether `receive` would find a datagram, or room in a ring that had none."""
        if self._udp is not None and self._udp.has_input():
            return True
        for member in self._ringed:
            assert member.ring is not None, "it is among those that have one"
            if member.ring.has_input():
                return True
        return False

    def deadline_ns(self) -> int | None:
        """When `receive` has to be called even if nothing arrives."""
        if self._dirty:
            return 0
        self._earliest = earliest = min((member.due for member in self._members if member.due), default=_NEVER)
        for member in self._shaped:
            assert member.shaper is not None, "it is among those that have one"
            due = member.shaper.next_due()
            if due is not None and due < earliest:
                earliest = due
        return None if earliest == _NEVER else earliest

    # -- out -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what the associations have to send now: frames, acknowledgements, what was lost."""
        if not self._dirty:
            return
        now, dirty = self._clock(), list(self._dirty)
        self._dirty.clear()
        for member in dirty:
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
            self._note_timer(member)
            if member.due > now:
                return
        self._dirty[member] = None

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
        rings = [member.ring for member in self._ringed if member.ring is not None]
        counters = {
            "foreign": self.foreign,
            "forged": self.forged,
            "ring_lost": self._ring_lost + sum(ring.lost for ring in rings),
            "ring_corrupt": self._ring_corrupt + sum(ring.is_corrupt for ring in rings),
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
