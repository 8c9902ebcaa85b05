"""The byte streams of a session: one each way and channel.  A stream is frames, each behind its length.

What is sent is cut into pieces of one datagram's payload, whose borders stay the same however often a piece travels.
"""

from collections import deque
from collections.abc import Callable
from struct import Struct

from lab.transport.ring import FRAME_BYTES_MAX, Part

_LENGTH = Struct("<I")
_LENGTH_BYTES = _LENGTH.size
_pack_length = _LENGTH.pack
_BLOB_BYTES = 64 << 10  # small flushes that wait are joined up to this


class Stretch:
    """Adjacent pieces of a stream: `blob[begin:end]` stands at `offset` of it.

    All pieces are of one length, the payload of a full datagram, but for the last one of the blob.
    """

    __slots__ = ("begin", "blob", "end", "offset")

    def __init__(self, offset: int, blob: bytes, begin: int, end: int) -> None:
        self.offset, self.blob, self.begin, self.end = offset, blob, begin, end


class OutStream:
    """Frames on their way out, until they have been acknowledged."""

    def __init__(self, queue_bytes_max: int, piece_bytes: int, on_flush: Callable[[], None]) -> None:
        self._piece_bytes = piece_bytes
        self._queue_bytes_max = queue_bytes_max
        self._direct_bytes_max = min(queue_bytes_max, FRAME_BYTES_MAX)
        self._on_flush = on_flush
        self._queue: list[Part] = []  # of frames that were not flushed: length with prefix, and payload, alternately
        self._flushed: deque[bytes] = deque()  # whole frames each
        self._blob, self._begin = b"", 0  # being sent, from `begin` on
        self._is_ended = False
        self.waiting_bytes = 0  # sent by the process, not yet on the wire
        self.next_offset = 0  # of what was not on the wire yet
        self.limit = 0  # up to which the other end takes data
        self.lost: deque[Stretch] = deque()  # to be sent again, oldest first
        self.frames_sent = 0
        self.broken = False

    def send(self, *parts: Part) -> bool:
        """Add one frame made of `parts`, which must not change before the next `flush`; it leaves after that.

        False: more than `queue_bytes_max` waits for the network and the frame was dropped; so is every later one
        (`broken`) until `clear_queue`.  Raises ValueError for a frame above FRAME_BYTES_MAX.
        """
        if len(parts) == 2:
            prefix, payload = parts
            length = len(prefix) + len(payload)
        else:
            prefix, payload = b"", parts[0] if len(parts) == 1 else b"".join(parts)
            length = len(payload)
        waiting = self.waiting_bytes + length + _LENGTH_BYTES
        if waiting > self._direct_bytes_max and not self._may_wait(waiting, length):
            return self._is_ended
        self._queue.append(_pack_length(length) + prefix)
        self._queue.append(payload)
        self.frames_sent += 1
        self.waiting_bytes = waiting
        return True

    def _may_wait(self, waiting: int, length: int) -> bool:
        """Whether a frame is taken that is large, or comes while much is waiting."""
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"frame of {length} bytes: at most {FRAME_BYTES_MAX} can be sent")
        if self._is_ended or self.broken:
            return False
        self.broken = waiting > self._queue_bytes_max
        if self.broken:
            self._direct_bytes_max = -1
        return not self.broken

    def flush(self) -> bool:
        """Let go what was sent.  True: nothing has to be flushed again, whatever still waits for the network."""
        queue = self._queue
        if queue:
            self._flushed.append(b"".join(queue))
            queue.clear()
            self._on_flush()
        return True

    def wants_flush(self) -> bool:
        return bool(self._queue)

    def clear_queue(self) -> None:
        """Drop the frames of which nothing was on the wire, and accept frames again.

        The caller tells the other end that something is missing.
        """
        self.frames_sent -= len(self._queue) // 2
        self._queue.clear()
        for blob in self._flushed:
            self.frames_sent -= _frames_in(blob, 0, len(blob))[0]
        self._flushed.clear()
        if self._begin < len(self._blob):
            dropped, kept = _frames_in(self._blob, self._begin, len(self._blob))
            self.frames_sent -= dropped
            self._blob = self._blob[:kept]
        self.waiting_bytes = len(self._blob) - self._begin
        self._direct_bytes_max = -1 if self._is_ended else min(self._queue_bytes_max, FRAME_BYTES_MAX)
        self.broken = False

    def has_new(self) -> bool:
        """Whether something was flushed that was never on the wire."""
        return self._begin < len(self._blob) or bool(self._flushed)

    def has_something(self) -> bool:
        """Whether something could leave at once: what was lost, or what is new and within the limit."""
        if self.lost:
            return True
        left = len(self._blob) - self._begin
        if not left:
            if not self._next_blob():
                return False
            left = len(self._blob)
        return self.limit - self.next_offset >= min(left, self._piece_bytes)

    def take_new(self, pieces_max: int) -> Stretch | None:
        """The next of what was flushed, as much as the limit allows; None: nothing, or no room for a whole piece."""
        if self._begin >= len(self._blob) and not self._next_blob():
            return None
        begin, size = self._begin, len(self._blob) - self._begin
        size = min(pieces_max * self._piece_bytes, size)
        room = self.limit - self.next_offset
        if size > room:
            size = room - room % self._piece_bytes
            if size <= 0:
                return None
        stretch = Stretch(self.next_offset, self._blob, begin, begin + size)
        self._begin += size
        self.next_offset += size
        self.waiting_bytes -= size
        return stretch

    def _next_blob(self) -> bool:
        flushed = self._flushed
        if not flushed:
            return False
        blob = flushed.popleft()
        if flushed and len(blob) < _BLOB_BYTES:
            blobs, size = [blob], len(blob)
            while flushed and size + len(flushed[0]) <= _BLOB_BYTES:
                size += len(flushed[0])
                blobs.append(flushed.popleft())
            blob = b"".join(blobs)
        self._blob, self._begin = blob, 0
        return True

    def take_lost(self, pieces_max: int) -> Stretch:
        """The oldest of what has to be sent again."""
        stretch = self.lost[0]
        size = pieces_max * self._piece_bytes
        if size >= stretch.end - stretch.begin:
            return self.lost.popleft()
        self.lost[0] = Stretch(stretch.offset + size, stretch.blob, stretch.begin + size, stretch.end)
        return Stretch(stretch.offset, stretch.blob, stretch.begin, stretch.begin + size)

    def end(self) -> None:
        """The session has ended: what is sent from now on is dropped, as all that had not arrived."""
        self._is_ended = True
        self._direct_bytes_max = -1
        self.waiting_bytes = 0
        self._queue.clear()
        self._flushed.clear()
        self.lost.clear()
        self._blob, self._begin = b"", 0


