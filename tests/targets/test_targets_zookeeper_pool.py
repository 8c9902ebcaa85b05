"""A load process's sessions with ZooKeeper against a server that says what the test wants."""

import json
import os
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from zookeeper_replies import SESSION, connect_response, get_reply, set_reply

from lab.targets.errors import OpeningError
from lab.targets.opening import Arrival, decoder_of, open_sessions
from lab.targets.zookeeper import jute
from lab.targets.zookeeper.pool import CXID_LAST, ZooKeeperSessions

DEADLINE_S = 10.0


class FakeServer:
    """Listens; every connection is the test's to serve."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE_S)
        self.port = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(DEADLINE_S)
        self.connections.append(connection)
        return connection

    def close(self) -> None:
        for each in (self.listener, *self.connections):
            each.close()


def hear(connection: socket.socket) -> bytes:
    """One frame of a client."""
    size = connection.recv(4, socket.MSG_WAITALL)
    return size + connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)


@pytest.fixture
def servers() -> Iterator[list[FakeServer]]:
    made = [FakeServer(), FakeServer()]
    yield made
    for server in made:
        server.close()


def sessions_of(servers: list[FakeServer], to: list[int], patience_ms: float = 10_000.0) -> ZooKeeperSessions:
    ports = {number: server.port for number, server in enumerate(servers, 1)}
    text = json.dumps({"target": "zookeeper", "client": 0, "ports": ports, "servers": to})
    sessions = open_sessions(text, patience_ms=patience_ms, exact_timer=False)
    assert isinstance(sessions, ZooKeeperSessions)
    return sessions


def attach(sessions: ZooKeeperSessions, server: FakeServer) -> socket.socket:
    """Let the one session that dials attach to this server."""
    sessions.look()
    connection = server.accept()
    until(sessions, lambda: _greeted(connection))
    hear(connection)
    connection.sendall(connect_response())
    until(sessions, lambda: bool(sessions.attached))
    return connection


def _greeted(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0.0)[0])


def until(sessions: ZooKeeperSessions, done: Callable[[], bool]) -> None:
    """Let sessions do what they do, without any answer, until that holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        assert sessions.receive() == []
        sessions.wait(time.monotonic_ns() + 1_000_000)


def arrivals(sessions: ZooKeeperSessions, count: int) -> list[Arrival]:
    found: list[Arrival] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < count:
        assert time.monotonic() < deadline
        sessions.wait(time.monotonic_ns() + 1_000_000)
        found += sessions.receive()
    return found


def test_requests_of_a_batch_arrive_in_one_piece_and_replies_are_counted(servers: list[FakeServer]) -> None:
    sessions = sessions_of(servers, [1])
    server = attach(sessions, servers[0])
    assert (sessions.attached, sessions.ids) == ([0], [SESSION])
    batch = [sessions.set_data(1, "/a", b"x"), sessions.get_data(2, "/a")]
    assert sessions.send(0, batch)
    assert [hear(server), hear(server)] == batch
    answer = set_reply(1, 0x10) + get_reply(2, 0x10, 0x10, b"x")
    server.sendall(answer)
    assert arrivals(sessions, 1) == [(0, answer, 2)]
    assert list(sessions.decode(answer).cxids) == [1, 2]
    assert decoder_of("zookeeper")(answer) == sessions.decode(answer)
    sessions.close()


def test_a_connection_that_ends_loses_what_is_outstanding_and_the_session_goes_on_elsewhere(
    servers: list[FakeServer],
) -> None:
    sessions = sessions_of(servers, [1])
    server = attach(sessions, servers[0])
    sessions.send(0, [sessions.set_data(1, "/a", b"x"), sessions.set_data(2, "/a", b"y")])
    server.sendall(set_reply(1, 0x10))
    assert arrivals(sessions, 1) == [(0, set_reply(1, 0x10), 1)]
    server.close()
    assert arrivals(sessions, 1) == [(0, None, 1)]
    assert sessions.attached == []
    sessions.look()
    second = servers[1].accept()
    until(sessions, lambda: _greeted(second))
    assert hear(second) == jute.connect(0x15, 30_000, SESSION, b"p" * 16)
    sessions.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x7f\xff\xff\xff" + b"x" * 99, "a reply of 2147483647 bytes"),
        (set_reply(1, 1) + set_reply(2, 2), "2 replies to 1 requests"),
    ],
)
def test_a_server_that_speaks_nonsense_costs_the_session_its_connection(
    servers: list[FakeServer], said: bytes, reason: str
) -> None:
    sessions = sessions_of(servers, [1])
    server = attach(sessions, servers[0])
    sessions.send(0, [sessions.set_data(1, "/a", b"x")])
    server.sendall(said)
    assert arrivals(sessions, 1) == [(0, None, 1)]
    assert reason in sessions._places[0].session.reason
    sessions.close()


def test_a_server_that_owes_an_answer_for_too_long_is_left(servers: list[FakeServer]) -> None:
    sessions = sessions_of(servers, [1], patience_ms=50.0)
    attach(sessions, servers[0])
    sessions.send(0, [sessions.sync(1)])
    assert arrivals(sessions, 1) == [(0, None, 1)]
    assert "server 1: no answer for 50 ms" in sessions._places[0].session.reason
    sessions.close()


def test_a_server_that_refuses_is_asked_again_and_named_in_the_end(servers: list[FakeServer]) -> None:
    servers[0].listener.close()
    sessions = sessions_of(servers, [1])
    with pytest.raises(OpeningError, match=r"server 1 has accepted no session within 0.2 s: server 1: Connection ref"):
        sessions.open(0.2)
    sessions.close()


def test_opening_ends_when_a_watched_descriptor_becomes_readable(servers: list[FakeServer]) -> None:
    sessions = sessions_of(servers, [1])
    end, other = os.pipe()
    sessions.watch(end)
    os.close(other)
    with pytest.raises(OpeningError, match="told to end before every session was attached"):
        sessions.open(DEADLINE_S)
    os.close(end)
    sessions.close()


def test_more_than_the_socket_takes_is_sent_as_it_drains(servers: list[FakeServer]) -> None:
    sessions = sessions_of(servers, [1])
    server = attach(sessions, servers[0])
    batch = [sessions.set_data(i, "/a", bytes(1 << 20)) for i in range(1, 13)]
    assert sessions.send(0, batch)
    left = sum(map(len, batch))
    server.setblocking(False)
    deadline = time.monotonic() + DEADLINE_S
    while left:
        assert time.monotonic() < deadline
        sessions.receive()
        try:
            left -= len(server.recv(1 << 22))
        except BlockingIOError:
            continue
    sessions.close()


def test_before_request_numbers_run_out_it_says_so(servers: list[FakeServer]) -> None:
    sessions = sessions_of(servers, [1])
    attach(sessions, servers[0])
    with pytest.raises(OpeningError, match=r"536,805,375 requests of one client at most"):
        sessions.send(0, [sessions.sync(CXID_LAST + 1)])
    sessions.close()
