"""The guard: up while there is a flood and not for anything less; then friends pass, and strangers cost nothing."""

import sys
from collections.abc import Iterator

import pytest

from lab.transport.guard import FLOOD, FLOOD_NS, FULL_TURNS, HOLD_NS, PREFIXES_MAX, STILL_FLOOD, Guard
from lab.transport.udp import UdpSocket, bind_udp

LOOPBACK = "127.0.0.1"
A, B, C = b"prefix-a", b"prefix-b", b"prefix-c"


class Ends:
    """A guarded socket, and one that sends to it."""

    def __init__(self) -> None:
        bound = bind_udp(LOOPBACK)
        self.guard = Guard(bound)
        self.inside = UdpSocket(bound)
        self.outside = UdpSocket(bind_udp(LOOPBACK))

    def arrived(self, *datagrams: bytes) -> list[bytes]:
        """What is there to be read after these were sent one by one."""
        for datagram in datagrams:
            self.outside.send([datagram], self.inside.address)
        found = []
        while self.inside.has_input():
            found += self.inside.receive()
        return found


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.inside.close()
    made.outside.close()


needs_filters = pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")


@needs_filters
def test_only_known_prefixes_pass(ends):
    ends.guard.admit([A, B])
    assert ends.guard.is_up
    friends = [A, A + b"x" * 1392, B + b"payload", B]
    strangers = [b"", b"x", A[:7], C, C + b"x", b"x" + A, A[:4] + B[4:7] + b"x", bytes(60_000)]
    assert ends.arrived(*friends, *strangers) == friends
    ends.guard.admit([C])
    assert ends.arrived(A, C, B) == [C]
    ends.guard.admit([])
    assert ends.arrived(A, C, B) == []


@needs_filters
def test_runs_of_friends_pass_whole(ends):
    ends.guard.admit([A])
    run = [A + bytes([number]) * 1000 for number in range(20)]
    ends.outside.send(run, ends.inside.address)
    assert ends.arrived() == run


@needs_filters
def test_every_prefix_of_many_counts(ends):
    prefixes = [number.to_bytes(8, "big") for number in range(PREFIXES_MAX)]
    ends.guard.admit(prefixes)
    assert ends.guard.is_up
    chosen = [prefixes[0], prefixes[64], prefixes[-1]]
    assert ends.arrived(*chosen, PREFIXES_MAX.to_bytes(8, "big")) == chosen


@pytest.mark.parametrize("was_up", [False, True])
def test_too_many_prefixes_for_a_program_let_everything_pass(ends, was_up: bool):
    if was_up:
        ends.guard.admit([B])
    ends.guard.admit([number.to_bytes(8, "big") for number in range(PREFIXES_MAX + 1)])
    assert not ends.guard.is_up
    assert ends.arrived(A) == [A]


def test_system_without_filters_reads_everything(monkeypatch):
    class Refusing:
        def setsockopt(self, *args: object) -> None:
            raise OSError(92, "Protocol not available")

    guard = Guard(Refusing())
    guard.on_turn(FLOOD, False, [A], FLOOD_NS - 1)
    assert not guard.is_up


@pytest.mark.parametrize(
    ("turns", "is_up"),
    [
        ([(FLOOD, False, FLOOD_NS - 1)], True),
        ([(FLOOD - 1, False, FLOOD_NS - 1)], False),
        ([(FLOOD, False, FLOOD_NS)], False),  # as many, not as fast
        ([(FLOOD // 2, False, FLOOD_NS), (FLOOD + 10, False, 2 * FLOOD_NS)], False),
        ([(FLOOD // 2, False, FLOOD_NS), (2 * FLOOD, False, 2 * FLOOD_NS - 1)], True),
        ([(64 * n, True, n * 10**12) for n in range(1, FULL_TURNS + 1)], True),  # slow, but never done
        ([(64 * n, True, n * 10**12) for n in range(1, FULL_TURNS)], False),
        ([(64 * n, n != 2, n * 10**12) for n in range(1, FULL_TURNS + 1)], False),  # not in a row
    ],
)
@needs_filters
def test_flood_is_what_is_fast_or_never_done(ends, turns, is_up: bool):
    for foreign, is_full, now in turns:
        ends.guard.on_turn(foreign, is_full, [A], now)
    assert ends.guard.is_up == is_up
    assert ends.arrived(A, B) == ([A] if is_up else [A, B])


@needs_filters
def test_guard_stays_up_as_long_as_the_flood_does(ends):
    ends.guard.on_turn(FLOOD, False, [A], 0)
    assert ends.guard.is_up
    ends.arrived(*[b"flood"] * STILL_FLOOD)
    ends.guard.on_turn(FLOOD, False, [A], HOLD_NS - 1)
    assert ends.guard.filtered == 0  # it has not looked
    ends.guard.on_turn(FLOOD, False, [A], HOLD_NS)
    assert (ends.guard.is_up, ends.guard.filtered) == (True, STILL_FLOOD)
    ends.arrived(*[b"flood"] * (STILL_FLOOD - 1))
    ends.guard.on_turn(FLOOD, False, [A], 2 * HOLD_NS)
    assert (ends.guard.is_up, ends.guard.filtered) == (False, 2 * STILL_FLOOD - 1)
    assert ends.arrived(A, B) == [A, B]
    assert not ends.guard.is_alert
