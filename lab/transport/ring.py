"""One direction of a channel: a single-producer single-consumer byte ring in shared memory.

The writer lays frames behind `head` and then moves `head`; the reader copies everything between `tail` and `head` and
then moves `tail`.  Both count bytes since the beginning and never wrap (64 bits).  `head` moves last and only over
whole frames, so a reader never sees part of one, at whatever instruction the writer was killed.  x86-64 makes stores
visible in the order in which they were issued; for other CPUs every frame carries a CRC-32 (`checked_ring`).

    ring      head, closed | tail | wants_room, 128 bytes apart (cache lines are fetched in pairs) | capacity bytes
    frame     length word u32, sequence u32 [, CRC-32 of both and the payload] | payload
    length    FRAGMENT says that the frame is a piece of a larger one, LAST that it is its last piece

Frames run on over the end of the ring: the copy out of it is split there once a lap, and no frame needs a marker or a
bounds check of its own.  Frames that were sent are collected and joined into the ring at `flush`; against writing each
at once this takes 85 instead of 172 ns a frame of 64 bytes at 16 frames a flush, and as much at one frame a flush.
"""

import mmap
from collections import deque
from struct import Struct

from lab.transport.bell import Bell
from lab.transport.errors import CorruptFrameError
from lab.transport.fence import full_fence

FRAME_BYTES_MAX = 32 << 20  # of one frame, whatever the size of the ring
CAPACITY_MIN = 256
CONTROL_BYTES = 512

_HEAD, _CLOSED, _TAIL, _WANTS_ROOM = 0, 1, 16, 32  # 64-bit words of the control block
FRAGMENT, LAST, LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
SEQUENCE = (1 << 32) - 1
HEADER = Struct("<II")
HEADER_BYTES_MAX = 12  # of a checked frame
_pack = HEADER.pack

Part = bytes | memoryview


