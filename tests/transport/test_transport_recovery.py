"""What is in flight, lost or acknowledged: every piece is one of them, whatever is told in whatever order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.transport.datagram import HEADER_BYTES
from lab.transport.recovery import MS, Recovery, Rtt
from lab.transport.streams import OutStream

PIECE = 100


class Sender:
    """A recovery with the one stream whose pieces it sends; `numbers` are the pieces in flight by number."""

    def __init__(self, rtt_ns: int | None = 10 * MS) -> None:
        self.stream = OutStream(1 << 20, PIECE, lambda: None)
        self.stream.limit = 1 << 40
        self.rtt = Rtt(rtt_ns)
        self.recovery = Recovery(PIECE, self.rtt)
        self.now = 0
        self.sent: dict[int, int] = {}  # stream offset by number

    def send(self, pieces: int) -> None:
        """New pieces in one burst, or what was lost."""
        if not self.stream.lost:
            self.stream.send(bytes(pieces * PIECE - 4))
            self.stream.flush()
        while self.stream.lost or self.stream.has_new():
            stretch = self.stream.take_lost(pieces) if self.stream.lost else self.stream.take_new(pieces)
            assert stretch is not None
            count = (stretch.end - stretch.begin) // PIECE
            first = self.recovery.add(count, self.now, self.stream, stretch)
            for index in range(count):
                self.sent[first + index] = stretch.offset + index * PIECE

    def ack(self, *ranges: tuple[int, int]) -> None:
        """`ranges`: newest first, all of them told."""
        self.recovery.on_ack(ranges[0], list(ranges[1:]), 0, self.now)

    def lost(self) -> list[int]:
        """Offsets of the pieces that have to be sent again."""
        return [
            stretch.offset + at for stretch in self.stream.lost for at in range(0, stretch.end - stretch.begin, PIECE)
        ]

    def in_flight(self) -> int:
        return self.recovery.in_flight // (PIECE + HEADER_BYTES)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_piece_is_in_flight_or_lost_or_acknowledged(data: st.DataObject) -> None:
    sender, acked = Sender(), set[int]()  # numbers
    for _ in range(data.draw(st.integers(1, 15))):
        sender.now += data.draw(st.integers(0, 30)) * MS
        match data.draw(st.sampled_from(("send", "send", "ack", "ack", "time", "probe"))):
            case "send":
                sender.send(data.draw(st.integers(1, 12)))
            case "ack" if sender.sent:
                acked |= data.draw(st.sets(st.sampled_from(sorted(sender.sent)), min_size=1))
                sender.ack(*ranges_of(acked))
            case "time":
                sender.recovery.detect_lost(sender.now)
            case "probe":
                sender.recovery.probe()
        delivered = {sender.sent[number] for number in acked}
        everything = set(range(0, sender.stream.next_offset, PIECE))
        assert everything - delivered <= set(sender.lost()) | set(flying(sender))
        assert len(flying(sender)) == sender.in_flight()
        assert not acked & set(flying_numbers(sender))
        assert sender.recovery.floor <= min(flying_numbers(sender), default=sender.recovery.next_number)
    sender.now += 1_000 * MS
    sender.send(1)
    sender.ack((1, sender.recovery.next_number - 1))
    assert (sender.in_flight(), sender.lost()) == (0, [])


def ranges_of(numbers: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges[::-1]


def flying_numbers(sender: Sender) -> list[int]:
    return [n for record in sender.recovery._records for n in range(record.first, record.last + 1)]


def flying(sender: Sender) -> list[int]:
    return [sender.sent[number] for number in flying_numbers(sender)]


@pytest.mark.parametrize(("told", "lost"), [
    ([(1, 10)], []),
    ([(2, 3)], []),  # the first may only be late
    ([(2, 4)], [1]),  # three later ones arrived
    ([(6, 10)], [1, 2, 3, 4, 5]),
    ([(9, 9), (4, 5)], [1, 2, 3, 6]),
    ([(10, 10), (1, 8)], []),
])  # fmt: skip
def test_what_three_later_ones_overtook_is_lost(told: list[tuple[int, int]], lost: list[int]) -> None:
    sender = Sender()
    sender.send(10)
    sender.now += MS
    sender.ack(*told)
    assert sender.lost() == [PIECE * (number - 1) for number in lost]
    assert sender.recovery.lost_bytes == len(lost) * (PIECE + HEADER_BYTES)


def test_what_is_late_is_lost_after_nine_eighths_of_a_round_trip() -> None:
    sender = Sender(8 * MS)
    sender.send(2)
    sender.now = 8 * MS
    sender.ack((2, 2))
    assert sender.recovery.lost_at == 9 * MS
    sender.recovery.detect_lost(9 * MS - 1)
    assert sender.lost() == []
    sender.recovery.detect_lost(9 * MS)
    assert sender.lost() == [0]


def test_nothing_is_lost_on_account_of_what_was_not_told() -> None:
    """An acknowledgement that rides on data tells the newest range only."""
    sender = Sender()
    sender.send(10)
    sender.now = 100 * MS
    sender.recovery.on_ack((8, 10), None, 0, sender.now)
    assert sender.lost() == []
    assert sender.recovery.lost_at is None
    sender.ack((8, 10), (2, 6))
    assert sender.lost() == [0, 6 * PIECE]


def test_spurious_losses_raise_the_threshold() -> None:
    sender = Sender()
    sender.send(10)
    sender.now += MS
    sender.ack((6, 10))
    assert len(sender.lost()) == 5
    sender.ack((1, 10))
    assert sender.recovery.spurious == 5
    assert sender.recovery.spurious_total == 5
    sender.stream.lost.clear()
    sender.send(10)  # 11 to 20
    sender.ack((20, 20), (1, 10))
    assert sender.lost() == []  # 9 later ones would have been 3 before; it waits for more than 10


def test_a_probe_sends_the_oldest_again_and_then_two_of_them() -> None:
    sender = Sender()
    sender.send(3)
    assert sender.recovery.probe_at() == sender.rtt.probe_after()
    assert sender.recovery.probe() == 1
    assert (sender.lost(), sender.in_flight()) == ([0], 2)
    sender.send(1)
    assert sender.recovery.probe_at() == 2 * sender.rtt.probe_after()
    assert sender.recovery.probe() == 2
    assert (sender.lost(), sender.in_flight()) == ([PIECE, 2 * PIECE], 1)
    assert sender.recovery.lost_bytes == 0
    sender.ack((4, 4))
    assert sender.recovery.probes == 0


def test_a_ping_in_flight_has_nothing_to_send_again() -> None:
    sender = Sender()
    sender.recovery.add(1, 0, None, None)
    assert sender.recovery.probe() == 0
    assert sender.recovery.probe_at() is not None
    sender.ack((1, 1))
    assert sender.recovery.probe_at() is None


def test_the_first_round_trip_is_believed_and_later_ones_in_eighths() -> None:
    rtt = Rtt(None)
    rtt.add(10 * MS, 0)
    assert (rtt.smoothed, rtt.variation, rtt.base) == (10 * MS, 5 * MS, 10 * MS)
    rtt.add(18 * MS, 0)
    assert (rtt.smoothed, rtt.variation, rtt.base) == (11 * MS, 5 * MS + 3 * MS // 4, 10 * MS)


@pytest.mark.parametrize(("delay_ms", "sample_ms"), [(0, 15), (4, 11), (5, 10), (6, 15)])
def test_a_delay_that_the_other_end_admits_is_taken_off_unless_it_is_impossible(delay_ms: int, sample_ms: int) -> None:
    rtt = Rtt(10 * MS)
    rtt.add(15 * MS, delay_ms * MS)
    assert rtt.latest == sample_ms * MS


@pytest.mark.parametrize(("smoothed", "variation", "after"), [
    (10, 0, 12), (10, 1, 15), (10, 5, 21), (1, 0, 4), (0, 0, 4),
])  # fmt: skip
def test_an_answer_is_asked_for_after_four_variations_and_two_round_trips_at_most(
    smoothed: int, variation: int, after: int
) -> None:
    rtt = Rtt(None)
    rtt.smoothed, rtt.variation = smoothed * MS, variation * MS
    assert rtt.probe_after() == after * MS
