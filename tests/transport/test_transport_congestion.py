"""Sessions fill a bottleneck, share it, and neither starve nor flood; loss by chance is not taken for load."""

import random

import pytest
from virtual_link import MS, SECOND

from lab.faults import Constant, Shape
from lab.transport.association import Association
from lab.transport.congestion import Congestion
from lab.transport.recovery import Rtt
from lab.transport.shaping import Shaper
from lab.transport.window import WindowConfig

CONFIG = WindowConfig(dead_after_ns=5 * SECOND)
FRAME = bytes(20_000)


class Bottleneck:
    """Links of which each sends as much as it can, all through the same two ways."""

    def __init__(self, links: int, there: Shape, back: Shape) -> None:
        self.now = self.begun = SECOND
        self._ways = [Shaper(shape, random.Random(number)) for number, shape in enumerate((back, there))]
        self._ends = [
            [Association(link, side, 1, CONFIG, random.Random(f"{link} {side}")) for link in range(links)]
            for side in (0, 1)
        ]
        self.received = [0] * links  # bytes of frames

    def run(self, duration: int, starts: tuple[int, ...]) -> None:
        """`starts`: when each link begins, after the very beginning."""
        until = self.now + duration
        while self.now < until:
            times = [until]
            for side, ends in enumerate(self._ends):
                for link, end in enumerate(ends):
                    if self.now < self.begun + starts[link]:
                        times.append(self.begun + starts[link])
                    else:
                        self._send(end, side)
                        times.append(end.next_timeout() or 0)
            times += [due for way in self._ways if (due := way.next_due()) is not None]
            self.now = max(self.now, min(times))
            for side in (0, 1):
                self._deliver(side)

    def _send(self, end: Association, side: int) -> None:
        if side == 0 and end.is_open:
            (channel,) = end.channels
            while channel.frames_sent * len(FRAME) - channel.bytes_sent < 200_000:
                assert channel.send(FRAME)
            channel.flush()
        while datagrams := end.datagrams_to_send(self.now):
            for datagram in datagrams:
                self._ways[1 - side].push(datagram, self.now)

    def _deliver(self, side: int) -> None:
        due = self._ways[side].due(self.now)
        if not due:
            return
        by_prefix = {prefix: end for end in self._ends[side] for prefix in end.prefixes}
        for datagram in due:
            if end := by_prefix.get(datagram[:8]):
                end.on_datagram(datagram, self.now)
        for link, end in enumerate(self._ends[1]):
            if end.is_open:
                self.received[link] += sum(map(len, end.channels[0].receive()))


def goodput(links: int, there: Shape, back: Shape, seconds: int, starts: tuple[int, ...] | None = None) -> list[float]:
    """Bytes of frames per second of each link, over the second half."""
    bottleneck = Bottleneck(links, there, back)
    half = seconds * SECOND // 2
    bottleneck.run(half, starts or (0,) * links)
    before = list(bottleneck.received)
    bottleneck.run(half, starts or (0,) * links)
    return [(now - then) / (half / SECOND) for now, then in zip(bottleneck.received, before, strict=True)]


