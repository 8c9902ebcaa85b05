"""What ends the wait of a process with a port."""

import socket
import time
from collections.abc import Iterator
from typing import cast

import pytest

from lab.transport.bell import Bell
from lab.transport.port import Port
from lab.transport.port_waiter import PortWaiter
from lab.transport.udp import bind_udp
from lab.transport.waiter import Wait

LONG_MS = 10_000.0
MS = 1_000_000


class PortWithDeadline(Port):
    due_ns: int | None = None

    def deadline_ns(self) -> int | None:
        return self.due_ns


class Process:
    def __init__(self, wait: Wait) -> None:
        self.bell = Bell.create()
        bound = bind_udp("127.0.0.1")
        self.address = bound.getsockname()
        self.port = PortWithDeadline(bound, b"")
        self.waiter = PortWaiter(self.bell, self.port, wait)

    def wait(self) -> list[int]:
        return self.waiter.wait(LONG_MS, self.port.has_input)

    def close(self) -> None:
        self.waiter.close()
        self.port.close()
        self.bell.close()


@pytest.fixture(params=[Wait.BLOCKING, Wait.ADAPTIVE])
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    made = Process(cast("Wait", request.param))
    yield made
    made.close()


def test_a_datagram_ends_it_and_is_no_descriptor_of_anybody_else(process: Process) -> None:
    with bind_udp("127.0.0.1") as other:
        other.sendto(b"a", process.address)
        while not process.port.has_input():
            assert process.wait() == []
        assert process.wait() == []


def test_it_does_not_end_before_what_is_due(process: Process) -> None:
    process.port.due_ns = due_ns = time.monotonic_ns() + 3 * MS + MS // 2
    while not process.port.has_input() and time.monotonic_ns() < due_ns - MS // 10:
        assert process.wait() == []
        assert time.monotonic_ns() >= due_ns


def test_a_deadline_that_moved_back_ends_one_wait_early_at_most(process: Process) -> None:
    with bind_udp("127.0.0.1") as other:
        process.port.due_ns = time.monotonic_ns() + 50 * MS
        other.sendto(b"a", process.address)
        while not process.port.has_input():
            process.wait()
        process.port.receive()
    process.port.due_ns = due_ns = time.monotonic_ns() + 100 * MS
    waits = 0
    while time.monotonic_ns() < due_ns:
        assert process.wait() == []
        waits += 1
    assert waits <= 2


def test_what_is_overdue_makes_it_a_look(process: Process) -> None:
    mine, others = socket.socketpair()
    with mine, others:
        process.waiter.add(mine.fileno())
        process.port.due_ns = 1
        assert process.wait() == []
        others.send(b"a")
        assert process.wait() == [mine.fileno()]
