"""The port: every datagram to its association, at its time, with its tag; nothing to anybody else."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab.transport.carriers import RingCarrier, UdpCarrier
from lab.transport.errors import SealError
from lab.transport.port import BURSTS_MAX, READS_MAX, Port
from lab.transport.seal import Seal
from lab.transport.udp import UdpSocket, bind_udp

KEY = bytes(range(32))
LOOPBACK = "127.0.0.1"
A, B, C = b"prefix-a", b"prefix-b", b"prefix-c"


class Session:
    """An association that only remembers, and sends what it is given."""

    def __init__(self, *prefixes: bytes) -> None:
        self.prefixes = prefixes
        self.received: list[tuple[bytes, int]] = []
        self.bursts: deque[list[bytes]] = deque()
        self.timeout: int | None = None
        self.runs = 0  # calls of on_datagrams
        self.follows: dict[bytes, tuple[bytes, ...]] = {}  # what its prefixes are after such a datagram
        self.closed = False
        self.on_dirty = lambda: None

    def wants_to_send(self, *bursts: list[bytes]) -> None:
        self.bursts.extend(bursts)
        self.on_dirty()

    @property
    def datagrams(self) -> list[bytes]:
        return [data for data, _ in self.received]

    def on_datagrams(self, datagrams: Sequence[bytes], now: int) -> None:
        assert not self.closed
        self.runs += 1
        for data in datagrams:
            self.received.append((data, now))
            self.prefixes = self.follows.get(data, self.prefixes)

    def datagrams_to_send(self, now: int) -> list[bytes]:
        if self.timeout is not None and self.timeout <= now:
            self.timeout = None
            return [b"timer of " + self.prefixes[0]]
        return self.bursts.popleft() if self.bursts else []

    def next_timeout(self) -> int | None:
        return 0 if self.bursts else self.timeout

    def close(self, now: int) -> list[bytes]:
        self.closed = True
        return [b"close of " + self.prefixes[0]]


class Delay:
    """A shaper that lets everything go so much later."""

    def __init__(self, delay_ns: int) -> None:
        self._delay_ns = delay_ns
        self._held: deque[tuple[int, bytes]] = deque()

    def push(self, datagram: bytes, now: int) -> None:
        self._held.append((now + self._delay_ns, datagram))

    def due(self, now: int) -> list[bytes]:
        due = []
        while self._held and self._held[0][0] <= now:
            due.append(self._held.popleft()[1])
        return due

    def next_due(self) -> int | None:
        return self._held[0][0] if self._held else None


class Bench:
    """A port under a clock of ours, and a bare socket that plays everybody else."""

    def __init__(self, key: bytes = b"") -> None:
        self.now = 1_000
        self.port = Port(bind_udp(LOOPBACK), key, clock=lambda: self.now)
        self.outside = UdpSocket(bind_udp(LOOPBACK))
        self.address = self.port._udp.address

    def add(self, *prefixes: bytes, shaper: Delay | None = None) -> Session:
        session = Session(*prefixes)
        self.port.add(session, UdpCarrier(self.port, self.outside.address), shaper)
        return session

    def arrive(self, *datagrams: bytes) -> bool:
        """Send them to the port one by one, and let it receive."""
        for datagram in datagrams:
            self.outside.send([datagram], self.address)
        return self.port.receive()

    def sent(self) -> list[bytes]:
        """What the port has sent."""
        found = []
        while self.outside.has_input():
            found += self.outside.receive()
        return found

    def close(self) -> None:
        self.port.close()
        self.outside.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def sealed() -> Iterator[Bench]:
    made = Bench(KEY)
    yield made
    made.close()


def test_datagrams_find_their_association_in_order(bench):
    one, other = bench.add(A, B), bench.add(C)
    assert bench.arrive(A + b"1", C + b"2", B + b"3", A + b"4", C)
    assert one.received == [(A + b"1", 1_000), (B + b"3", 1_000), (A + b"4", 1_000)]
    assert other.datagrams == [C + b"2", C]
    assert not bench.port.receive()


def test_runs_that_the_kernel_kept_together_find_theirs_too(bench):
    one, other = bench.add(A), bench.add(B)
    bench.outside.send([A + b"1", B + b"1", A + b"2", b"-"], bench.address)
    assert bench.port.receive()
    assert (one.datagrams, other.datagrams) == ([A + b"1", A + b"2"], [B + b"1"])
    bench.outside.send([A + b"3"] * 40, bench.address)
    bench.port.receive()
    assert len(one.datagrams) == 42
    if bench.outside.segment_bytes_max and bench.port._udp.coalesces:
        assert one.runs == 3
    assert bench.port.counters["foreign"] == 1


@pytest.mark.parametrize("foreign", [b"", b"x", A[:7], B, b"x" + A, bytes(65_507)])
def test_foreign_datagram_is_dropped_counted_and_never_answered(bench, foreign: bytes):
    one = bench.add(A)
    assert not bench.arrive(foreign)
    bench.port.flush()
    assert one.received == []
    assert bench.sent() == []
    assert bench.port.counters["foreign"] == 1


def test_only_tagged_datagrams_arrive_and_without_their_tag(sealed):
    one, seal = sealed.add(A), Seal(KEY)
    genuine = seal.seal(A + b"genuine")
    forged = genuine[:-1] + bytes([genuine[-1] ^ 1])
    assert sealed.arrive(genuine)
    assert not sealed.arrive(forged, A, A + b"plain", Seal(bytes(32)).seal(A + b"of another key"), genuine[:-1])
    assert not sealed.arrive(seal.seal(B + b"nobody here"))
    assert one.datagrams == [A + b"genuine"]
    assert sealed.sent() == []
    assert (sealed.port.counters["forged"], sealed.port.counters["foreign"]) == (5, 1)


def test_everything_sent_carries_a_tag(sealed):
    one, seal = sealed.add(A), Seal(KEY)
    one.wants_to_send([b"first", b"second"])
    sealed.port.flush()
    sealed.port.remove(one)
    assert [seal.open(datagram) for datagram in sealed.sent()] == [b"first", b"second", b"close of " + A]


def test_socket_that_others_can_send_to_is_refused_without_a_key():
    with bind_udp("0.0.0.0") as bound:
        with pytest.raises(SealError, match=r"cannot bind 0\.0\.0\.0 without a key"):
            Port(bound, b"")
        Port(bound, KEY).close()


def test_prefixes_that_change_count_from_the_next_datagram_on(bench):
    one = bench.add(A)
    one.follows = {A + b"hello": (B,)}
    bench.outside.send([A + b"hello", B + b"fresh", A + b"stale"], bench.address)
    bench.port.receive()
    assert one.datagrams == [A + b"hello", B + b"fresh"]
    assert bench.port.counters["foreign"] == 1


def test_who_was_heard_of_is_told_once_and_so_is_who_changed_prefixes(bench):
    one, two = bench.add(A), bench.add(B)
    assert list(bench.port.take_heard()) == [one, two]
    bench.arrive(B + b"first", B + b"second")
    assert bench.port.has_news()
    assert list(bench.port.take_heard()) == [two]
    assert list(bench.port.take_heard()) == []
    assert not bench.port.has_news()
    one.prefixes = (A + b"",)
    one.on_dirty()
    bench.port.flush()
    assert list(bench.port.take_heard()) == [one]


def test_prefixes_that_change_while_sending_count_at_once(bench):
    one = bench.add(A)
    one.prefixes = (B,)
    one.on_dirty()
    bench.port.flush()
    bench.arrive(A, B)
    assert one.datagrams == [B]


def test_association_that_is_removed_says_so_and_gets_nothing_more(bench):
    one = bench.add(A)
    bench.port.remove(one)
    assert bench.sent() == [b"close of " + A]
    assert not bench.arrive(A + b"late")
    bench.port.flush()
    assert bench.port.deadline_ns() is None
    assert bench.port.counters["foreign"] == 1
    with pytest.raises(KeyError):
        bench.port.remove(one)


def test_successor_with_the_same_prefix_outlives_the_removal(bench):
    former, successor = bench.add(A), bench.add(A)
    bench.port.remove(former)
    bench.arrive(A)
    assert successor.datagrams == [A]


def test_shaped_datagrams_arrive_when_they_are_due(bench):
    one, other = bench.add(A, shaper=Delay(500)), bench.add(B)
    assert bench.arrive(A + b"1", B)
    assert (one.datagrams, other.datagrams) == ([], [B])
    bench.port.flush()
    assert bench.port.deadline_ns() == 1_500
    bench.now = 1_499
    assert not bench.port.receive()
    bench.now = 1_500
    assert bench.port.receive()
    assert one.received == [(A + b"1", 1_500)]
    assert bench.port.deadline_ns() is None


def test_another_shaper_holds_what_comes_from_then_on(bench):
    one = bench.add(A)
    bench.port.set_shaper(one, Delay(500))
    bench.arrive(A)
    assert one.datagrams == []
    bench.port.set_shaper(one, None)
    bench.arrive(A + b"2")
    assert one.datagrams == [A + b"2"]


def test_timers_run_when_they_are_due_and_send_at_once(bench):
    one, other = bench.add(A), bench.add(B)
    for session, timeout in ((one, 3_000), (other, 2_000)):
        session.timeout = timeout
        session.on_dirty()
    bench.port.flush()
    assert bench.port.deadline_ns() == 2_000
    bench.now = 1_999
    assert not bench.port.receive()
    bench.now = 2_000
    assert bench.port.receive()
    assert bench.sent() == [b"timer of " + B]
    assert bench.port.deadline_ns() == 3_000


def test_flood_cannot_keep_a_turn_from_ending(bench):
    one = bench.add(A)
    for _ in range(READS_MAX):
        bench.outside.send([b"flood"], bench.address)
    assert not bench.arrive(A)
    assert one.datagrams == []
    assert bench.port.counters["socket_reads"] == READS_MAX
    assert bench.port.has_input()
    assert bench.port.receive()
    assert one.datagrams == [A]
    assert not bench.port.has_input()


def test_flush_sends_what_there_is_and_leaves_room_for_others(bench):
    one, other = bench.add(A), bench.add(B)
    one.wants_to_send(*[[b"burst"] for _ in range(BURSTS_MAX + 1)])
    other.wants_to_send([b"other"])
    bench.port.flush()
    assert bench.sent() == [b"burst"] * BURSTS_MAX + [b"other"]
    bench.port.flush()
    assert bench.sent() == [b"burst"]


def test_who_has_something_to_send_is_due_at_once_until_it_is_sent(bench):
    one, other = bench.add(A), bench.add(B)
    assert bench.port.deadline_ns() == 0  # whoever is new may have something
    bench.port.flush()
    assert bench.port.deadline_ns() is None
    other.wants_to_send([b"something"])
    assert bench.port.deadline_ns() == 0
    bench.port.flush()
    assert bench.port.deadline_ns() is None
    bench.port.remove(one)
    one.wants_to_send([b"too late"])
    assert bench.port.deadline_ns() is None
    bench.port.flush()
    assert bench.sent() == [b"something", b"close of " + A]


def test_timer_that_moves_with_what_arrives_is_the_one_that_counts(bench):
    one = bench.add(A)
    bench.port.flush()
    one.timeout = 5_000
    bench.arrive(A)
    assert bench.port.deadline_ns() == 5_000
    one.timeout = 9_000
    bench.arrive(A)
    assert bench.port.deadline_ns() == 9_000
    bench.now = 9_000
    assert bench.port.receive()
    assert bench.sent() == [b"timer of " + A]
    assert bench.port.deadline_ns() is None


def test_what_the_kernel_tells_is_in_the_counters(bench):
    counters = bench.port.counters
    assert {"unsent", "oversized", "overflowed", "filtered"} <= counters.keys()


# -- rings


@pytest.fixture
def rings(open_ends: Any) -> Iterator[Any]:
    with open_ends(capacity=4096) as ends:
        yield ends


def ring_port(channel: Any) -> tuple[Port, Session, RingCarrier]:
    port, session, carrier = Port(None, b""), Session(A), RingCarrier(channel)
    port.add(session, carrier, None)
    return port, session, carrier


def test_ring_carries_datagrams_both_ways_and_no_tags(rings):
    one, there, _ = ring_port(rings.one)
    other, here, _ = ring_port(rings.other)
    assert one.fileno() == -1
    there.wants_to_send([A + b"1", A + b"2"])
    assert not other.has_input()
    one.flush()
    assert other.has_input()
    assert other.receive()
    assert here.datagrams == [A + b"1", A + b"2"]
    other.remove(here)
    one.receive()
    assert there.datagrams == [b"close of " + A]


def test_full_ring_loses_what_comes_then_and_goes_on(rings):
    one, there, _ = ring_port(rings.one)
    other, here, _ = ring_port(rings.other)
    sent = [A + bytes([index]) * 500 for index in range(40)]
    for datagram in sent:
        there.wants_to_send([datagram])
        one.flush()
    lost = one.counters["ring_lost"]
    assert 0 < lost < 40
    while other.receive() or one.has_input():
        one.receive()
    assert here.datagrams == sent[: 40 - lost]
    there.wants_to_send([A + b"again"])
    one.flush()
    other.receive()
    assert here.datagrams[-1] == A + b"again"


def test_burst_above_what_may_wait_is_lost_and_counted(open_ends):
    with open_ends(capacity=4096, queue_bytes_max=8192) as ends:
        one, there, carrier = ring_port(ends.one)
        other, here, _ = ring_port(ends.other)
        sent = [A + bytes([index]) * 500 for index in range(100)]
        there.wants_to_send(sent)
        one.flush()
        assert not ends.one.broken
        while other.receive() or one.has_input():
            one.receive()
        assert here.datagrams == sent[: 100 - carrier.lost] != []


def test_corrupt_ring_is_read_no_more_and_others_go_on(open_ends):
    with open_ends() as bad, open_ends() as good:
        one, there, _ = ring_port(good.one)
        port, here, _ = ring_port(good.other)
        port.add(corrupt := Session(B), RingCarrier(bad.other), None)
        bad.other._reader._control[0] = 1 << 40  # the head that no correct writer stores
        there.wants_to_send([A + b"1"])
        one.flush()
        assert port.receive()
        assert (here.datagrams, corrupt.datagrams) == ([A + b"1"], [])
        assert port.counters["ring_corrupt"] == 1
        assert not port.has_input()
        port.remove(corrupt)
        assert port.counters["ring_corrupt"] == 1


def test_corrupt_ring_is_sent_into_no_more_and_others_go_on(open_ends):
    with open_ends() as bad, open_ends() as good:
        port, there, _ = ring_port(good.one)
        other, here, _ = ring_port(good.other)
        carrier = RingCarrier(bad.one)
        port.add(corrupt := Session(B), carrier, None)
        bad.one._writer._control[16] = 1 << 40  # what no correct reader says it has read
        corrupt.wants_to_send([B + b"1"])
        there.wants_to_send([A + b"1"])
        port.flush()
        assert port.counters["ring_corrupt"] == 1
        corrupt.wants_to_send([B + b"2", B + b"3"])
        there.wants_to_send([A + b"2"])
        port.flush()
        assert carrier.lost == 2
        assert other.receive()
        assert here.datagrams == [A + b"1", A + b"2"]
        port.remove(corrupt)