def jain(shares: list[float]) -> float:
    """1 if all are alike, 1/n if one has everything (Jain, Chiu and Hawe 1984)."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@pytest.mark.parametrize(("starts_s", "queue_bytes", "seconds"), [
    ((0, 0), 1 << 16, 8),
    ((0, 0), 1 << 17, 8),
    ((0, 2), 1 << 17, 14),  # who comes later takes the queue of the other for the length of the way, at first
    ((0, 0, 0, 0), 1 << 17, 8),
])  # fmt: skip
def test_sessions_fill_a_bottleneck_and_share_it(starts_s: tuple[int, ...], queue_bytes: int, seconds: int) -> None:
    rate = 1_000_000
    there = Shape(delay=Constant(10), bytes_per_s=rate, queue_bytes=queue_bytes)
    starts = tuple(start * SECOND for start in starts_s)
    shares = goodput(len(starts), there, Shape(delay=Constant(10)), seconds, starts)
    assert jain(shares) > 0.9
    assert sum(shares) > 0.8 * rate


def test_loss_by_chance_is_repaired_and_not_answered_by_slowing_down() -> None:
    rate = 2_000_000

    def under(loss: float) -> float:
        shape = Shape(delay=Constant(2), bytes_per_s=rate, queue_bytes=1 << 16, loss=loss)
        return goodput(1, shape, Shape(delay=Constant(2), loss=loss), 2)[0] / rate

    assert under(0.0) > 0.9
    assert under(0.01) > 0.9
    assert under(0.1) > 0.75


def test_sessions_share_a_bottleneck_that_also_loses_by_chance() -> None:
    there = Shape(delay=Constant(10), bytes_per_s=1e6, queue_bytes=1 << 17, loss=0.05)
    shares = goodput(2, there, Shape(delay=Constant(10), loss=0.05), 8)
    assert jain(shares) > 0.9
    assert sum(shares) > 0.8 * 1e6


def test_a_bottleneck_that_drops_much_is_not_flooded() -> None:
    there = Shape(delay=Constant(1), bytes_per_s=2e6, queue_bytes=1 << 16)
    bottleneck = Bottleneck(1, there, Shape(delay=Constant(1)))
    bottleneck.run(2 * SECOND, (0,))
    assert bottleneck._ways[1].overflowed * 1_400 < 0.05 * bottleneck.received[0]


# -- the window by itself --------------------------------------------------------------------------------------------


def rounds(congestion: Congestion, rtt: Rtt, count: int, rtt_ns: int, now: int = 0, loss: float = 0.0) -> int:
    """So many rounds in which the whole window is sent; returns when they are over."""
    number = 1_000 * (1 + now // MS)
    for _ in range(count):
        now += rtt_ns
        number += 100
        rtt.add(rtt_ns, 0)
        congestion.on_rtt(now)
        window = congestion.window
        lost = int(loss * window)
        if lost:
            congestion.on_lost(lost, number, number + 100)
        congestion.on_ack(window - lost, 0, number, number + 100, now)
    return now


def make(rtt_ns: int) -> tuple[Congestion, Rtt]:
    rtt = Rtt(rtt_ns)
    return Congestion(1_400, rtt, 0), rtt


def test_the_window_doubles_each_round_at_first() -> None:
    congestion, rtt = make(10 * MS)
    rounds(congestion, rtt, 5, 10 * MS)
    assert congestion.window == 14_000 * 2**5


def test_loss_without_a_queue_does_not_shrink_the_window() -> None:
    congestion, rtt = make(10 * MS)
    rounds(congestion, rtt, 5, 10 * MS, loss=0.1)
    assert congestion.window > 14_000 * 1.8**5


def test_loss_with_a_standing_queue_shrinks_it_by_three_tenths_once_a_round() -> None:
    congestion, rtt = make(10 * MS)
    now = rounds(congestion, rtt, 5, 10 * MS)
    now = rounds(congestion, rtt, 1, 30 * MS, now)  # and the round before it had no queue yet
    window = congestion.window
    rtt.add(30 * MS, 0)
    congestion.on_rtt(now)
    for lost in range(3):
        congestion.on_lost(1_400, 10**9 + lost, 10**9 + 100)
    assert congestion.window == int(0.7 * window)


def test_single_losses_leave_what_anybody_may_begin_with() -> None:
    """A few datagrams a round, as acknowledgements of batches are, see a queue in whatever keeps a process."""
    congestion, rtt = make(10 * MS)
    rounds(congestion, rtt, 2, 10 * MS)
    now, number = 20 * MS, 10**9
    for _ in range(50):
        now, number = now + 30 * MS, number + 100
        rtt.add(30 * MS, 0)
        congestion.on_rtt(now)
        congestion.on_lost(200, number, number + 100)
        congestion.on_ack(200, 0, number, number + 100, now)
    assert congestion.window == 14_600


def test_a_round_of_which_much_is_lost_shrinks_it_without_a_queue() -> None:
    grown = []
    for loss in (0.2, 0.3):
        congestion, rtt = make(10 * MS)
        now = rounds(congestion, rtt, 5, 10 * MS)
        rounds(congestion, rtt, 1, 10 * MS, now, loss=loss)
        grown.append(congestion.window)
    assert grown[0] == int(1.8 * 448_000)
    assert grown[1] == int(0.7 * 1.7 * 448_000)


def test_a_reduction_whose_losses_prove_spurious_is_taken_back() -> None:
    congestion, rtt = make(10 * MS)
    now = rounds(congestion, rtt, 5, 10 * MS)
    now = rounds(congestion, rtt, 1, 30 * MS, now)
    window = congestion.window
    rtt.add(30 * MS, 0)
    congestion.on_rtt(now)
    congestion.on_lost(2_800, 10**9, 10**9 + 100)
    congestion.on_spurious(1_400)
    assert congestion.window < window
    congestion.on_spurious(1_400)
    assert congestion.window == window


def test_a_window_that_is_not_used_does_not_grow() -> None:
    congestion, rtt = make(10 * MS)
    for number in range(100):
        rtt.add(10 * MS, 0)
        congestion.on_ack(1_400, 0, number, number + 1, number * 10 * MS)
    assert congestion.window == 14_000


def test_silence_shrinks_the_window_to_two_datagrams() -> None:
    congestion, rtt = make(10 * MS)
    rounds(congestion, rtt, 5, 10 * MS)
    congestion.on_silence()
    assert congestion.window == 2_800
    assert congestion.in_slow_start


@pytest.mark.parametrize(("rtt_ns", "bytes_"), [(100_000, 64 << 10), (20 * MS, 14_000)])
def test_a_burst_is_a_millisecond_or_ten_datagrams_and_64_kib_where_round_trips_are_short(
    rtt_ns: int, bytes_: int
) -> None:
    congestion, _ = make(rtt_ns)
    congestion.window = 70_000
    assert congestion.room(0, 0) == bytes_
    congestion.on_sent(bytes_, 0)
    assert (congestion.room(0, 0) > 0) == (rtt_ns < MS)


def test_datagrams_are_spread_over_a_round_trip() -> None:
    congestion, rtt = make(20 * MS)
    rounds(congestion, rtt, 4, 20 * MS)
    now = sent = 0
    while now < 20 * MS:
        burst = congestion.room(0, now)
        congestion.on_sent(burst, now)
        sent += burst
        now = congestion.may_send_at
    assert 1.8 * congestion.window < sent < 2.4 * congestion.window


def test_a_way_that_became_longer_is_measured_anew_after_a_while() -> None:
    """As long as round trips were ever shorter, longer ones look like a queue; so the window lets one run empty."""
    congestion, rtt = make(10 * MS)
    now = rounds(congestion, rtt, 5, 10 * MS)
    now = rounds(congestion, rtt, 400, 30 * MS, now)
    assert rtt.base == 30 * MS
    rounds(congestion, rtt, 5, 30 * MS, now)
    window = congestion.window
    congestion.on_lost(1_400, 1 << 40, (1 << 40) + 100)
    assert congestion.window == window


def test_a_standing_queue_is_let_run_empty_for_two_round_trips() -> None:
    congestion, rtt = make(10 * MS)
    now = rounds(congestion, rtt, 5, 10 * MS)
    drained = []
    while now < 12 * SECOND:
        now = rounds(congestion, rtt, 1, 30 * MS, now)
        drained.append(congestion.is_full(congestion.window // 4) and not congestion.is_full(congestion.window // 5))
    assert drained.count(True) == 2
    assert drained.index(True) == pytest.approx(10 * SECOND / (30 * MS), abs=2)


def test_where_most_rounds_lose_something_a_queue_leaves_a_window_of_a_batch() -> None:
    """Processes that get the CPU late look like a queue; each loss by chance would then shrink the window."""
    congestion, rtt = make(4 * MS)
    now = rounds(congestion, rtt, 2, 4 * MS)
    windows = []
    for _ in range(100):
        now = rounds(congestion, rtt, 1, 8 * MS, now, loss=0.1)
        windows.append(congestion.window)
    assert min(windows[:10]) < 30_000
    assert min(windows[20:]) >= 0.7 * (48 << 10)
    rounds(congestion, rtt, 1, 8 * MS, now, loss=0.5)  # until much is lost
    assert congestion.window == pytest.approx(0.7 * windows[-1], rel=0.02)
    assert windows[-1] == 48 << 10


def test_a_loss_now_and_then_with_a_queue_shrinks_the_window_to_what_the_bottleneck_takes() -> None:
    congestion, rtt = make(4 * MS)
    now = rounds(congestion, rtt, 3, 4 * MS)
    for _ in range(30):
        now = rounds(congestion, rtt, 1, 8 * MS, now, loss=0.1)
        now = rounds(congestion, rtt, 4, 8 * MS, now)
    assert congestion.window < 48 << 10
