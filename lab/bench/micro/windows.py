"""A session over datagrams alone: frames sent, cut into datagrams, put together again and acknowledged.

Both ends are in one process and datagrams are handed over as they are, so this is what the window costs, and nothing
that a socket does.  The clock is one that moves by a round trip of 100 us a round.
"""

import os
import random
from functools import partial

from lab.bench.micro.part import Part, expect, now
from lab.transport.association import Association
from lab.transport.window import WindowConfig

_TURN_NS = 50_000


class WindowPassage:
    """One frame of `size` bytes each way: either end sends, and acknowledges with that what came before."""

    def __init__(self, size: int, mtu_bytes: int) -> None:
        config = WindowConfig(mtu_bytes=mtu_bytes)
        self._ends = [Association(1, side, 1, config, random.Random(side)) for side in (0, 1)]
        self._frame = os.urandom(size)
        self._now = _TURN_NS
        while not all(end.is_open for end in self._ends):
            self._turns()
        self.run(100)  # the congestion window grows to what a frame takes

    def _turns(self) -> None:
        for end, other in (self._ends, reversed(self._ends)):
            self._now += _TURN_NS
            datagrams = end.datagrams_to_send(self._now)
            if datagrams:
                other.on_datagrams(datagrams, self._now)

    def run(self, rounds: int) -> float:
        one, other = (end.channels[0] for end in self._ends)
        frame, turns = self._frame, self._turns
        started = now()
        for _ in range(rounds):
            one.send(frame)
            one.flush()
            other.send(frame)
            other.flush()
            turns()
            one.receive()
            other.receive()
        return now() - started

    def check(self) -> None:
        one, other = (end.channels[0] for end in self._ends)
        for channel in (one, other):
            channel.send(self._frame)
            channel.flush()
        self._turns()
        self._turns()
        expect((one.receive(), other.receive()), ([self._frame], [self._frame]), "what was received")
        expect([end.counters["retransmitted"] for end in self._ends], [0, 0], "datagrams sent again")


PARTS = tuple(
    Part(
        f"window/{size}B/{mtu_bytes}",
        f"a frame of {size:,} bytes sent in datagrams of up to {mtu_bytes:,}, received and acknowledged",
        "frame", 2, rounds, partial(WindowPassage, size, mtu_bytes),
    )
    for size, mtu_bytes, rounds in ((64, 1_400, 350), (32 << 10, 1_400, 100), (32 << 10, 60_000, 150))
)  # fmt: skip
