"""The socket: what goes out in runs comes in as the same datagrams, and nothing blocks or raises on the way."""

import errno
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from lab.transport import udp
from lab.transport.guard import Guard
from lab.transport.udp import PAYLOAD_BYTES_MAX, UdpSocket, bind_udp

LOOPBACK = "127.0.0.1"


@pytest.fixture
def pair() -> Iterator[tuple[UdpSocket, UdpSocket]]:
    ends = UdpSocket(bind_udp(LOOPBACK)), UdpSocket(bind_udp(LOOPBACK))
    yield ends
    for end in ends:
        end.close()


def everything(end: UdpSocket) -> list[bytes]:
    """What has arrived; loopback delivers before the sender's call returns."""
    found = []
    while end.has_input():
        found += end.receive()
    return found


def numbered(*lengths: int) -> list[bytes]:
    return [bytes([index % 251]) * length for index, length in enumerate(lengths)]


@pytest.mark.parametrize(
    ("lengths", "sends"),
    [
        ((1400,), 1),
        ((1400,) * 40, 1),
        ((1400,) * 40 + (300,), 1),  # the last of a run may be shorter
        ((1400, 300, 300, 1400), 3),  # and ends it: 1400 300 | 300 | 1400
        ((300, 1400, 1400), 2),
        ((1400,) * 100, 3),  # 46 of them are as much as a datagram can be
        ((10,) * 130, 3),  # 64 segments at most
        ((PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX), 2),
        ((0, 0, 5), 3),  # empty ones have no size to be cut by
        ((5, 0), 2),
    ],
)
def test_runs_arrive_as_the_datagrams_they_were(pair, lengths: tuple[int, ...], sends: int):
    one, other = pair
    datagrams = numbered(*lengths)
    one.send(datagrams, other.address)
    assert everything(other) == datagrams
    assert (one.datagrams_sent, one.bytes_sent) == (len(datagrams), sum(lengths))
    assert (other.datagrams_received, other.bytes_received) == (len(datagrams), sum(lengths))
    if one.segment_bytes_max:
        assert one.sends == sends


def without(monkeypatch: pytest.MonkeyPatch, *options: int) -> None:
    """The kernel does not know these options."""
    ask: Callable[..., bool] = udp._ask
    monkeypatch.setattr(
        udp, "_ask", lambda bound, level, option, value: option not in options and ask(bound, level, option, value)
    )


def test_kernel_without_offload_sends_and_receives_one_by_one(monkeypatch):
    without(monkeypatch, udp._UDP_SEGMENT, udp._UDP_GRO, udp._SO_RCVBUFFORCE)
    one, other = UdpSocket(bind_udp(LOOPBACK)), UdpSocket(bind_udp(LOOPBACK))
    datagrams = numbered(*(1400,) * 5, 20)
    one.send(datagrams, other.address)
    assert everything(other) == datagrams
    assert (one.sends, other.reads) == (6, 6)
    assert one.segment_bytes_max == 0
    assert not other.coalesces
    one.close()
    other.close()


class Refusing:
    """A socket whose sends in runs, or all sends, fail with one error."""

    def __init__(self, real: socket.socket, number: int, *, singles: bool) -> None:
        self._real, self._number, self._singles = real, number, singles

    def sendmsg(self, *args: object) -> int:
        raise OSError(self._number, "refused")

    def sendto(self, datagram: bytes, address: udp.Address) -> int:
        if self._singles:
            raise OSError(self._number, "refused")
        return self._real.sendto(datagram, address)


def sends_of(one: UdpSocket, size: int, address: udp.Address) -> int:
    """How many calls four datagrams of `size` take."""
    before = one.sends
    one.send(numbered(*(size,) * 4), address)
    return one.sends - before


