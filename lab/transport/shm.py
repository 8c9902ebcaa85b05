"""Links over shared memory: one memory per pair of processes, two rings per channel.

A link's memory is made by whoever starts the two processes (the supervisor) and handed to both; it belongs to one
incarnation of each and is never used again (Z-9).
"""

import mmap
import os
from collections.abc import Callable

from lab.transport.bell import Bell
from lab.transport.checked_ring import CHECKSUMS, CheckedRingReader, CheckedRingWriter
from lab.transport.memory import create_memory, map_memory
from lab.transport.ring import CAPACITY_MIN, CONTROL_BYTES, RingReader, RingWriter

PEER_CHANNELS: tuple[int, ...] = (64 << 10, 1 << 20)  # election, learner: bytes per direction
CLIENT_CHANNELS: tuple[int, ...] = (1 << 20,)
DATAGRAM_CHANNELS: tuple[int, ...] = (1 << 20,)  # frames are datagrams; one that finds no room is lost


def link_bytes(channels: tuple[int, ...]) -> int:
    """Size of a link's memory: for each channel the ring that side 0 writes, then the one that side 1 writes."""
    if not channels or min(channels) < CAPACITY_MIN:
        raise ValueError(f"channels={channels}: at least one, each of {CAPACITY_MIN} bytes or more")
    return sum(2 * (CONTROL_BYTES + capacity) for capacity in channels)


def create_link_memory(channels: tuple[int, ...]) -> int:
    """A memfd for a fresh link; the caller owns the descriptor and may close it once both sides have mapped it."""
    return create_memory("zab-link", link_bytes(channels))


class Channel:
    """One duplex channel: frames arrive once, in order, or the channel ends.

    `send` and `receive` are the rings' own methods: a method between would cost 80 ns a frame sent, as much as sending.
    """

    def __init__(self, writer: RingWriter, reader: RingReader) -> None:
        self._writer, self._reader = writer, reader
        self.send: Callable[..., bool] = writer.send  # see RingWriter.send
        self.receive: Callable[[], list[bytes]] = reader.receive  # see RingReader.receive
        self.flush: Callable[[], bool] = writer.flush  # see RingWriter.flush

    @property
    def broken(self) -> bool:
        """More than queue_bytes_max waited for room, and a frame was dropped; `clear_queue` ends it."""
        return self._writer.broken

    @property
    def bytes_sent(self) -> int:
        return self._writer.bytes_sent

    @property
    def frames_sent(self) -> int:
        return self._writer.frames_sent

    def has_input(self) -> bool:
        """Whether there is something to do: a frame to `receive`, or room for frames that waited, to `flush`."""
        return self._reader.has_input() or self._writer.has_room()

    def wants_flush(self) -> bool:
        """Whether frames are waiting: for `flush`, or after it for room in the ring."""
        return bool(self._writer.queued_bytes)

    def clear_queue(self) -> None:
        """Drop the frames that wait (see RingWriter.clear_queue)."""
        self._writer.clear_queue()


class ShmLink:
    """One process's end of a link."""

    def __init__(
        self,
        memory_fd: int,
        channels: tuple[int, ...],
        side: int,
        other: Bell,
        *,
        queue_bytes_max: int,
        rare: tuple[int, ...] = (),
        checksums: bool = CHECKSUMS,
    ) -> None:
        """Map the memory; `memory_fd` stays the caller's, so does `other`, the bell of the process at the other end.

        `side` (0 or 1) says which half is written here.  `queue_bytes_max` holds for each channel.
        `rare`: the channels, by index, whose frames the reader looks for only if something rare was announced.
        """
        self._shared: mmap.mmap = map_memory(memory_fd, link_bytes(channels))
        self._writers: list[RingWriter] = []
        self._readers: list[RingReader] = []
        self.channels: list[Channel] = []
        start = 0
        for index, capacity in enumerate(channels):
            starts = (start, start + CONTROL_BYTES + capacity)
            place = (self._shared, starts[side], capacity, other)
            writer = (CheckedRingWriter if checksums else RingWriter)(*place, queue_bytes_max, rare=index in rare)
            place = (self._shared, starts[1 - side], capacity, other)
            reader = (CheckedRingReader if checksums else RingReader)(*place)
            self._writers.append(writer)
            self._readers.append(reader)
            self.channels.append(Channel(writer, reader))
            start += 2 * (CONTROL_BYTES + capacity)

    def has_ended(self) -> bool:
        """Whether the other end was closed and everything it had published was received.

        A process that was killed closes nothing: its pidfd tells.
        """
        return self._readers[0].has_ended() and all(reader.has_ended() for reader in self._readers)

    def is_ending(self) -> bool:
        """Whether the other end was closed, though something may be left to receive."""
        return any(reader.is_closed() for reader in self._readers)

    def close(self) -> None:
        """End the link and unmap it; the channels must not be used any more.

        The other end learns it from `has_ended`.  Frames that were sent and not flushed are lost.  A second call does
        nothing.
        """
        if self._shared.closed:
            return
        for writer in self._writers:
            writer.end()
            writer.release()
        for reader in self._readers:
            reader.release()
        self._shared.close()


class AttachedLink(ShmLink):
    """One end, made of the descriptors that this process was handed for it."""

    def __init__(
        self,
        fds: tuple[int, int, int],
        channels: tuple[int, ...],
        side: int,
        *,
        queue_bytes_max: int,
        rare: tuple[int, ...] = (),
    ) -> None:
        """Takes over `fds`: the memory, and bell and bell page of the process at the other end."""
        memory_fd, event_fd, page_fd = fds
        try:
            self._other = Bell.adopt(event_fd, page_fd)
            super().__init__(memory_fd, channels, side, self._other, queue_bytes_max=queue_bytes_max, rare=rare)
        finally:
            os.close(memory_fd)

    def close(self) -> None:
        if not self._shared.closed:
            super().close()
            self._other.close()
