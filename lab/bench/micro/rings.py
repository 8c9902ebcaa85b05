"""The ring alone: frames sent, published and received, with both ends in one process and nobody asleep."""

import os
from functools import partial

from lab.bench.micro.part import Part, expect, now
from lab.transport.bell import Bell
from lab.transport.shm import CLIENT_CHANNELS, ShmLink, create_link_memory

_QUEUE_BYTES_MAX = 64 << 20


class RingPassage:
    """`frames` frames of `size` bytes are sent, flushed at once, and received."""

    def __init__(self, size: int, frames: int) -> None:
        memory = create_link_memory(CLIENT_CHANNELS)
        ends = [ShmLink(memory, CLIENT_CHANNELS, side, Bell.create(), queue_bytes_max=_QUEUE_BYTES_MAX)
                for side in (0, 1)]  # fmt: skip
        os.close(memory)
        self._links = ends  # they hold the memory
        (self._sender,), (self._receiver,) = (end.channels for end in ends)
        self._frames = [os.urandom(1) + bytes(size - 1) for _ in range(frames)]

    def run(self, rounds: int) -> float:
        send, flush, receive, frames = self._sender.send, self._sender.flush, self._receiver.receive, self._frames
        started = now()
        for _ in range(rounds):
            for frame in frames:
                send(frame)
            flush()
            receive()
        return now() - started

    def check(self) -> None:
        sent = self._sender.frames_sent
        for frame in self._frames:
            self._sender.send(frame)
        self._sender.flush()
        expect(self._receiver.receive(), self._frames, "what was received")
        expect(self._sender.frames_sent, sent + len(self._frames), "frames counted")


PARTS = tuple(
    Part(
        f"ring/{size}B/{frames}",
        f"a frame of {size:,} bytes sent, flushed and received, {frames} a flush",
        "frame", frames, rounds, partial(RingPassage, size, frames),
    )
    for size, frames, rounds in ((64, 1, 1000), (64, 16, 400), (32 << 10, 1, 400))
)  # fmt: skip
