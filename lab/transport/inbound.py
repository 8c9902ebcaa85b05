"""What of a session comes in: which numbers, in which streams, and when that has to be acknowledged."""

from collections.abc import Callable, Sequence

from lab.transport.datagram import ASKING, DATA, HEAD_BYTES, HEADER_BYTES, PING, unpack_place
from lab.transport.ranges import ReceivedNumbers
from lab.transport.recovery import ACK_DELAY_NS
from lab.transport.streams import InStream

_UNACKED_MAX = 64  # datagrams


class Inbound:
    """The receiver's half of a session's bookkeeping."""

    def __init__(self, streams: list[InStream], now: int) -> None:
        """`streams`: by channel."""
        self._streams = streams
        self.numbers = ReceivedNumbers()
        self._head, self._stream = b"", streams[0]  # of the newest DATA, and where it belongs
        self.largest_at = now  # when the largest number arrived
        self.unacked = 0  # numbered datagrams that arrived since an acknowledgement left
        self.ack_channel = 0  # the one of which the newest datagram was
        self.ack_at: int | None = None  # when what waits for an acknowledgement has waited for long enough
        self._is_urgent = False  # the other end waits for it, or should know of a gap
        self._is_asking = False  # the head's DATA does
        self.replayed = self.malformed = 0

    def take(self, datagrams: Sequence[bytes], now: int, on_other: Callable[[bytes, int], None]) -> bool:
        """Take what arrived, in this order; `on_other` gets what is not just one more like the newest DATA.

        True: something of that kind was new.
        """
        numbers, begun_with = self.numbers, self.unacked
        head, stream = self._head, self._stream
        first_number = next_number = numbers.top[1] + 1
        next_offset, append, limit = stream.next_offset, stream.parts.append, -1 if stream.early else stream.limit
        for data in datagrams:
            size = len(data)
            if size > HEADER_BYTES and data[:HEAD_BYTES] == head:
                number, offset, length = unpack_place(data, HEAD_BYTES)
                if number == next_number and length == size - HEADER_BYTES:
                    if offset == next_offset and offset + length <= limit:
                        append(data[HEADER_BYTES:])
                        next_number += 1
                        next_offset = offset + length
                        continue
                    stream.next_offset = next_offset
                    if stream.accept(offset, data[HEADER_BYTES:]):  # behind a gap, or it fills one
                        next_number += 1
                        next_offset, limit = stream.next_offset, -1 if stream.early else stream.limit
                        continue
            if next_number != first_number:
                self._advance(next_number, next_offset, next_number - first_number, now)
            on_other(data, now)
            head, stream = self._head, self._stream
            first_number = next_number = numbers.top[1] + 1
            next_offset, append, limit = stream.next_offset, stream.parts.append, -1 if stream.early else stream.limit
        if next_number != first_number:
            self._advance(next_number, next_offset, next_number - first_number, now)
        return self.unacked != begun_with

    def _advance(self, next_number: int, next_offset: int, count: int, now: int) -> None:
        """So many datagrams were just what was expected next."""
        self.numbers.top[1] = next_number - 1
        self._stream.next_offset = next_offset
        self.unacked += count
        self.largest_at = now
        if self._is_asking or len(self.numbers.ranges) > 1:
            self._is_urgent = True

    def on_numbered(self, data: bytes, kind: int, channel: int, number: int, offset: int, now: int) -> bool:
        """A datagram with a number and another head; False if it is not new, or impossible."""
        numbers = self.numbers
        is_next = number == numbers.top[1] + 1
        if not is_next and numbers.has(number):
            self.replayed += 1
            return False
        if kind != PING:
            stream = self._streams[channel]
            if len(data) == HEADER_BYTES or not stream.accept(offset, data[HEADER_BYTES:]):
                self.malformed += 1
                return False
            self._head, self._stream, self._is_asking = data[:HEAD_BYTES], stream, kind == ASKING
        if number > numbers.top[1]:
            self.largest_at = now
        if is_next:
            numbers.top[1] = number
        else:
            numbers.add(number)
        if kind != DATA or not is_next or len(numbers.ranges) > 1:
            self._is_urgent = True
        self.unacked += 1
        self.ack_channel = channel
        return True

    @property
    def has_gaps(self) -> bool:
        """Whether an acknowledgement on data would not tell all."""
        return len(self.numbers.ranges) > 1

    def wants_ack(self, now: int) -> bool:
        """Whether an acknowledgement has to leave at once, even alone; if not, `ack_at` may say when.

        Who does not wait for it gets it later, with data: alone it would cost both ends a turn.
        """
        if not self.unacked:
            return False
        if self._is_urgent or self.unacked >= _UNACKED_MAX:
            return True
        if self.ack_at is None:
            self.ack_at = now + ACK_DELAY_NS
        return now >= self.ack_at

    def on_acked(self) -> None:
        """An acknowledgement has left."""
        self.unacked, self._is_urgent, self.ack_at = 0, False, None
