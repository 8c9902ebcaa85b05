"""What clients build on, on a real ensemble: numbers, multi, conditional writes, across a leader's crash (seed S7)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.client.client import Client, MultiFailedError, RequestFailedError, connect
from lab.faults import Crash, Restart
from lab.service.requests import CheckOp, CreateMode, CreateOp, ErrorCode, SetDataOp
from lab.targets.own import OwnTarget


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OwnTarget]:
    made = OwnTarget(voters=3, durability="buffered", data_dir=tmp_path, tick_ms=20)
    made.start()
    yield made
    made.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def client(target: OwnTarget) -> Iterator[Callable[[int], Client]]:
    """Attaches a client to a server."""
    with ExitStack() as stack:
        numbers = iter(range(100))
        yield lambda server: stack.enter_context(connect(target.connector(next(numbers), [server]).text))


def leader(target: OwnTarget) -> int:
    (found,) = (server.id for server in target.servers() if server.role == "leader")
    return found


@pytest.mark.process
@pytest.mark.covers("X-32", "INV-27", "S7")
def test_numbers_go_on_after_the_leader_and_after_everybody(target: OwnTarget, client: Callable[[int], Client]) -> None:
    old = leader(target)
    first, *others = sorted({1, 2, 3} - {old})
    at_first = client(first)
    at_first.create("/q")
    assert at_first.create("/q/a-", sequential=True) == "/q/a-0000000000"
    created, _ = at_first.multi([CreateOp("/q/b-", b"", CreateMode.PERSISTENT_SEQUENTIAL), SetDataOp("/q", b"x")])
    assert created == "/q/b-0000000001"
    at_first.delete("/q/b-0000000001")
    target.inject(Crash(old))
    target.cluster.wait_until_serving(among=[first, *others])
    assert client(first).create("/q/c-", sequential=True) == "/q/c-0000000002"
    for server in (first, *others):
        target.inject(Crash(server))
    for server in (1, 2, 3):
        target.inject(Restart(server))
    target.cluster.wait_until_serving()
    last = client(old)
    assert last.create("/q/d-", sequential=True) == "/q/d-0000000003"
    assert last.children("/q") == ["a-0000000000", "c-0000000002", "d-0000000003"]
    assert len({replica.digest for replica in target.replicas([])}) == 1


@pytest.mark.process
@pytest.mark.covers("S7")
def test_conditional_writes_make_a_counter_and_a_swap(target: OwnTarget, client: Callable[[int], Client]) -> None:
    clients = [client(server) for server in (1, 2, 3)]
    clients[0].create("/counter", b"0")
    refused = 0
    seen = [one.get("/counter") for one in clients]  # stale for all but the fastest
    for turn in range(30):
        one, data = clients[turn % 3], seen[turn % 3]
        try:
            one.set("/counter", b"%d" % (int(data.data) + 1), data.version)
        except RequestFailedError as error:
            if error.code != ErrorCode.BAD_VERSION:
                raise
            refused += 1
        one.sync()
        seen[turn % 3] = one.get("/counter")
    assert refused > 0
    assert int(clients[0].read("/counter", sync=True)) == 30 - refused
    version = clients[0].get("/counter").version
    with pytest.raises(MultiFailedError, match="check /counter: BAD_VERSION"):
        clients[1].multi([CreateOp("/half", b""), CheckOp("/counter", version + 1)])
    assert clients[1].exists("/half") is None
    assert clients[1].multi([CreateOp("/whole", b""), CheckOp("/counter", version)]) == ["/whole", version]
