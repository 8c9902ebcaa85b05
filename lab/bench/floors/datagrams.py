"""UDP without any protocol: a bare loop of `sendto` and `recvfrom`, and runs of datagrams through the lab's own socket.

Nothing is sent again here.  So that nothing has to be, no more is under way than the receiver's buffer surely holds:
for each half of it the receiver sends one datagram back.
"""

import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from struct import Struct

from lab.bench.floors.light import CYCLE, STALLED_S, TRIPS, WINDOWS, cycle_of, poured, there_and_back
from lab.bench.floors.pair import apart, forked
from lab.bench.probe import Probe, Where
from lab.transport.udp import Address, UdpSocket, bind_udp, enlarge_buffers

UNDER_WAY_BYTES = 1 << 20  # as much as a ring holds
SIZES = (1400, 60_000)
RUN_BYTES = 1400
LOOPBACK = "127.0.0.1"
_TIMEVAL = Struct("@ll")
_yield = getattr(os, "sched_yield", lambda: None)


def measure(where: Where, windows: int = WINDOWS, trips: int = TRIPS) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    for size in SIZES:
        yield _bare(size, windows)
    yield _runs(windows)
    yield _trips_asleep(trips)
    yield _trips_awake(trips)


def _under_way_max(receive_buffer_bytes: int) -> int:
    """A datagram takes up to twice its size in the buffer, and the buffer counts double."""
    return max(min(UNDER_WAY_BYTES, receive_buffer_bytes // 4), 1 << 17)


# -- sendto and recvfrom


def _blocking_socket() -> tuple[socket.socket, int]:
    """A receive gives up with BlockingIOError after STALLED_S, by the kernel: Python's own limit polls at each call."""
    bound = bind_udp(LOOPBACK)
    buffer_bytes, _ = enlarge_buffers(bound)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(STALLED_S), 0))
    return bound, _under_way_max(buffer_bytes)


def _bare(size: int, windows: int) -> Probe:
    (one, under_way_max), (other, _) = _blocking_socket(), _blocking_socket()
    here, there, messages = one.getsockname(), other.getsockname(), cycle_of(size)
    credit = _Credit(under_way_max // 2, lambda: one.sendto(b"", there))

    def arrivals() -> Sequence[bytes]:
        try:
            arrived, _ = one.recvfrom(1 << 16)
        except BlockingIOError:
            return []
        credit.count(size)
        return [arrived]

    with one, other, forked(lambda: _pour(other, here, messages, under_way_max), apart()) as child:
        return poured(f"bare/{size}", arrivals, messages, child, windows, {"datagram_bytes": float(size)})


def _pour(own: socket.socket, to: Address, messages: Sequence[bytes], under_way_max: int) -> None:
    sendto, size, under_way = own.sendto, len(messages[0]), 0
    for message in itertools.cycle(messages):
        while under_way + size > under_way_max:
            own.recv(1)
            under_way -= under_way_max // 2
        sendto(message, to)
        under_way += size


class _Credit:
    """Says whenever so many bytes more have arrived."""

    def __init__(self, every: int, say: Callable[[], object]) -> None:
        self._every, self._say, self._unsaid = every, say, 0

    def count(self, arrived: int) -> None:
        self._unsaid += arrived
        while self._unsaid >= self._every:
            self._unsaid -= self._every
            self._say()


def _trips_asleep(trips: int) -> Probe:
    (one, _), (other, _) = _blocking_socket(), _blocking_socket()
    here, there = one.getsockname(), other.getsockname()

    def trip() -> None:
        one.sendto(b"x", there)
        one.recv(1)

    def echo() -> None:
        while True:
            other.sendto(other.recv(1), here)

    with one, other, forked(echo, apart()):
        return there_and_back("bare/trip-asleep", trip, trips)


# -- runs of datagrams in one call, and looking without sleeping


def _runs(windows: int) -> Probe:
    one, other = UdpSocket(bind_udp(LOOPBACK)), UdpSocket(bind_udp(LOOPBACK))
    under_way_max, messages = _under_way_max(one.receive_buffer_bytes), cycle_of(RUN_BYTES)
    credit = _Credit(under_way_max // 2, lambda: one.send([b""], other.address))

    def arrivals() -> Sequence[bytes]:
        if not _sleep(one):
            return []
        arrived = one.receive()
        credit.count(len(arrived) * RUN_BYTES)
        return arrived

    facts = {"datagram_bytes": float(RUN_BYTES), "offload": float(bool(one.segment_bytes_max and one.coalesces))}
    try:
        with forked(lambda: _pour_runs(other, one.address, messages, under_way_max), apart()) as child:
            return poured(f"runs/{RUN_BYTES}", arrivals, messages, child, windows, facts)
    finally:
        one.close()
        other.close()


def _pour_runs(own: UdpSocket, to: Address, messages: Sequence[bytes], under_way_max: int) -> None:
    under_way = 0
    while True:
        while under_way + CYCLE * RUN_BYTES > under_way_max:
            _sleep(own)
            under_way -= under_way_max // 2 * len(own.receive())
        own.send(messages, to)
        under_way += CYCLE * RUN_BYTES


def _sleep(own: UdpSocket) -> bool:
    """Until something can be received; False: nothing came for STALLED_S."""
    poll = select.poll()
    poll.register(own.fileno(), select.POLLIN)
    return bool(poll.poll(1e3 * STALLED_S))


def _trips_awake(trips: int) -> Probe:
    one, other = UdpSocket(bind_udp(LOOPBACK)), UdpSocket(bind_udp(LOOPBACK))

    def trip() -> None:
        one.send([b"x"], other.address)
        _look_for_input(one)
        one.receive()

    def echo() -> None:
        while True:
            _look_for_input(other)
            other.send(other.receive(), one.address)

    try:
        with forked(echo, apart()):
            return there_and_back("bare/trip-awake", trip, trips)
    finally:
        one.close()
        other.close()


def _look_for_input(own: UdpSocket) -> None:
    until = time.monotonic() + STALLED_S
    while not own.has_input():
        _yield()
        if time.monotonic() > until:
            raise TimeoutError(f"nothing came for {STALLED_S} s")