def _frames_in(blob: bytes, begin: int, end: int) -> tuple[int, int]:
    """How many frames of `blob`, which begins with one, start in [begin, end), and where the first of them does."""
    at = count = 0
    first = end
    while at < end:
        if at >= begin:
            first = min(first, at)
            count += 1
        at += _LENGTH_BYTES + int(_LENGTH.unpack_from(blob, at)[0])
    return count, first


class InStream:
    """Pieces as they arrive, put in order, and the frames in them."""

    def __init__(self, receive_bytes_max: int, on_room: Callable[[], None]) -> None:
        """Up to `receive_bytes_max` beyond what was `receive`d are taken.

        `on_room` is called when the limit has risen by so much that it should be told, and on failure.
        """
        self._receive_bytes_max = receive_bytes_max
        self._on_room = on_room
        self.parts: list[bytes] = []  # in order, not received by the process
        self.next_offset = 0  # up to which everything is there
        self.early: dict[int, bytes] = {}  # pieces behind a gap, by offset
        self._early_bytes = 0
        self.limit = receive_bytes_max  # of what is taken
        self.announced = 0  # the limit that the other end was told last
        self._held: list[bytes] = []  # the beginning of a frame
        self._held_from = 0  # its offset
        self._needed = _LENGTH_BYTES  # bytes of it without which there is no use in looking
        self.failure = ""  # why no frame can be told any more

    def accept(self, offset: int, piece: bytes) -> bool:
        """Take a piece; False if it is none that a correct sender can have sent."""
        end = offset + len(piece)
        if end > self.limit:
            return False
        if offset > self.next_offset:
            return self._keep(offset, piece)
        if offset < self.next_offset:
            return end <= self.next_offset  # it is there already
        self.parts.append(piece)
        early = self.early
        while early and (piece := early.pop(end, b"")):
            self.parts.append(piece)
            self._early_bytes -= len(piece)
            end += len(piece)
        self.next_offset = end
        return True

    def _keep(self, offset: int, piece: bytes) -> bool:
        if offset in self.early:
            return True
        if self._early_bytes + len(piece) > self._receive_bytes_max:
            return False
        self.early[offset] = piece
        self._early_bytes += len(piece)
        return True

    def receive(self) -> list[bytes]:
        """Every frame that has arrived, oldest first.  After garbage in the stream: those before it, then none."""
        if not self.parts:
            return []
        held = self._held
        held += self.parts
        self.parts.clear()
        self.limit = self.next_offset + self._receive_bytes_max
        if 4 * (self.limit - self.announced) >= self._receive_bytes_max:
            self._on_room()
        if self.next_offset - self._held_from < self._needed:
            return []
        data = b"".join(held) if len(held) > 1 else held[0]
        frames, begin = self._parse(data)
        self._held_from += begin
        if self.failure:
            self._needed = 1 << 64
            held.clear()
            self._on_room()
        else:
            held[:] = [data[begin:]] if begin < len(data) else []
        return frames

    def _parse(self, data: bytes) -> tuple[list[bytes], int]:
        """The frames in `data`, and where the first that is not whole begins."""
        frames: list[bytes] = []
        unpack_from, append, begin, end = _LENGTH.unpack_from, frames.append, 0, len(data)
        last_length = end - _LENGTH_BYTES
        self._needed = _LENGTH_BYTES
        while begin <= last_length:
            (length,) = unpack_from(data, begin)
            stop = begin + _LENGTH_BYTES + length
            if stop > end:
                self._needed = stop - begin
                if length > FRAME_BYTES_MAX:
                    self.failure = f"a frame of {length} bytes: at most {FRAME_BYTES_MAX} can be sent"
                break
            append(data[begin + _LENGTH_BYTES : stop])
            begin = stop
        return frames, begin


