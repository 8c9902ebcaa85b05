"""Hop markers of a target's servers: when sampled writes passed which place (zab.md appendix B; DESIGN 1).

What the places are, `lab.node.marking.Hop` says; a reader knows them by their names.
"""

from typing import Protocol, runtime_checkable

import msgspec

ROW_NAMES = ("hop", "key", "about", "number", "at_ns")  # signed 64-bit each


class HopMarks(msgspec.Struct, frozen=True, array_like=True):
    """Of one server; `rows` are five little-endian 64-bit integers each, in the order in which they were marked."""

    server: int
    hops: list[str]  # names of the values of `hop`
    rows: bytes
    dropped: int  # markers for which there was no room any more


@runtime_checkable
class Marking(Protocol):
    """A target whose servers mark hops, if it was made with `marks_max` above 0."""

    def forget_hops(self) -> None:
        """Begin anew."""

    def hops(self) -> list[HopMarks]:
        """Of every server that answers, since the last call of either."""


decode_hops = msgspec.msgpack.Decoder(HopMarks).decode