@pytest.mark.parametrize(("number", "left"), [(errno.EINVAL, 999), (errno.EMSGSIZE, 999), (errno.EIO, 0)])
def test_way_that_does_not_segment_is_remembered_and_nothing_is_lost(pair, number: int, left: int):
    one, other = pair
    runs = 1 if one.segment_bytes_max else 4
    real = one._socket
    one._socket = Refusing(real, number, singles=False)
    datagrams = numbered(*(1000,) * 4)
    one.send(datagrams, other.address)
    one._socket = real
    assert everything(other) == datagrams
    assert sends_of(one, left + 1, other.address) == 4
    if left:
        assert sends_of(one, left, other.address) == runs
    assert one.unsent == 0


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EMSGSIZE, errno.EIO])
def test_way_that_does_not_segment_slows_no_other_way(pair, number: int):
    one, other = pair
    runs = 1 if one.segment_bytes_max else 4
    real = one._socket
    one._socket = Refusing(real, number, singles=False)
    one.send(numbered(*(1000,) * 4), other.address)
    one._socket = real
    assert sends_of(one, 1000, one.address) == runs


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EMSGSIZE])
def test_nothing_is_learned_of_segments_where_there_is_no_way(pair, number: int):
    one, other = pair
    runs = 1 if one.segment_bytes_max else 4
    real = one._socket
    one._socket = Refusing(real, number, singles=True)
    one.send(numbered(*(1000,) * 4), other.address)
    one._socket = real
    assert one.unsent == 4
    assert sends_of(one, 1000, other.address) == runs


def test_what_is_remembered_of_ways_is_bounded(pair, monkeypatch):
    monkeypatch.setattr(udp, "_SLOW_MAX", 2)
    one, other = pair
    real = one._socket
    one._socket = Refusing(real, errno.EINVAL, singles=False)
    for port in range(other.address[1], other.address[1] + 5):
        one.send(numbered(100, 100), (LOOPBACK, port))
        assert len(one._slow) <= 2
    one._socket = real


@pytest.mark.parametrize("number", [
    errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EPERM, errno.EACCES, errno.EINVAL,
])  # fmt: skip
def test_what_the_network_does_not_take_is_lost_and_counted(pair, number: int):
    one, other = pair
    real = one._socket
    one._socket = Refusing(real, number, singles=True)
    one.send(numbered(9, 1000, 1000, 1000), other.address)
    one._socket = real
    assert (one.unsent, one.oversized, one.datagrams_sent) == (4, 0, 0)
    assert everything(other) == []


def test_too_large_for_the_way_is_lost_and_counted(pair):
    one, other = pair
    one.send([bytes(PAYLOAD_BYTES_MAX + 1), b"fits"], other.address)
    assert everything(other) == [b"fits"]
    assert (one.unsent, one.oversized) == (1, 1)


def test_closed_socket_is_a_bug_and_raises(pair):
    one, other = pair
    one.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        one.send([b"x"], other.address)


def test_datagrams_to_nobody_are_lost_in_silence(pair):
    one, other = pair
    gone = UdpSocket(bind_udp(LOOPBACK))
    address = gone.address
    gone.close()
    one.send([b"to nobody"] * 3, address)
    one.send([b"to somebody"], other.address)
    assert everything(other) == [b"to somebody"]
    assert everything(one) == []


def test_overflow_of_the_receive_buffer_is_counted(monkeypatch):
    monkeypatch.setattr(udp, "BUFFER_BYTES", 4096)
    one, other = UdpSocket(bind_udp(LOOPBACK)), UdpSocket(bind_udp(LOOPBACK))
    for _ in range(100):
        one.send([bytes(1000)], other.address)
    arrived = len(everything(other))
    assert arrived < 100
    one.send([b"the count comes with what is read next"], other.address)
    everything(other)
    assert other.overflowed == 100 - arrived
    one.close()
    other.close()


def test_buffers_are_as_large_as_the_machine_allows(pair):
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    before = bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    end = UdpSocket(bound)
    assert end.receive_buffer_bytes == bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > before
    end.close()


def test_bind_to_an_address_in_use_raises(pair):
    one, _ = pair
    with pytest.raises(OSError, match="in use"):
        bind_udp(*one.address)


def test_addresses_of_ipv6_are_as_good():
    try:
        bound = bind_udp("::1"), bind_udp("::1")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    one, other = map(UdpSocket, bound)
    datagrams = numbered(*(1000,) * 10, 7)
    one.send(datagrams, other.address)
    assert everything(other) == datagrams
    guard = Guard(bound[1])
    guard.admit([datagrams[1][:8]])
    for datagram in datagrams:
        one.send([datagram], other.address)
    assert everything(other) == (datagrams[1:2] if sys.platform == "linux" else datagrams)
    one.close()
    other.close()