class WindowChannel:
    """One duplex channel of a session: frames arrive once, in order, or the session ends.

    The surface of `lab.transport.shm.Channel`; `send`, `receive` and `flush` are the streams' own methods.
    """

    def __init__(self, out: OutStream, into: InStream) -> None:
        self._out, self._into = out, into
        self.send: Callable[..., bool] = out.send  # see OutStream.send
        self.receive: Callable[[], list[bytes]] = into.receive  # see InStream.receive
        self.flush: Callable[[], bool] = out.flush  # see OutStream.flush

    @property
    def broken(self) -> bool:
        """More than queue_bytes_max waited for the network, and a frame was dropped; `clear_queue` ends it."""
        return self._out.broken

    @property
    def bytes_sent(self) -> int:
        """On the wire at least once, lengths of frames included, headers of datagrams not."""
        return self._out.next_offset

    @property
    def frames_sent(self) -> int:
        return self._out.frames_sent

    def has_input(self) -> bool:
        """Whether there is something to `receive`, though perhaps not yet a whole frame."""
        return bool(self._into.parts)

    def wants_flush(self) -> bool:
        """Whether frames were sent since the last `flush`."""
        return self._out.wants_flush()

    def clear_queue(self) -> None:
        """Drop the frames that wait (see OutStream.clear_queue)."""
        self._out.clear_queue()
