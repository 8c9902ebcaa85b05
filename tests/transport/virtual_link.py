"""Two ends of a link in one process, what the network does to their datagrams, and a clock that only moves here."""

import random
from collections.abc import Callable

from lab.faults import Shape
from lab.transport.association import Association, Ended, Opened
from lab.transport.shaping import Shaper
from lab.transport.window import WindowConfig

MS = 1_000_000
SECOND = 1_000 * MS
LINK = 0x5EED


def nothing_happens(datagram: bytes) -> list[bytes]:
    return [datagram]


class VirtualEnd:
    """One end: its association, and all that its process has received."""

    def __init__(self, side: int, channels: int, config: WindowConfig, seed: int) -> None:
        self.association = Association(LINK, side, channels, config, random.Random(f"{seed} {side}"))
        self.events: list[Opened | Ended] = []
        self.got: list[list[bytes]] = [[] for _ in range(channels)]  # of the present session, by channel
        self.reads = True  # the process receives whatever arrives
        self.is_frozen = False  # the process does not run: datagrams wait for it
        self._waiting: list[bytes] = []
        self._channels = self.association.channels

    @property
    def channels(self):
        return self.association.channels

    def arrive(self, datagrams: list[bytes], now: int) -> None:
        self._waiting += datagrams
        if self.is_frozen or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self.association.on_datagrams(waiting, now)
        self.look()

    def look(self) -> None:
        """What a process does in its turn: events, then frames."""
        events = self.association.take_events()
        self.events += events
        if self.reads:
            self.read()
        if events and self.association.is_open and self._channels is not self.association.channels:
            self._channels = self.association.channels
            for got in self.got:
                got.clear()
            if self.reads:
                self.read()

    def read(self) -> None:
        for got, channel in zip(self.got, self._channels, strict=False):
            got += channel.receive()

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Ended)]


class VirtualLink:
    """`shapes`: of the ways to end 0 and to end 1.  `mangle` makes of a datagram that is sent what enters the way."""

    def __init__(
        self,
        shape: Shape | tuple[Shape, Shape] = Shape(),  # noqa: B008 - frozen
        config: WindowConfig = WindowConfig(),  # noqa: B008 - frozen
        channels: int = 1,
        seed: int = 0,
        mangle: Callable[[bytes], list[bytes]] = nothing_happens,
    ) -> None:
        self.now = SECOND  # anything
        self.ends = [VirtualEnd(side, channels, config, seed) for side in (0, 1)]
        shapes = shape if isinstance(shape, tuple) else (shape, shape)
        self.ways = [Shaper(each, random.Random(f"{seed} way {side}")) for side, each in enumerate(shapes)]
        self.mangle = mangle

    def send(self) -> None:
        """Let both ends send what they have to."""
        for end, way in zip(self.ends, reversed(self.ways), strict=True):
            if end.is_frozen:
                continue
            while datagrams := end.association.datagrams_to_send(self.now):
                for datagram in datagrams:
                    for each in self.mangle(datagram):
                        way.push(each, self.now)
            end.look()

    def step(self, until: int) -> None:
        """To the next instant at which something happens, or to `until`."""
        self.send()
        times = [until]
        for end, way in zip(self.ends, self.ways, strict=True):
            timeout = None if end.is_frozen else end.association.next_timeout()
            times += [time for time in (timeout, way.next_due()) if time is not None]
        self.now = max(min(times), self.now)
        for end, way in zip(self.ends, self.ways, strict=True):
            end.arrive(way.due(self.now), self.now)

    def run(self, duration: int, until: Callable[[], bool] = lambda: False) -> bool:
        """For so long, or until something is so; whether it is."""
        end = self.now + duration
        while not until():
            if self.now >= end:
                return False
            self.step(end)
        return True

    def open(self) -> None:
        assert self.run(10 * SECOND, lambda: all(end.association.is_open for end in self.ends))
        self.send()
