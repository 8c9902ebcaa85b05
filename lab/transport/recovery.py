"""What of a session is in flight, when it counts as lost, and how long a round trip takes (RFC 9002).

Numbers are never used twice, so an acknowledgement always tells which transmission arrived.  A run of datagrams that
left in one burst is one record, which is split only where some of them are lost.
"""

from bisect import bisect_left

from lab.transport.datagram import HEADER_BYTES, Range
from lab.transport.streams import OutStream, Stretch

MS = 1_000_000
GRANULARITY_NS = MS  # RFC 9002 kGranularity
INITIAL_RTT_NS = 100 * MS
ACK_DELAY_NS = MS  # for which an acknowledgement may be kept back
_PACKET_THRESHOLD = 3  # RFC 9002 kPacketThreshold
_PACKET_THRESHOLD_MAX = 256
_PATIENCE, _PATIENCE_MAX = 9, 16  # eighths of a round trip (RFC 9002 kTimeThreshold), more where datagrams overtake
_PROBE_MIN_NS = 4 * MS  # processes of a busy machine answer late
_BACKOFF_MAX = 10  # doublings
_GIVEN_UP_MAX = 512  # datagrams


class Rtt:
    """Round-trip time, estimated (RFC 9002, 5)."""

    def __init__(self, first_ns: int | None) -> None:
        self._is_measured = first_ns is not None
        self.latest = self.smoothed = INITIAL_RTT_NS if first_ns is None else first_ns
        self.variation = self.smoothed // 2
        self.base = self.queue_from = 0
        self.set_base(self.smoothed)

    def set_base(self, base_ns: int) -> None:
        self.base = base_ns  # the least of all: without any queue on the way, one hopes
        self.queue_from = base_ns + max(base_ns // 16, MS)  # what takes longer than this has waited in a queue

    def add(self, sample_ns: int, delay_ns: int) -> None:
        """A datagram was acknowledged after `sample_ns`, of which the other end admits to have waited `delay_ns`."""
        if sample_ns - delay_ns >= self.base:
            sample_ns -= delay_ns
        self.latest = sample_ns
        if not self._is_measured:
            self.set_base(sample_ns)
            self.smoothed, self.variation, self._is_measured = sample_ns, sample_ns // 2, True
            return
        if sample_ns < self.base:
            self.set_base(sample_ns)
        self.variation += (abs(self.smoothed - sample_ns) - self.variation) // 4
        self.smoothed += (sample_ns - self.smoothed) // 8

    def probe_after(self) -> int:
        """After so long without an answer it is asked for: as RFC 9002, 6.2.1 has it, but within two round trips.

        Where they vary much, four variations are long, and a probe is one datagram (RFC 8985, 7.2).
        """
        wait = min(max(4 * self.variation, GRANULARITY_NS), max(self.smoothed, GRANULARITY_NS))
        return max(self.smoothed + wait + ACK_DELAY_NS, _PROBE_MIN_NS)


class Record:
    """Datagrams first..last, which left together with adjacent pieces of one stream; without a stream: one PING."""

    __slots__ = ("first", "last", "sent", "size", "stream", "stretch")

    def __init__(self, first: int, last: int, sent: int, stream: OutStream | None, stretch: Stretch | None) -> None:
        self.first, self.last, self.sent, self.stream, self.stretch = first, last, sent, stream, stretch
        self.size = HEADER_BYTES * (last - first + 1)  # bytes of the datagrams
        if stretch is not None:
            self.size += stretch.end - stretch.begin


class GivenUp:
    """Numbers that were given up not long ago, and may still turn out to have arrived."""

    def __init__(self) -> None:
        self._when: dict[int, int] = {}  # by number; in order of time
        self._largest = 0

    def __bool__(self) -> bool:
        return bool(self._when)

    @property
    def oldest(self) -> int:
        return next(iter(self._when))

    def add(self, first: int, last: int, now: int) -> None:
        for number in range(first, min(last + 1, first + _GIVEN_UP_MAX)):
            self._when[number] = now
        self._largest = max(self._largest, last)

    def take(self, first: int, last: int) -> list[int]:
        """Which of first..last are among them; they no longer are."""
        if first > self._largest:
            return []
        found = [number for number in self._when if first <= number <= last]
        for number in found:
            del self._when[number]
        return found

    def forget(self, before: int) -> None:
        when = self._when
        while when and (when[oldest := next(iter(when))] < before or len(when) > _GIVEN_UP_MAX):
            del when[oldest]


class Recovery:
    """The sender's half of a session's bookkeeping."""

    def __init__(self, piece_bytes: int, rtt: Rtt) -> None:
        self._piece_bytes = piece_bytes
        self.rtt = rtt
        self.next_number = 1
        self.largest_acked = 0
        self._told_to = 0  # up to which it was told of all numbers whether they have arrived
        self.in_flight = 0  # bytes of datagrams
        self.lost_at: int | None = None  # when the oldest record counts as lost though few later ones arrived
        self._records: list[Record] = []  # in flight, by number
        self._given_up = GivenUp()
        self._threshold = _PACKET_THRESHOLD
        self._patience = _PATIENCE
        self._seen: frozenset[Range] = frozenset()  # older ranges of the last acknowledgement
        self.probes = 0  # in a row, without an answer
        self.acked_bytes = self.lost_bytes = self.spurious = 0  # by the last call of on_ack or detect_lost
        self.spurious_total = 0  # datagrams
        self.sampled = False  # on_ack measured a round trip

    @property
    def floor(self) -> int:
        """No number below it matters any more."""
        floor = self._records[0].first if self._records else self.next_number
        return min(floor, self._given_up.oldest) if self._given_up else floor

    def add(self, count: int, now: int, stream: OutStream | None, stretch: Stretch | None) -> int:
        """So many datagrams leave; returns the number of the first."""
        first = self.next_number
        self.next_number = first + count
        record = Record(first, first + count - 1, now, stream, stretch)
        self._records.append(record)
        self.in_flight += record.size
        return first

    def on_ack(self, newest: Range, older: list[Range] | None, delay_ns: int, now: int) -> None:
        """The other end has these numbers, of which the largest is below `next_number`.

        `older` is None if there was no room to tell them: what is below `newest` may or may not have arrived.
        """
        self.acked_bytes = self.lost_bytes = self.spurious = 0
        self.sampled = False
        first, last = newest
        records = self._records
        if last > self.largest_acked:
            self.largest_acked = last
            sent = records[-1].sent if records and records[-1].last == last else self._sent(last)
            if sent is not None:
                self.rtt.add(max(now - sent, 1), delay_ns)
                self.sampled = True
        taken = 0
        for record in records:
            if record.first < first or record.last > last:
                break
            taken += 1
            self.acked_bytes += record.size
        del records[:taken]
        if records and records[0].first <= last:
            self._acknowledge(newest)
        if self._given_up:
            self._find_spurious(newest)
        if older is not None:
            self._told_to = max(self._told_to, last)  # one that comes late or again has nothing to say of later numbers
            if older:
                self._on_older(older)
        if self.acked_bytes:
            self.in_flight -= self.acked_bytes
            self.probes = 0
        self.lost_at = None
        if self._given_up or (records and records[0].first < self._told_to):
            self.detect_lost(now)

    def _on_older(self, ranges: list[Range]) -> None:
        for each in ranges:
            if each not in self._seen:
                self._acknowledge(each)
                self._find_spurious(each)
        self._seen = frozenset(ranges)

    def _sent(self, number: int) -> int | None:
        """When that datagram left, if it is in flight."""
        for record in reversed(self._records):
            if record.first <= number:
                return record.sent if number <= record.last else None
        return None

    def _acknowledge(self, numbers: Range) -> None:
        """Take the records of `numbers` out, in part where only a part of one is among them."""
        first, last = numbers
        records = self._records
        index = begin = bisect_left(records, first, key=lambda record: record.last)
        left: list[Record] = []
        while index < len(records) and records[index].first <= last:
            record = records[index]
            if record.first < first:
                before, record = self._split(record, first)
                left.append(before)
            if record.last > last:
                record, behind = self._split(record, last + 1)
                left.append(behind)
            self.acked_bytes += record.size
            index += 1
        records[begin:index] = left

    def _split(self, record: Record, number: int) -> tuple[Record, Record]:
        """`record` cut before `number`."""
        stretch = record.stretch
        assert stretch is not None, "a PING is one datagram"
        cut = (number - record.first) * self._piece_bytes
        middle = stretch.begin + cut
        return (
            Record(record.first, number - 1, record.sent, record.stream,
                   Stretch(stretch.offset, stretch.blob, stretch.begin, middle)),
            Record(number, record.last, record.sent, record.stream,
                   Stretch(stretch.offset + cut, stretch.blob, middle, stretch.end)),
        )  # fmt: skip

    def _find_spurious(self, numbers: Range) -> None:
        """What was given up and arrives after all shows that datagrams overtake each other: wait longer."""
        for number in self._given_up.take(*numbers):
            self.spurious += 1
            self.spurious_total += 1
            distance = self.largest_acked - number + 1
            self._threshold = min(max(self._threshold, distance), _PACKET_THRESHOLD_MAX)
        if self.spurious:
            self._patience = min(self._patience + 1, _PATIENCE_MAX)

    def detect_lost(self, now: int) -> None:
        """Give up what left long before something that arrived (RFC 9002, 6.1)."""
        self.lost_at = None
        self._given_up.forget(now - self.rtt.smoothed)
        records = self._records
        told_to = self._told_to
        if not records or records[0].first >= told_to:
            return
        rtt = self.rtt
        lost_after = max(self._patience * max(rtt.smoothed, rtt.latest) // 8, GRANULARITY_NS)
        sent_before = now - lost_after
        number_up_to = told_to - self._threshold
        kept: list[Record] = []
        index = 0
        while index < len(records) and records[index].first < told_to:
            record = records[index]
            index += 1
            if record.sent > sent_before and record.last > number_up_to:
                if record.first <= number_up_to:
                    gone, record = self._split(record, number_up_to + 1)
                    self._give_up(gone, now)
                kept.append(record)
            else:
                self._give_up(record, now)
        records[:index] = kept
        if kept:
            self.lost_at = kept[0].sent + lost_after

    def _give_up(self, record: Record, now: int) -> None:
        self.lost_bytes += record.size
        self.in_flight -= record.size
        if record.stream is not None and record.stretch is not None:
            record.stream.lost.append(record.stretch)
        self._given_up.add(record.first, record.last, now)

    def probe_at(self) -> int | None:
        """When an answer is asked for; None: nothing is in flight."""
        if not self._records:
            return None
        return self._records[-1].sent + (self.rtt.probe_after() << min(self.probes, _BACKOFF_MAX))

    def probe(self) -> int:
        """Have the oldest datagrams in flight sent again, under new numbers; returns how many, 0 if none has data.

        That says nothing about the network's load: they are not counted as lost.
        """
        self.probes += 1
        return sum(self._probe_oldest() for _ in range(1 if self.probes == 1 else 2))

    def _probe_oldest(self) -> bool:
        records = self._records
        for index, record in enumerate(records):
            if record.stretch is None:
                continue
            if record.last > record.first:
                record, records[index] = self._split(record, record.first + 1)
            else:
                del records[index]
            self.in_flight -= record.size
            if record.stream is not None and record.stretch is not None:
                record.stream.lost.append(record.stretch)
            return True
        return False
