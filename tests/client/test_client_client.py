"""The synchronous client, its pool of sessions and its links, against servers over real shared memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fake_ensemble import FakeEnsemble

from lab.client.client import Client, MultiFailedError, NotSentError, OutcomeUnknownError, RequestFailedError, connect
from lab.client.links import LinksError, open_endpoint
from lab.client.pool import SessionPool
from lab.service.requests import (
    MULTI_OPS_MAX,
    CheckOp,
    Create,
    Created,
    CreateMode,
    CreateOp,
    DeleteOp,
    Done,
    ErrorCode,
    MultiDone,
    MultiFailed,
    Request,
    SetData,
)
from lab.transport.timer import Timer

MS = 1_000_000


@pytest.fixture
def ensemble() -> Iterator[FakeEnsemble]:
    with FakeEnsemble() as servers:
        yield servers


def client_of(ensemble: FakeEnsemble, server: int = 1, timeout_s: float = 10.0, patience_ms: int = 10_000) -> Client:
    return connect(ensemble.connector(0, [server]).text, timeout_s, patience_ms * MS)


@contextmanager
def pool_of(ensemble: FakeEnsemble, servers: list[int], patience_ms: int = 10_000) -> Iterator[SessionPool]:
    pool = SessionPool(open_endpoint(ensemble.connector(0, servers).fds[0]), servers, patience_ms * MS)
    try:
        pool.open(10.0)
        yield pool
    finally:
        pool.close()


def servers_of(pool: SessionPool) -> list[int | None]:
    return [pool.sessions[index].server for index in pool.attached]


def pump(pool: SessionPool, until: object, timeout_s: float = 10.0) -> list[tuple[int, bytes | None, int]]:
    """Receive until `until()` holds."""
    deadline, arrived = time.monotonic() + timeout_s, []
    while not until():
        assert time.monotonic() < deadline, (pool.attached, [session.reason for session in pool.sessions])
        got = pool.receive()
        arrived += got
        if not got:
            pool.wait(time.monotonic_ns() + 20 * MS)
    return arrived


def test_a_client_creates_reads_changes_and_deletes(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble) as client:
        created = client.create("/a", b"one")
        assert client.get("/a").mzxid == created
        assert client.set("/a", b"two").version == 1
        assert client.read("/a", sync=True) == b"two"
        assert client.exists("/a").data_length == 3
        assert client.exists("/b") is None
        assert client.children("/") == ["a"]
        assert client.delete("/a") > created
        assert client.last_zxid == ensemble.zxid


def test_a_sequential_create_gives_the_path_and_a_plain_one_the_zxid(ensemble: FakeEnsemble) -> None:
    def number(_: int, request: Request) -> Created | None:
        if isinstance(request, Create) and request.flags == CreateMode.PERSISTENT_SEQUENTIAL:
            return Created(request.cxid, ensemble.zxid, f"{request.path}0000000007")
        return None

    ensemble.on_request = number
    with client_of(ensemble) as client:
        assert client.create("/q-", b"x", sequential=True) == "/q-0000000007"
        assert client.create("/q", b"x") == ensemble.zxid


def test_a_multi_gives_a_result_of_each_op(ensemble: FakeEnsemble) -> None:
    ensemble.on_request = lambda _, request: MultiDone(request.cxid, ensemble.zxid, ["/q-0000000007", 3])
    with client_of(ensemble) as client:
        assert client.multi([CreateOp("/q-", b"", CreateMode.PERSISTENT_SEQUENTIAL), CheckOp("/a", 3)]) == [
            "/q-0000000007",
            3,
        ]


def test_a_multi_that_fails_names_the_op_and_the_reason(ensemble: FakeEnsemble) -> None:
    errors = [ErrorCode.OK, ErrorCode.BAD_VERSION, ErrorCode.RUNTIME_INCONSISTENCY]
    ensemble.on_request = lambda _, request: MultiFailed(request.cxid, ensemble.zxid, errors)
    ops = [CreateOp("/a", b""), CheckOp("/b", 7), DeleteOp("/c")]
    with client_of(ensemble) as client, pytest.raises(MultiFailedError, match=r"^check /b: BAD_VERSION$") as caught:
        client.multi(ops)
    assert (caught.value.index, caught.value.code, caught.value.errors) == (1, ErrorCode.BAD_VERSION, errors)


@pytest.mark.parametrize("count", [0, MULTI_OPS_MAX + 1])
def test_a_multi_that_no_server_would_read_is_not_sent(ensemble: FakeEnsemble, count: int) -> None:
    with client_of(ensemble) as client:
        with pytest.raises(ValueError, match=f"not {count}$"):
            client.multi([DeleteOp("/a")] * count)
        assert not ensemble.log


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda client: client.create("/a"), ErrorCode.NODE_EXISTS),
        (lambda client: client.set("/missing", b""), ErrorCode.NO_NODE),
        (lambda client: client.set("/a", b"", version=7), ErrorCode.BAD_VERSION),
        (lambda client: client.get("/missing"), ErrorCode.NO_NODE),
    ],
)
def test_a_failure_is_definite_and_names_request_and_reason(ensemble, action, code) -> None:
    with client_of(ensemble) as client:
        client.create("/a")
        with pytest.raises(RequestFailedError, match=code.name) as caught:
            action(client)
        assert caught.value.code == code


def test_a_request_whose_server_dies_is_unknown_and_the_session_goes_on_elsewhere(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble) as client:
        seen = client.create("/a")
        ensemble.on_request = lambda server, _: ensemble.kill(server)
        with pytest.raises(OutcomeUnknownError, match="server 1"):
            client.set("/a", b"x")
        ensemble.on_request = None
        assert client.set("/a", b"y").zxid > seen
        assert client.server == 2
    server, last = ensemble.connects[-1]
    assert (server, last.attachment, last.session) == (2, 2, client.session)
    assert last.last_zxid == seen


def test_a_session_that_its_server_closes_goes_round_the_servers(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble) as client:
        client.create("/a")
        for server, next_server in ((1, 2), (2, 3), (3, 1)):
            ensemble.close_sessions(server)
            pump(client._pool, lambda to=next_server: client.server == to)
        assert [connect.attachment for _, connect in ensemble.connects] == [1, 2, 3, 4]


def test_servers_that_refuse_are_tried_again_until_one_accepts(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble) as client:
        client.create("/a")
        ensemble.refusing = {1, 2, 3}
        ensemble.close_sessions(1)
        pump(client._pool, lambda: {server for server, _ in ensemble.connects} == {1, 2, 3})
        client._timeout_s = 0.05
        with pytest.raises(NotSentError, match="does not serve"):
            client.set("/a", b"x")
        client._timeout_s = 10.0
        ensemble.refusing = {1, 2}
        assert client.set("/a", b"y").version == 1
        assert client.server == 3


def test_a_frozen_server_is_given_up_when_patience_ends(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble, patience_ms=500) as client:
        client.create("/a")
        ensemble.freeze(1)
        with pytest.raises(OutcomeUnknownError, match="server 1 has not answered for 500 ms"):
            client.set("/a", b"x")
        version = client.set("/a", b"y").version
        assert client.server == 2
        ensemble.thaw(1)  # it answers now what was asked long ago, and nobody listens
        ensemble.wait_for(lambda: ensemble.log.count((1, "SetData")) == 1, "the thawed server answers")
        assert client.set("/a", b"z").version == version + 2
        assert client.server == 2


def test_others_go_before_a_server_that_was_silent_until_it_speaks_again(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble, patience_ms=500) as client:
        client.create("/a")
        ensemble.freeze(1)
        with pytest.raises(OutcomeUnknownError):
            client.set("/a", b"x")
        pump(client._pool, lambda: client.server == 2)
        for server, next_server in ((2, 3), (3, 2)):
            ensemble.close_sessions(server)
            pump(client._pool, lambda to=next_server: client.server == to)
        ensemble.thaw(1)
        pump(client._pool, lambda: not client._pool._silent)
        for server, next_server in ((2, 3), (3, 1)):
            ensemble.close_sessions(server)
            pump(client._pool, lambda to=next_server: client.server == to)


def test_an_answer_that_comes_after_the_time_limit_is_not_taken_for_the_next_one(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble, timeout_s=0.1) as client:
        client.create("/a")
        for server in (1, 2, 3):
            ensemble.freeze(server)
        with pytest.raises(OutcomeUnknownError, match=r"no answer within 0\.1 s"):
            client.set("/a", b"x")
        client._timeout_s = 10.0
        ensemble.thaw(1)
        client._pool.patience_ns = 50 * MS
        pump(client._pool, lambda: client.server == 1)
        client._pool.patience_ns = 10_000 * MS
        assert client.read("/a") in (b"", b"x")


def test_a_cut_link_loses_what_was_outstanding(ensemble: FakeEnsemble) -> None:
    with pool_of(ensemble, [1]) as pool:
        ensemble.freeze(1)
        assert pool.send(0, [SetData(1, "/a", b""), SetData(2, "/a", b"")])
        ensemble.cut(1)
        arrived = pump(pool, lambda: servers_of(pool) == [2])
        assert arrived == [(0, None, 2)]


def test_what_a_dying_server_had_answered_still_counts(ensemble: FakeEnsemble) -> None:
    with pool_of(ensemble, [1]) as pool:

        def die_at_the_third(server: int, request: object) -> None:
            if server == 1 and request.cxid == 3:
                ensemble.freeze(1)

        ensemble.on_request = die_at_the_third
        pool.send(0, [SetData(1, "/a", b""), SetData(2, "/a", b"")])
        ensemble.wait_for(lambda: len(ensemble.log) == 2, "both are answered")
        pool.send(0, [SetData(3, "/a", b"")])
        ensemble.wait_for(lambda: 1 in ensemble.frozen, "the third was seen")
        ensemble.kill(1)
        arrived = pump(pool, lambda: servers_of(pool) == [2])
        assert sum(count for _, frame, count in arrived if frame is not None) >= 2
        assert sum(count for _, frame, count in arrived) == 3


def test_one_session_for_each_server_and_a_lost_one_waits_for_a_free_link(ensemble: FakeEnsemble) -> None:
    with pool_of(ensemble, [1, 2, 3]) as pool:
        assert servers_of(pool) == [1, 2, 3]
        ensemble.kill(2)
        pump(pool, lambda: pool.attached == [0, 2])
        assert servers_of(pool) == [1, 3], "a link carries one session"
        ensemble.restart(2)
        pump(pool, lambda: servers_of(pool) == [1, 2, 3])


def test_a_session_begins_at_its_own_server_even_if_others_would_take_it(ensemble: FakeEnsemble) -> None:
    ensemble.refusing = {3}
    with pytest.raises(LinksError, match=r"server 3 has not accepted a session within 0\.05 s: .*does not serve"):
        client_of(ensemble, server=3, timeout_s=0.05)
    assert {server for server, _ in ensemble.connects} == {3}


def test_a_server_that_answers_what_nobody_asked_is_an_error(ensemble: FakeEnsemble) -> None:
    with client_of(ensemble) as client:
        client.create("/a")
        ensemble.say(1, Done(1, 1, 1))
        with pytest.raises(Exception, match="server 1 sent 1 replies to 0 requests"):
            ensemble.wait_for(lambda: bool(client._pool.receive()), "something arrives")


def test_the_end_of_the_supervisor_is_noticed(ensemble: FakeEnsemble) -> None:
    with pool_of(ensemble, [1]) as pool:
        ensemble._clients[0].control._socket.shutdown(2)
        with pytest.raises(LinksError, match="supervisor is gone"):
            pump(pool, lambda: False)


def test_without_a_welcome_there_are_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.transport.control import ControlSocket

    one, other = ControlSocket.pair()
    monkeypatch.setattr("lab.client.links.WELCOME_TIMEOUT_S", 0.01)
    with pytest.raises(LinksError, match=r"no welcome .* within 0\.01 s"):
        open_endpoint(other._socket.detach())
    one.close()


def test_a_timer_makes_a_wait_end_between_two_milliseconds(ensemble: FakeEnsemble) -> None:
    with pool_of(ensemble, [1]) as pool:
        pool.endpoint.use_timer()
        pool.endpoint.wait(time.monotonic_ns() + 200_000)
        timer = Timer()
        timer.set(1)
        timer.clear()
        timer.close()


def test_requests_larger_than_the_ring_arrive_as_it_gets_room(ensemble: FakeEnsemble) -> None:
    value = bytes(1 << 20)  # the ring holds less than one of them
    with pool_of(ensemble, [1], patience_ms=60_000) as pool:
        for cxid in range(1, 5):
            assert pool.send(0, [SetData(cxid, "/a", value)])
        assert len(pump(pool, lambda: not pool.sessions[0].outstanding)) == 4


def test_a_server_that_closes_its_links_and_ends_at_once_is_news_to_nobody_who_watches(ensemble: FakeEnsemble) -> None:
    with pool_of(ensemble, [1]) as pool:
        ensemble.exit(1)
        ready = []
        while 1 in pool.endpoint.links:
            ready += pool.wait(time.monotonic_ns() + 10 * MS)
        assert ready == [], "a load process takes what is ready for a command, or for the end of its harness"
