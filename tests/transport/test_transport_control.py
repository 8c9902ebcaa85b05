"""Control sockets: whole datagrams, descriptors, bounds, EOF."""

import fcntl
import os
from collections.abc import Iterator

import pytest

from lab.transport.control import DATAGRAM_BYTES_MAX, FDS_MAX, ControlSocket

Pair = tuple[ControlSocket, ControlSocket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = ControlSocket.pair()
    yield ends
    for end in ends:
        end.close()


def test_datagrams_arrive_whole_and_in_order(pair: Pair) -> None:
    one, other = pair
    largest = bytes(DATAGRAM_BYTES_MAX)
    one.send(b"first")
    one.send(largest)
    assert other.receive() == (b"first", [])
    assert other.receive() == (largest, [])


def test_descriptors_travel_and_are_close_on_exec(pair: Pair) -> None:
    one, other = pair
    read_end, write_end = os.pipe()
    one.send(b"pipe", (read_end, write_end))
    received = other.receive()
    assert received is not None
    data, fds = received
    try:
        assert data == b"pipe"
        assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in fds)
        os.write(write_end, b"x")
        assert os.read(fds[0], 1) == b"x"
    finally:
        for fd in (read_end, write_end, *fds):
            os.close(fd)


def test_nothing_there_is_not_eof(pair: Pair) -> None:
    one, other = pair
    other.set_blocking(False)
    with pytest.raises(BlockingIOError):
        other.receive()
    one.close()
    assert other.receive() is None


def test_a_datagram_unread_by_a_dead_end_is_eof_too(pair: Pair) -> None:
    one, other = pair
    other.send(b"never read")
    one.close()
    assert other.receive() is None


def test_sending_to_a_closed_end_says_so(pair: Pair) -> None:
    one, other = pair
    other.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        one.send(b"anybody?")


def test_the_sender_keeps_to_the_bounds(pair: Pair) -> None:
    one, _ = pair
    with pytest.raises(ValueError, match=str(DATAGRAM_BYTES_MAX)):
        one.send(bytes(DATAGRAM_BYTES_MAX + 1))
    with pytest.raises(ValueError, match=str(FDS_MAX)):
        one.send(b"", [0] * (FDS_MAX + 1))


def test_a_datagram_beyond_the_bounds_is_refused(pair: Pair) -> None:
    one, other = pair
    os.write(one.fileno(), bytes(DATAGRAM_BYTES_MAX + 1))
    with pytest.raises(ValueError, match=str(DATAGRAM_BYTES_MAX)):
        other.receive()


def test_an_inherited_descriptor_is_adopted(pair: Pair) -> None:
    one, other = pair
    adopted = ControlSocket.adopt(os.dup(other.fileno()))
    one.send(b"to the heir")
    assert adopted.receive() == (b"to the heir", [])
    adopted.close()
