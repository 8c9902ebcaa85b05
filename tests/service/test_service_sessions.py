"""Sessions of a whole simulated ensemble: order of replies, zxids, attachments (zab.md 5.4, 5.6 to 5.9)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.service.requests import (
    CheckOp,
    Children,
    Closed,
    Connected,
    Create,
    Created,
    CreateOp,
    Data,
    Delete,
    DeleteOp,
    Done,
    ErrorCode,
    Exists,
    Failed,
    GetChildren,
    GetData,
    Multi,
    MultiDone,
    MultiFailed,
    Request,
    SetData,
    SetDataOp,
    Sync,
)
from lab.sim.client import Client, Operation, Outcome
from lab.sim.world import World
from lab.zab.config import ZabConfig

THREE = ZabConfig(voters=(1, 2, 3), observers=(4,))
LEADER, FOLLOWER, OBSERVER = 3, 1, 4
EVERYWHERE = pytest.mark.parametrize("server", [LEADER, FOLLOWER, OBSERVER])


def serving_world(config: ZabConfig = THREE) -> World:
    world = World(config)
    world.start()
    world.run_until_serving(20)
    return world


def attach(world: World, server: int, client: Client | None = None) -> Client:
    client = client or world.add_client()
    client.attach(world.machines[server].ports)
    world.settle()
    return client


def outcomes(client: Client) -> list[Outcome]:
    return [operation.outcome for operation in client.operations]


def replies(client: Client) -> list[object]:
    return [operation.reply for operation in client.operations]


@EVERYWHERE
@pytest.mark.covers("S80", "INV-22")
def test_reads_wait_for_the_writes_before_them(server: int):
    world = serving_world()
    client = attach(world, server)
    client.submit(Create(1, "/a", b"0"), GetData(2, "/a"), SetData(3, "/a", b"1"), GetData(4, "/a"), Exists(5, "/b"))
    world.settle()
    _, first, done, second, missing = replies(client)
    assert isinstance(first, Data)
    assert isinstance(second, Data)
    assert isinstance(missing, Failed)
    assert (first.data, first.version, second.data, second.version) == (b"0", 0, b"1", 1)
    assert first.zxid < done.zxid == second.zxid == missing.zxid  # type: ignore[union-attr]


@pytest.mark.covers("S29", "S70")
def test_reads_of_a_session_without_writes_do_not_wait_for_others():
    world = serving_world()
    writer, reader = attach(world, FOLLOWER), attach(world, FOLLOWER)
    world.held = {(FOLLOWER, LEADER)}
    writer.submit(Create(1, "/a", b""))
    reader.submit(Exists(1, "/a"))
    world.settle()
    assert outcomes(writer) == [Outcome.PENDING]
    assert isinstance(replies(reader)[0], Failed)


@EVERYWHERE
def test_a_sequential_create_is_told_its_path_wherever_it_asks(server: int):
    world = serving_world()
    client = attach(world, server)
    client.submit(Create(1, "/plain", b""), Create(2, "/q-", b"x", 2), GetData(3, "/q-0000000001"))
    world.settle()
    plain, created, data = replies(client)
    assert isinstance(plain, Done)
    assert isinstance(created, Created)
    assert (created.cxid, created.path) == (2, "/q-0000000001")
    assert isinstance(data, Data)
    assert (data.mzxid, data.data) == (created.zxid, b"x")


@EVERYWHERE
def test_a_multi_is_one_write_with_one_zxid_wherever_it_is_asked(server: int):
    world = serving_world()
    client = attach(world, server)
    numbered = "/q-0000000001"
    ops = [CreateOp("/a", b"1"), CreateOp("/q-", b"", 2), SetDataOp("/a", b"2"), CheckOp("/a", 1), DeleteOp(numbered)]
    client.submit(GetData(1, "/a"), Multi(2, ops), GetData(3, "/a"), Exists(4, numbered))
    world.settle()
    before, done, data, gone = replies(client)
    assert isinstance(before, Failed)
    assert isinstance(done, MultiDone)
    assert done.results == ["/a", numbered, 1, 1, 0]
    assert isinstance(data, Data)
    assert (data.mzxid, data.version, data.data) == (done.zxid, 1, b"2")
    assert isinstance(gone, Failed)
    assert {machine.server.applied_zxid for machine in world.machines.values() if machine.server} == {done.zxid}


@EVERYWHERE
def test_a_multi_that_fails_is_told_why_and_changes_nothing(server: int):
    world = serving_world()
    client = attach(world, server)
    client.submit(
        Create(1, "/a", b"1"),
        Multi(2, [SetDataOp("/a", b"2"), DeleteOp("/missing"), CreateOp("/b", b"")]),
        GetData(3, "/a"),
        GetChildren(4, "/"),
    )
    world.settle()
    created, failed, data, children = replies(client)
    assert isinstance(created, Done)
    assert isinstance(failed, MultiFailed)
    assert failed.errors == [ErrorCode.OK, ErrorCode.NO_NODE, ErrorCode.RUNTIME_INCONSISTENCY]
    assert failed.zxid == created.zxid + 1  # refused in its place among the writes
    assert isinstance(data, Data)
    assert data.data == b"1"
    assert isinstance(children, Children)
    assert children.names == ["a"]


@pytest.mark.covers("X-31")
def test_a_multi_is_whole_in_a_snapshot_that_is_taken_amid_multis():
    """ZOOKEEPER-3127.  The snapshot is several frames long; each arrives while the leader applies another multi."""
    world = serving_world(ZabConfig(voters=(1, 2, 3), observers=(4,), commit_log_count=1))
    client = attach(world, LEADER)
    first, *between, last = "/a", "/b", "/c", "/z"
    client.submit(*[Create(client.next_cxid(), path, bytes(200 << 10)) for path in (first, *between, last)])
    world.settle()
    world.crash(OBSERVER)
    world.wipe(OBSERVER)
    world.held = {(LEADER, OBSERVER)}
    world.start(OBSERVER)
    for turn in range(30):
        client.submit(Multi(client.next_cxid(), [SetDataOp(path, b"%d" % turn) for path in (first, last)]))
        world.settle()
        world.network.deliver(LEADER, OBSERVER, learner=1)
        world.settle()
        nodes = world.machines[OBSERVER].server.tree.nodes  # type: ignore[union-attr]
        assert first not in nodes or nodes[first].data == nodes[last].data
    world.held = set()
    world.run_until_serving(20)
    nodes = world.machines[OBSERVER].server.tree.nodes  # type: ignore[union-attr]
    assert nodes[first].data == nodes[last].data == b"29"


@EVERYWHERE
@pytest.mark.covers("S29", "INV-22")
def test_sync_stands_in_order(server: int):
    world = serving_world()
    writer, reader = attach(world, LEADER), attach(world, server)
    writer.submit(Create(1, "/a", b"x"))
    world.settle()
    reader.submit(Sync(1), GetData(2, "/a"), Create(3, "/b", b""), Sync(4), GetChildren(5, "/"))
    world.settle()
    assert outcomes(reader) == [Outcome.ACKNOWLEDGED] * 5
    assert isinstance(replies(reader)[0], Done)


@pytest.mark.covers("S3", "S29")
def test_sync_brings_a_lagging_follower_up():
    world = serving_world()
    writer, reader = attach(world, LEADER), attach(world, FOLLOWER)
    world.held = {(LEADER, FOLLOWER)}
    writer.submit(Create(1, "/a", b"x"))
    world.settle()
    reader.submit(GetData(1, "/a"), Sync(2), GetData(3, "/a"))
    world.settle()
    assert outcomes(reader) == [Outcome.FAILED, Outcome.PENDING, Outcome.PENDING]  # stale, and waiting
    world.held = set()
    world.settle()
    assert outcomes(reader) == [Outcome.FAILED, Outcome.ACKNOWLEDGED, Outcome.ACKNOWLEDGED]


@pytest.mark.covers("S26")
def test_failed_write_has_a_zxid_of_its_own_and_no_effect():
    world = serving_world()
    client = attach(world, FOLLOWER)
    client.submit(SetData(1, "/no", b""), Create(2, "/a", b""), Create(3, "/a", b""), Delete(4, "/"))
    world.settle()
    codes = [reply.error for reply in replies(client) if isinstance(reply, Failed)]
    assert codes == [ErrorCode.NO_NODE, ErrorCode.NODE_EXISTS, ErrorCode.BAD_ARGUMENTS]
    assert len({reply.zxid for reply in replies(client)}) == 4  # type: ignore[attr-defined]
    world.check_calm()


# -- attachments


def events_of(client: Client) -> list[Connected | Closed | Operation]:
    events: list[Connected | Closed | Operation] = []
    client.watch = events.append
    return events


def test_second_attachment_closes_the_first_where_it_was():
    world = serving_world()
    client = attach(world, FOLLOWER)
    rival = Client(client.session, world.acknowledged)
    rival._attachment = 5
    events = events_of(client)
    attach(world, OBSERVER, rival)
    assert rival.ready
    assert [type(event) for event in events] == [Closed]
    assert events[0].attachment == 1  # type: ignore[union-attr]


def test_same_server_closes_the_older_link_of_a_session():
    world = serving_world()
    client = attach(world, FOLLOWER)
    rival = Client(client.session, world.acknowledged)
    rival._attachment = 5
    events = events_of(client)
    attach(world, FOLLOWER, rival)
    assert isinstance(events[0], Closed)
    rival.submit(Create(1, "/a", b""))
    world.settle()
    assert outcomes(rival) == [Outcome.ACKNOWLEDGED]


@pytest.mark.covers("X-35")
def test_older_attachment_number_is_refused():
    world = serving_world()
    client = attach(world, FOLLOWER)
    attach(world, FOLLOWER, client)
    late = Client(client.session, world.acknowledged)  # its first attachment is number 1 again
    events = events_of(late)
    attach(world, OBSERVER, late)
    assert [type(event) for event in events] == [Closed]
    assert client.ready


@pytest.mark.covers("INV-23")
def test_session_that_moves_reads_its_writes():
    world = serving_world()
    client = attach(world, LEADER)
    client.submit(Create(1, "/a", b"x"))
    world.settle()
    attach(world, OBSERVER, client)
    client.submit(GetData(2, "/a"))
    world.settle()
    assert isinstance(replies(client)[1], Data)


@pytest.mark.covers("INV-23")
def test_server_that_lags_behind_the_session_refuses_it():
    world = serving_world()
    client = attach(world, LEADER)
    world.held = {(LEADER, FOLLOWER)}
    client.submit(Create(1, "/a", b"x"))
    world.settle()
    events = events_of(client)
    attach(world, FOLLOWER, client)
    assert [type(event) for event in events] == [Closed]
    assert not client.attached


def test_late_write_of_an_older_attachment_is_not_taken_for_one_of_the_same_number():
    world = serving_world()
    client = attach(world, FOLLOWER)
    world.held = {(FOLLOWER, LEADER)}
    client.submit(Create(1, "/old", b""))
    world.settle()
    successor = Client(client.session, world.acknowledged)  # counts its requests from one again
    successor._attachment = 1
    attach(world, OBSERVER, successor)
    world.held |= {(LEADER, OBSERVER), (OBSERVER, LEADER)}
    successor.submit(Create(1, "/new", b""))
    world.settle()
    world.held = {(OBSERVER, LEADER)}  # now the old write fails, before the leader has the new one
    world.settle()
    assert outcomes(successor) == [Outcome.PENDING]
    world.held = set()
    world.settle()
    assert outcomes(successor) == [Outcome.ACKNOWLEDGED]


# -- serving and not


@pytest.mark.covers("S46", "S67")
def test_client_waits_at_a_server_that_does_not_serve_yet():
    world = World(THREE)
    world.held = {(a, b) for a in THREE.members for b in THREE.members}
    world.start(1, 2, 3)
    client = attach(world, 1)
    assert client.attached
    assert not client.ready
    world.held = set()
    world.run_until_serving(20)
    assert client.ready


@EVERYWHERE
@pytest.mark.covers("S46", "S82")
def test_step_down_closes_clients_and_leaves_the_rest_unknown(server: int):
    world = serving_world()
    client = attach(world, server)
    world.held = {(a, b) for a in THREE.members for b in THREE.members}
    client.submit(GetData(1, "/"), Create(2, "/a", b""), GetData(3, "/a"))
    world.settle()
    events = events_of(client)
    world.partition([[member] for member in THREE.members])
    world.advance(200)
    assert outcomes(client) == [Outcome.ACKNOWLEDGED, Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert isinstance(events[0], Closed)


def test_dead_servers_clients_do_not_know():
    world = serving_world()
    client = attach(world, FOLLOWER)
    world.held = {(FOLLOWER, LEADER)}
    client.submit(Create(1, "/a", b""))
    world.settle()
    world.crash(FOLLOWER)
    assert outcomes(client) == [Outcome.UNKNOWN]


# -- anything, in any frames, at any servers

paths = st.sampled_from(("/a", "/b", "/a/x"))
versions = st.sampled_from((-1, -1, 0, 1))
kinds = st.one_of(
    st.tuples(st.just(Create), paths, st.binary(max_size=2)),
    st.tuples(st.just(Delete), paths, versions),
    st.tuples(st.just(SetData), paths, st.binary(max_size=2), versions),
    st.tuples(st.sampled_from((GetData, Exists, GetChildren)), paths),
    st.tuples(st.just(Sync)),
)
steps = st.lists(
    st.tuples(
        st.integers(0, 2),  # which client
        st.lists(kinds, min_size=1, max_size=5),  # its next frame
        st.booleans(),  # let everybody work before the next frame
    ),
    max_size=15,
)


@settings(max_examples=60)
@given(steps, st.sampled_from((0, 1)), st.sampled_from((1, 3, 4096)))
@pytest.mark.covers("INV-22", "INV-24", "INV-29", "S71", "S72")
def test_replies_fit_what_was_committed(script: list[tuple[int, list[tuple]], bool], outstanding: int, batch: int):  # type: ignore[type-arg]
    world = serving_world(
        ZabConfig(voters=(1, 2, 3), observers=(4,), max_outstanding=outstanding, batch_txns_max=batch)
    )
    clients = [attach(world, server) for server in (LEADER, FOLLOWER, OBSERVER)]
    for number, frame, work in script:
        client = clients[number]
        requests: list[Request] = [kind(client.next_cxid(), *fields) for kind, *fields in frame]
        client.submit(*requests)
        if work:
            world.settle()
    world.settle()
    assert not any(client.pending for client in clients)
    world.check_calm()
