"""Sessions over datagrams: what is acknowledged, sent again, taken for new, and when a session is over."""

from typing import Any

from lab.node.datagram_links import DatagramLinks
from lab.service.host import Inbound
from lab.sim.mutants.planting import Patch, mutant
from lab.transport.association import Association
from lab.transport.datagram_end import DatagramEnd
from lab.transport.ranges import ReceivedNumbers
from lab.transport.recovery import Record, Recovery
from lab.transport.seal import TAG_BYTES, Seal
from lab.transport.streams import InStream
from lab.transport.window import Window
from lab.zab.events import PeerDown, PeerUp


@mutant("LINK-1", links="window")
def datagrams_count_twice(patch: Patch) -> None:
    """A datagram that arrives twice is taken twice, and what was in it is delivered again."""
    plain = InStream.accept

    def accept(self: InStream, offset: int, piece: bytes) -> bool:
        if offset + len(piece) <= self.next_offset:
            self.parts.append(piece)
            return True
        return plain(self, offset, piece)

    patch(ReceivedNumbers, "has", lambda _, number: number < 0)
    patch(InStream, "accept", accept)


@mutant("LINK-1", links="window")
def what_comes_early_is_delivered(patch: Patch) -> None:
    """A piece behind a gap is delivered at once, not in its place."""

    def keep(self: InStream, offset: int, piece: bytes) -> bool:
        if offset not in self.early:
            self.early[offset] = b""
            self.parts.append(piece)
        return True

    patch(InStream, "_keep", keep)


@mutant("LINK-4", links="window")
def lost_datagrams_stay_lost(patch: Patch) -> None:
    """What a sender gives up is not sent again."""

    plain = Recovery._give_up

    def give_up(self: Recovery, record: Record, now: int) -> None:
        record.stream = None
        plain(self, record, now)

    patch(Recovery, "_give_up", give_up)


@mutant("LINK-4", links="window")
def acknowledges_what_is_missing(patch: Patch) -> None:
    """An acknowledgement covers everything up to the newest datagram, whatever is missing before it."""

    def shorten(self: ReceivedNumbers) -> None:
        while len(self.ranges) > 1:
            first, _ = self.ranges.pop(0)
            self.ranges[0][0] = first

    patch(ReceivedNumbers, "_shorten", shorten)


@mutant("LINK-4", links="window")
def acknowledges_what_it_has_no_room_for(patch: Patch) -> None:
    """A piece behind a gap is acknowledged and thrown away."""
    patch(InStream, "_keep", lambda *_: True)


@mutant("LINK-2, Z-9", links="window")
def sessions_are_not_told_apart(patch: Patch) -> None:
    """All sessions of a link have the same prefixes, so that late datagrams of an old one are taken for new."""
    plain = Association._session_prefix

    def session_prefix(self: Association, side: int) -> bytes:
        nonces, self._nonce, self._nonce_in = (self._nonce, self._nonce_in), 1, 1
        prefix = plain(self, side)
        self._nonce, self._nonce_in = nonces
        return prefix

    patch(Association, "_session_prefix", session_prefix)


@mutant("LINK-3, P8", links="window")
def hearing_itself_is_a_sign_of_life(patch: Patch) -> None:
    """A session lives for as long as its own end sends."""
    plain = Window._look_at_clock

    def look_at_clock(self: Window, now: int) -> None:
        self._heard_at = now
        plain(self, now)

    patch(Window, "_look_at_clock", look_at_clock)


@mutant("LINK-3, P8", links="window")
def goes_on_though_the_other_end_has_given_up(patch: Patch) -> None:
    """The end that still hears the other one takes no notice of its having begun anew: a link that works one way."""
    plain = Association._on_hello

    def on_hello(self: Association, data: bytes, now: int) -> None:
        if not self.is_open:
            plain(self, data, now)

    patch(Association, "_on_hello", on_hello)
    patch(Window, "close_datagram", lambda *_: b"")


@mutant("LINK-2, Z-9", links="window")
def a_new_session_is_the_old_link(patch: Patch) -> None:
    """A server is not told that a session ended and the next one began: learner sessions go on across the gap."""
    plain = DatagramLinks._hear
    told = set[DatagramEnd]()

    def hear(self: DatagramLinks, key: Any, end: DatagramEnd, arrived: list[Inbound]) -> None:
        before = len(arrived)
        plain(self, key, end, arrived)
        if end in told:
            arrived[before:] = [item for item in arrived[before:] if not isinstance(item, PeerDown | PeerUp)]
        elif any(isinstance(item, PeerUp) for item in arrived[before:]):
            told.add(end)

    patch(DatagramLinks, "_hear", hear)


@mutant("LINK-1, DESIGN 3", links="window")
def tags_are_not_checked(patch: Patch) -> None:
    """Damaged datagrams are taken as they come."""
    patch(Seal, "open", lambda _, sealed: sealed[:-TAG_BYTES])
