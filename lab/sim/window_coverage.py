"""What walks over datagrams really reach in a link's life: seen in functions that are wrapped from outside."""

from collections import Counter
from enum import Enum
from typing import Any

from lab.node.peer_link import PeerLink
from lab.sim.mutants.planting import Patch
from lab.sim.window_ports import SimulatedLinks
from lab.transport.association import Association
from lab.transport.inbound import Inbound
from lab.transport.recovery import Recovery
from lab.transport.seal import Seal
from lab.transport.streams import InStream
from lab.zab.events import SessionClosed

SECTION = "datagrams"


class Reached(Enum):
    """In the order of the table."""

    OPENED = "session opened"
    SILENCE = "session ended by silence"
    CLOSED = "session ended by its other end"
    RENEWED = "session ended by a newer one"
    BROKEN = "session ended as by a broken rule"
    LOST = "lost and sent again"
    TOO_EARLY = "taken for lost too early"
    AGAIN = "came again and was dropped"
    FORGED = "wrong tag"
    KEPT = "came early and was kept"
    IN_PARTS = "a frame of several datagrams"
    OVERFLOWED = "too much waited and was dropped"


_ENDINGS = {
    "no sign of life": Reached.SILENCE,
    "the other end closed": Reached.CLOSED,
    "the other end began": Reached.RENEWED,
}


def count_datagrams(patch: Patch, counts: Counter[tuple[str, str]]) -> None:
    """Until the patch is undone."""
    plain_open, plain_give_up, plain_spurious = Association._open, Recovery._give_up, Recovery._find_spurious
    plain_on_numbered, plain_seal = Inbound.on_numbered, Seal.open
    plain_keep, plain_parse, plain_overflow = InStream._keep, InStream._parse, PeerLink._overflow

    def note(what: Reached) -> None:
        counts[SECTION, what.value] += 1

    def say(_: SimulatedLinks, key: object, reason: object) -> None:  # noqa: ARG001
        note(next((what for begin, what in _ENDINGS.items() if str(reason).startswith(begin)), Reached.BROKEN))

    def open_(self: Association, now: int) -> None:
        note(Reached.OPENED)
        plain_open(self, now)

    def give_up(self: Recovery, *args: Any) -> None:
        note(Reached.LOST)
        plain_give_up(self, *args)

    def find_spurious(self: Recovery, *args: Any) -> None:
        before = self.spurious
        plain_spurious(self, *args)
        if self.spurious > before:
            note(Reached.TOO_EARLY)

    def on_numbered(self: Inbound, *args: Any) -> bool:
        before = self.replayed
        is_new = plain_on_numbered(self, *args)
        if self.replayed > before:
            note(Reached.AGAIN)
        return is_new

    def open_seal(self: Seal, sealed: bytes) -> bytes | None:
        opened = plain_seal(self, sealed)
        if opened is None:
            note(Reached.FORGED)
        return opened

    def keep(self: InStream, *args: Any) -> bool:
        note(Reached.KEPT)
        return plain_keep(self, *args)

    def parse(self: InStream, data: bytes) -> tuple[list[bytes], int]:
        frames, begin = plain_parse(self, data)
        if begin < len(data):
            note(Reached.IN_PARTS)
        return frames, begin

    def overflow(self: PeerLink) -> list[SessionClosed]:
        note(Reached.OVERFLOWED)
        return plain_overflow(self)

    patch(SimulatedLinks, "_say", say)
    patch(Association, "_open", open_)
    patch(Recovery, "_give_up", give_up)
    patch(Recovery, "_find_spurious", find_spurious)
    patch(Inbound, "on_numbered", on_numbered)
    patch(Seal, "open", open_seal)
    patch(InStream, "_keep", keep)
    patch(InStream, "_parse", parse)
    patch(PeerLink, "_overflow", overflow)
