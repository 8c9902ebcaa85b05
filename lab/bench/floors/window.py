"""A reliable link over UDP between two processes, through the port that servers use: MiB/s, and a byte there and back.

Frames are as large as those that the ring is measured with.
"""

import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lab.bench.floors.light import STALLED_S, TRIPS, WINDOWS, cycle_of, poured, there_and_back
from lab.bench.floors.pair import apart, forked
from lab.bench.floors.shapes import batch_bytes
from lab.bench.probe import Probe, Where
from lab.transport.association import Association
from lab.transport.bell import Bell
from lab.transport.carriers import UdpCarrier
from lab.transport.port import Port
from lab.transport.seal import TAG_BYTES, draw_key
from lab.transport.streams import WindowChannel
from lab.transport.udp import bind_udp
from lab.transport.waiter import Wait, Waiter
from lab.transport.window import WindowConfig

SIZES = (1400, 60_000)
QUEUE_BYTES_MAX = 1 << 20  # that wait for the network: as much as a ring holds
SILENCE_NS = 5 * int(1e9 * STALLED_S)  # a machine that is busy with other things ends no link
LINK = 1


def measure(where: Where, windows: int = WINDOWS, trips: int = TRIPS) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    for way, key in (("window", b""), ("window-sealed", draw_key())):
        for size in SIZES:
            yield _poured(f"{way}/{size}", size, key, windows)
    for name, wait in (("trip-asleep", Wait.BLOCKING), ("trip-awake", Wait.ADAPTIVE)):
        with _joined(SIZES[0], b"", wait, _echo) as (end, _):
            yield there_and_back(f"window/{name}", lambda: _trip(end), trips)


class End:
    """One process's end, with a turn as a server has it: receive, work, flush, wait."""

    def __init__(self, own: socket.socket, other: socket.socket, side: int, mtu: int, key: bytes, wait: Wait) -> None:
        config = WindowConfig(
            mtu_bytes=mtu, tag_bytes=TAG_BYTES if key else 0, keepalive_ns=SILENCE_NS // 10, dead_after_ns=SILENCE_NS
        )
        self._link = Association(LINK, side, 1, config, random.Random(side))
        self._port = Port(own, key)
        self._port.add(self._link, UdpCarrier(self._port, other.getsockname()), None)
        self._bell = Bell.create()
        self._waiter = Waiter(self._bell, wait)
        self._waiter.add(self._port.fileno())

    @property
    def channel(self) -> WindowChannel | None:
        """None: the two ends have not found each other."""
        return self._link.channels[0] if self._link.is_open else None

    def turn(self) -> list[bytes]:
        """What has arrived; whatever was sent before it is on its way afterwards."""
        self._port.receive()
        channel = self.channel
        frames = channel.receive() if channel is not None else []
        self._port.flush()
        return frames

    def flush(self) -> None:
        self._port.flush()

    def wait(self) -> None:
        """Until something arrives, or is due."""
        deadline_ns = self._port.deadline_ns()
        timeout_ms = 250.0 if deadline_ns is None else (deadline_ns - time.monotonic_ns()) / 1e6
        self._waiter.wait(max(timeout_ms, 0.0), self._port.has_input)

    def close(self) -> None:
        self._waiter.close()
        self._bell.close()
        self._port.close()


@contextmanager
def _joined(mtu: int, key: bytes, wait: Wait, partner: Callable[[End], None]) -> Iterator[tuple[End, int]]:
    """One end here, the other in a process that runs `partner`; gives this one, and the other's pid."""
    one, other = bind_udp("127.0.0.1"), bind_udp("127.0.0.1")
    with other, forked(lambda: partner(End(other, one, 1, mtu, key, wait)), apart()) as child:
        end = End(one, other, 0, mtu, key, wait)
        try:
            yield end, child
        finally:
            end.close()


def _poured(name: str, mtu: int, key: bytes, windows: int) -> Probe:
    frames = cycle_of(len(batch_bytes(256)))
    with _joined(mtu, key, Wait.ADAPTIVE, lambda end: _pour(end, frames)) as (end, child):
        facts = {"datagram_bytes": float(mtu), "frame_bytes": float(len(frames[0]))}
        return poured(name, lambda: _await_frames(end), frames, child, windows, facts)


def _await_frames(end: End) -> Sequence[bytes]:
    """What has arrived; nothing if nothing comes for a while."""
    until = time.monotonic() + STALLED_S
    while not (frames := end.turn()):
        end.wait()
        if time.monotonic() > until:
            break
    return frames


def _pour(end: End, frames: Sequence[bytes]) -> None:
    endless, size, given = itertools.cycle(frames), len(frames[0]), 0
    while True:
        end.turn()
        channel = end.channel
        if channel is not None:
            while given + size <= channel.bytes_sent + QUEUE_BYTES_MAX:
                channel.send(next(endless))
                given += size
            channel.flush()
        end.flush()
        end.wait()


def _trip(end: End) -> None:
    channel = end.channel
    while channel is None:
        end.turn()
        end.wait()
        channel = end.channel
    channel.send(b"x")
    channel.flush()
    if not _await_frames(end):
        raise TimeoutError(f"nothing came for {STALLED_S} s")


def _echo(end: End) -> None:
    while True:
        for frame in end.turn():
            channel = end.channel
            if channel is not None:
                channel.send(frame)
                channel.flush()
        end.flush()
        end.wait()