class RingWriter:
    """The producing end.  Nothing blocks: what the ring has no room for waits here, in order."""

    def __init__(
        self, shared: mmap.mmap, start: int, capacity: int, bell: Bell, queue_bytes_max: int, *, rare: bool = False
    ) -> None:
        """`start` is where the ring stands in `shared`, `bell` the reader's; `rare`: frames are announced as such."""
        self._shared = shared
        self._control = memoryview(shared)[start : start + CONTROL_BYTES].cast("Q")
        self._base, self._capacity = start + CONTROL_BYTES, capacity
        self._bell, self._queue_bytes_max = bell, queue_bytes_max
        self._announce = bell.announce_rare if rare else bell.announce
        self._piece = capacity // 4 - HEADER_BYTES_MAX  # greatest payload that travels unfragmented
        self._queue: deque[Part] = deque()  # header and payload alternately
        self._direct_bytes_max = min(queue_bytes_max, capacity)
        self.queued_bytes = 0  # sent, not in the ring
        self._head = self._published = 0
        self._sequence = 0  # of the next frame
        self._extra_pieces = 0
        self._mid_frame = False  # the last frame laid into the ring is a fragment and not the last one
        self._asked = False  # wants_room is set
        self.broken = False

    @property
    def bytes_sent(self) -> int:
        """Laid into the ring so far, headers included."""
        return self._head

    @property
    def frames_sent(self) -> int:
        return self._sequence - self._extra_pieces

    def send(self, *parts: Part) -> bool:
        """Add one frame made of `parts`, which must not change before the next `flush`; visible to the reader after it.

        False: more than `queue_bytes_max` waits for room and the frame was dropped; so is every later one (`broken`)
        until `clear_queue`.  Raises ValueError for a frame above FRAME_BYTES_MAX.
        """
        if len(parts) == 2:
            prefix, payload = parts
            length = len(prefix) + len(payload)
        else:
            prefix, payload = b"", parts[0] if len(parts) == 1 else b"".join(parts)
            length = len(payload)
        queued = self.queued_bytes + length + 8
        if length > self._piece or queued > self._direct_bytes_max or self.broken:
            return self._send_rare(prefix, payload, length)
        self._queue.append(_pack(length, self._sequence & SEQUENCE) + prefix)
        self._queue.append(payload)
        self._sequence += 1
        self.queued_bytes = queued
        return True

    def _send_rare(self, prefix: Part, payload: Part, length: int) -> bool:
        """A frame that needs fragments, or one while much is waiting."""
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"frame of {length} bytes: at most {FRAME_BYTES_MAX} can be sent")
        if self.broken:
            return False
        self._move()
        room = self._room() if not self._queue else 0
        pieces = -(-length // self._piece)
        if self.queued_bytes + length + pieces * HEADER_BYTES_MAX > self._queue_bytes_max + room:
            self.broken = True
            return False
        if length <= self._piece:
            self._enqueue(length, prefix, payload)
            return True
        whole = memoryview(b"".join((prefix, payload)))
        for begin in range(0, length, self._piece):
            piece = whole[begin : begin + self._piece]
            last = LAST if begin + self._piece >= length else 0
            self._enqueue(FRAGMENT | last | len(piece), b"", piece)
        self._extra_pieces += pieces - 1
        return True

    def _enqueue(self, word: int, prefix: Part, payload: Part) -> None:
        header = self._header(word, prefix, payload)
        self._queue.append(header + prefix)
        self._queue.append(payload)
        self._sequence += 1
        self.queued_bytes += len(header) + len(prefix) + len(payload)

    def _header(self, word: int, prefix: Part, payload: Part) -> bytes:  # noqa: ARG002 - the checked one needs them
        return _pack(word, self._sequence & SEQUENCE)

    def flush(self) -> bool:
        """Publish what was sent, as far as there is room, and wake the reader if it sleeps; False if some of it waits.

        Raises CorruptFrameError if the reader's counter is impossible.
        """
        queue = self._queue
        if queue:
            self._move()
            if queue and not self._asked:  # ask for room, then look again: some may have come in between
                self._control[_WANTS_ROOM] = self._asked = True
                full_fence()
                self._move()
        if self._asked and not self._queue:
            self._control[_WANTS_ROOM] = self._asked = False
        if self._head != self._published:
            self._control[_HEAD] = self._published = self._head
            self._announce()
        return not self._queue

    def has_room(self) -> bool:
        """Whether frames were left waiting by the last `flush` and the next one could move some, or would raise."""
        if not self._asked or not self._queue:
            return False
        used: int = self._head - self._control[_TAIL]
        possible = 0 <= used <= self._capacity
        return not possible or used + len(self._queue[0]) + len(self._queue[1]) <= self._capacity

    def clear_queue(self) -> None:
        """Drop what waits for room, and accept frames again.

        The caller tells the other end that something is missing.  The rest of a frame of which a piece is already in
        the ring stays, so that the reader can finish it.
        """
        kept: list[Part] = []
        while self._mid_frame and self._queue:
            header, payload = self._queue.popleft(), self._queue.popleft()
            kept += (header, payload)
            if int.from_bytes(header[:4], "little") & LAST:
                break
        self._extra_pieces -= sum(
            1
            for header in list(self._queue)[::2]
            if (word := int.from_bytes(header[:4], "little")) & FRAGMENT and not word & LAST
        )
        self._sequence -= len(self._queue) // 2
        self._queue = deque(kept)
        self.queued_bytes = sum(map(len, kept))
        self.broken = False

    def _room(self) -> int:
        used = self._head - self._control[_TAIL]
        if not 0 <= used <= self._capacity:
            raise CorruptFrameError(f"the reader says it has read {-used} bytes more than were written")
        return self._capacity - used

    def _move(self) -> None:
        """Lay as many waiting frames into the ring as fit; they are not published yet."""
        room = self._capacity - self._head + self._control[_TAIL]
        if not 0 <= room <= self._capacity:
            room = self._room()  # which raises
        if self.queued_bytes <= room:
            data = b"".join(self._queue)
            self._queue.clear()
            if data:
                self._mid_frame = False
        else:
            data = self._take(room)
        self.queued_bytes -= len(data)
        begin = self._base + self._head % self._capacity
        end, limit = begin + len(data), self._base + self._capacity
        if end <= limit:
            self._shared[begin:end] = data
        else:
            self._shared[begin:limit] = data[: limit - begin]
            self._shared[self._base : self._base + end - limit] = data[limit - begin :]
        self._head += len(data)

    def _take(self, room: int) -> bytes:
        """The waiting frames, oldest first, that fit into `room` bytes."""
        queue, taken = self._queue, list[Part]()
        while queue and (size := len(queue[0]) + len(queue[1])) <= room:
            word = int.from_bytes(queue[0][:4], "little")
            self._mid_frame = bool(word & FRAGMENT) and not word & LAST
            taken += (queue.popleft(), queue.popleft())
            room -= size
        return b"".join(taken)

    def end(self) -> None:
        """Tell the reader that nothing more will come; what is published can still be read."""
        self._control[_CLOSED] = 1
        self._bell.announce_rare()

    def release(self) -> None:
        self._control.release()


class RingReader:
    """The consuming end."""

    def __init__(self, shared: mmap.mmap, start: int, capacity: int, bell: Bell) -> None:
        """`bell` is the writer's: it is rung when a writer that waits for room gets some."""
        self._shared = shared
        self._control = memoryview(shared)[start : start + CONTROL_BYTES].cast("Q")
        self._base, self._capacity = start + CONTROL_BYTES, capacity
        self._bell = bell
        self._tail = 0
        self._sequence = 0  # expected next
        self._partial = bytearray()  # what there is of a frame in fragments
        self._next_piece = 0  # its sequence

    def has_input(self) -> bool:
        return bool(self._control[_HEAD] != self._tail)

    def is_closed(self) -> bool:
        """Whether the writer has ended the ring."""
        return bool(self._control[_CLOSED])

    def has_ended(self) -> bool:
        """Whether the writer has ended the ring and everything was received."""
        return bool(self._control[_CLOSED]) and not self.has_input()

    def receive(self) -> list[bytes]:
        """Every frame that has arrived, oldest first; each is a copy.

        Raises CorruptFrameError, and then does so for ever.
        """
        head, tail = self._control[_HEAD], self._tail
        available = head - tail
        if not available:
            return []
        if not 0 < available <= self._capacity:
            raise CorruptFrameError(f"the writer says it has written {available} bytes into {self._capacity}")
        frames = self._read(self._base + tail % self._capacity, available)
        self._control[_TAIL] = self._tail = head
        full_fence()  # `tail` is visible before wants_room is read; RingWriter.flush has the other half
        if self._control[_WANTS_ROOM]:
            self._bell.announce()
        return frames

    def _read(self, begin: int, available: int) -> list[bytes]:
        limit = self._base + self._capacity
        if begin + available <= limit:
            return self._parse(self._shared, begin, begin + available)
        rest = self._base + available - (limit - begin)
        return self._parse(self._shared[begin:limit] + self._shared[self._base : rest], 0, available)

    def _parse(self, source: mmap.mmap | bytes, begin: int, end: int) -> list[bytes]:
        """The frames of source[begin:end], which ends where a frame ends."""
        frames: list[bytes] = []
        unpack_from, append, sequence = HEADER.unpack_from, frames.append, self._sequence
        last_header = end - 8
        while begin <= last_header:
            word, found = unpack_from(source, begin)
            begin += 8
            stop = begin + word
            if found == sequence and stop <= end:
                append(source[begin:stop])
            else:  # a fragment, whose flag makes `stop` too large, or garbage
                stop = begin + (word & LENGTH)
                if found != sequence or stop > end or not word & FRAGMENT:
                    raise CorruptFrameError(
                        f"frame {found} of length word {word:#x} where frame {sequence} stands in {end - begin} bytes"
                    )
                self._take_piece(word, sequence, source[begin:stop], frames)
            sequence = sequence + 1 & SEQUENCE
            begin = stop
        if begin != end:
            raise CorruptFrameError(f"{end - begin} bytes after frame {sequence}: too few for a header")
        self._sequence = sequence
        return frames

    def _take_piece(self, word: int, sequence: int, piece: bytes, frames: list[bytes]) -> None:
        partial = self._partial
        if partial and sequence != self._next_piece:
            raise CorruptFrameError(f"frame {sequence} begins inside another one")
        if len(partial) + len(piece) > FRAME_BYTES_MAX:
            raise CorruptFrameError(f"a frame in fragments of more than {FRAME_BYTES_MAX} bytes")
        partial += piece
        self._next_piece = sequence + 1 & SEQUENCE
        if word & LAST:
            frames.append(bytes(partial))
            partial.clear()

    def release(self) -> None:
        self._control.release()
