"""Work that none of our code is in: how fast the machine and its Python are at the moment.

When the yardstick takes longer than it did for the reference, so does everything else, whoever changed what.
"""

from functools import partial
from itertools import repeat
from zlib import crc32

import msgspec

from lab.bench.micro.part import Part, expect, now

_PIECES = tuple(bytes((number,)) * 100 for number in range(256))


class Yardstick:
    """Calls, attributes, dictionaries, small objects, and C functions between them, as in a server's loop."""

    def run(self, rounds: int) -> float:
        started = now()
        for _ in repeat(None, rounds):
            _turn()
        return now() - started

    def check(self) -> None:
        expect(_turn(), 256, "entries that came back")


class _Entry:
    __slots__ = ("check", "number")

    def __init__(self, number: int, check: int) -> None:
        self.number = number
        self.check = check


def _entry(number: int, piece: bytes) -> _Entry:
    return _Entry(number, crc32(piece))


def _turn() -> int:
    entries = {number: _entry(number, piece) for number, piece in enumerate(_PIECES)}
    encoded = msgspec.msgpack.encode(
        [(entry.number, entry.check, _PIECES[number]) for number, entry in entries.items()]
    )
    return sum(entries[number].check == check for number, check, _ in msgspec.msgpack.decode(encoded))


PARTS = (
    Part("yardstick", "a fixed piece of Python and C without any code of the lab's", "entry", 256, 50,
         partial(Yardstick)),
)  # fmt: skip
