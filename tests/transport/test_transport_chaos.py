"""Links that lose, delay, double, cut and freeze at random; then calm, in which frames have to arrive."""

import random

import pytest
from virtual_link import MS, SECOND, VirtualEnd, VirtualLink

from lab.faults import Constant, Shape, Uniform
from lab.transport.window import WindowConfig

CALM = Shape(delay=Constant(5), loss=0.1)


class Chaos:
    """Drawn from a seed: the link, what it does, and what both ends send meanwhile."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        config = WindowConfig(
            mtu_bytes=rng.choice((640, 1_400, 9_000)),
            receive_bytes_max=rng.choice((20_000, 200_000, 4 << 20)),
            queue_bytes_max=rng.choice((100_000, 64 << 20)),
            dead_after_ns=rng.choice((300, 1_000)) * MS,
        )
        self.link = VirtualLink((self._shape(), self._shape()), config, channels=2, seed=seed)
        self._number = 0

    def _shape(self) -> Shape:
        rng = self.rng
        low, high = rng.choice((0.05, 1, 20)), rng.choice((20, 25, 60))
        return Shape(
            delay=Uniform(low, high), hold_ms=rng.choice((0, 5)), loss=rng.choice((0, 0, 0.05, 0.3)),
            duplicate=rng.choice((0, 0.1)), reorder=rng.choice((0, 0.2)),
            bytes_per_s=rng.choice((None, 1e6, 2e5)), blocked=rng.random() < 0.15,
        )  # fmt: skip

    def step(self) -> None:
        rng, ends = self.rng, self.link.ends
        self.link.run(rng.randrange(1, 40) * MS)
        match rng.choices(("nothing", "reshape", "freeze", "thaw", "end", "pause"), (70, 8, 4, 8, 3, 7))[0]:
            case "reshape":
                for way in self.link.ways:
                    way.change(self._shape())
            case "freeze":
                rng.choice(ends).is_frozen = True
            case "thaw":
                for end in ends:
                    end.is_frozen = False
            case "end":
                end = rng.choice(ends)
                end.association.end_session("chaos")
                end.look()
            case "pause":
                end = rng.choice(ends)
                end.reads = not end.reads
        for side, end in enumerate(ends):
            if not end.is_frozen:
                self._send(side, end)

    def _send(self, side: int, end: VirtualEnd) -> None:
        for index, channel in enumerate(end.channels):
            for _ in range(self.rng.randrange(3)):
                frame = b"%d %d %d " % (side, index, self._number) + bytes(self.rng.choice((0, 50, 5_000, 30_000)))
                self._number += 1
                if not channel.send(frame):
                    channel.clear_queue()
            channel.flush()

    def assert_order(self) -> None:
        """What an end got in its present session is from the other end's channel, in order, each frame once."""
        for side, end in enumerate(self.link.ends):
            for index, got in enumerate(end.got):
                read = [tuple(map(int, frame.split(b" ", 3)[:3])) for frame in got]
                assert all(each[:2] == (1 - side, index) for each in read)
                assert read == sorted(set(read))

    def calm(self) -> None:
        for end in self.link.ends:
            end.is_frozen, end.reads = False, True
            end.read()
        for way in self.link.ways:
            way.change(CALM)


@pytest.mark.parametrize("seed", range(40))
def test_chaos_then_calm(seed: int) -> None:
    chaos = Chaos(seed)
    for _ in range(100):
        chaos.step()
        chaos.assert_order()
    chaos.calm()
    ends = chaos.link.ends
    assert chaos.link.run(20 * SECOND, lambda: all(end.association.is_open for end in ends))
    chaos.link.run(2 * SECOND)  # whatever was about to end a session has done it
    for end in ends:
        for channel in end.channels:
            channel.send(b"last")
            channel.flush()
    assert chaos.link.run(20 * SECOND, lambda: all(got[-1:] == [b"last"] for end in ends for got in end.got))
