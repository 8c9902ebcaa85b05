"""The thread between an agent's stream and local sockets: what it holds is bounded, and no datagram is cut."""

import queue
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from stub_clusters import DEADLINE_S

from lab.cluster.agent_protocol import FRAME_BYTES_MAX, Heard, Start, frame
from lab.cluster.shuttle import DATAGRAM_BYTES_MAX, OUT_BYTES_MAX, Shuttle


class Far:
    """A shuttle, the agent's end of its stream and the local end of the one channel of process 1."""

    def __init__(self) -> None:
        ours, self.agent = socket.socketpair()
        self.lost: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.shuttle = Shuttle("a", ours, [].append, self.lost.put)
        self.local, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.shuttle.relay(1, [its_end])
        self.shuttle.start()

    def close(self) -> None:
        self.shuttle.close()
        for end in (self.agent, self.local):
            end.close()


@pytest.fixture
def far() -> Iterator[Far]:
    made = Far()
    yield made
    made.close()


def test_a_host_whose_agent_takes_nothing_of_what_it_is_told_is_lost(far, monkeypatch) -> None:
    assert FRAME_BYTES_MAX < OUT_BYTES_MAX, "one request is no backlog"
    monkeypatch.setattr("lab.cluster.shuttle.OUT_BYTES_MAX", 1 << 20)
    far.shuttle.send(Start(1, 1, "job", "echo", [], bytes(3 << 20)))
    assert far.lost.get(timeout=DEADLINE_S) == "its agent does not keep up: more than 1,048,576 bytes for it wait"


def test_a_host_is_lost_if_nobody_here_reads_what_its_process_says(far, monkeypatch) -> None:
    """Up to the bound it waits (`test_what_a_process_said_last_is_heard_although_it_has_ended`)."""
    monkeypatch.setattr("lab.cluster.shuttle.WAITING_BYTES_MAX", 1 << 20)
    far.agent.settimeout(DEADLINE_S)
    with suppress(BrokenPipeError, ConnectionResetError):  # it takes no more
        for _ in range(100):
            far.agent.sendall(frame(Heard(1, 0, bytes(1 << 16))))
    reason = far.lost.get(timeout=DEADLINE_S)
    assert reason == "nobody here reads what its process 1 says: more than 1,048,576 bytes wait"


def test_what_is_read_in_time_is_not_counted(far, monkeypatch) -> None:
    monkeypatch.setattr("lab.cluster.shuttle.WAITING_BYTES_MAX", 1 << 20)
    far.local.settimeout(DEADLINE_S)
    for n in range(100):
        far.agent.sendall(frame(Heard(1, 0, bytes([n]) * (1 << 16))))
        assert far.local.recv(1 << 17) == bytes([n]) * (1 << 16)
    assert far.lost.empty()


def test_a_datagram_beyond_the_bound_is_not_cut(far) -> None:
    far.local.send(bytes(DATAGRAM_BYTES_MAX + 1))
    assert far.lost.get(timeout=DEADLINE_S) == "a datagram above 65,536 bytes for its process 1"
