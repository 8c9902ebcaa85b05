"""Who is linked to whom: every incarnation by fresh links, less what a partition cuts."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from stub_clusters import StubCluster, wait_until

from lab.cluster.errors import ClusterError
from lab.node.control import Attach, Detach, Welcome, decode_welcome
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.shm import CLIENT_CHANNELS, ShmLink

pytestmark = pytest.mark.process

Make = Callable[..., StubCluster]


def greeting(cluster: StubCluster, server: int) -> str:
    """What a stub sends over every new link."""
    return f"{server} incarnation {cluster._servers[server].incarnation}"


def wait_until_linked(cluster: StubCluster, one: int, other: int) -> None:
    """Both know the other's live incarnation, and what each sends arrives."""
    for me, you in ((one, other), (other, one)):
        cluster.wait_until_known(me, f"/linked/peer/{you}", str(cluster._servers[you].incarnation))
        cluster.wait_until_known(me, f"/heard/peer/{you}", greeting(cluster, you))


def is_linked(cluster: StubCluster, one: int, other: int) -> bool:
    return f"/linked/peer/{other}" in cluster.known_to(one)


@pytest.mark.covers("S23", "S51", "S52")
def test_every_server_is_linked_to_every_other(stubs: Make) -> None:
    cluster = stubs(3, 1)
    for one in cluster.members:
        for other in range(one + 1, 5):
            wait_until_linked(cluster, one, other)


def test_the_end_of_a_process_is_seen_by_the_others(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.crash(2)
    cluster.wait_until_known(1, "/ended/peer/2")
    cluster.wait_until_known(3, "/ended/peer/2")


def test_a_restarted_server_is_a_new_incarnation_with_fresh_links(stubs: Make) -> None:
    cluster = stubs(3)
    before = greeting(cluster, 2)
    cluster.crash(2)
    cluster.restart(2)
    assert greeting(cluster, 2) != before
    wait_until_linked(cluster, 1, 2)
    wait_until_linked(cluster, 3, 2)


def test_a_frozen_server_learns_of_a_restart_once_it_is_thawed(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.freeze(1)
    cluster.crash(2)
    cluster.restart(2)
    cluster.thaw(1)
    wait_until_linked(cluster, 1, 2)


@pytest.mark.covers("P8")
def test_a_partition_cuts_links_between_groups_at_both_ends_and_no_others(stubs: Make) -> None:
    cluster = stubs(3, 2)
    cluster.partition([(1, 4), (2, 3)])
    for one, other in ((1, 2), (1, 3), (4, 2), (4, 3)):
        cluster.wait_until_unknown(one, f"/linked/peer/{other}")
        cluster.wait_until_unknown(other, f"/linked/peer/{one}")
    wait_until_linked(cluster, 1, 4)
    wait_until_linked(cluster, 2, 3)
    for other in (1, 2, 3, 4):  # server 5 is in no group
        wait_until_linked(cluster, 5, other)


def test_healing_joins_by_fresh_links(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.partition([(1,), (2, 3)])
    cluster.wait_until_unknown(1, "/linked/peer/2")
    cluster.heal()
    wait_until_linked(cluster, 1, 2)
    wait_until_linked(cluster, 1, 3)


def test_a_server_restarted_during_a_partition_stays_cut_off_until_it_is_healed(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.partition([(1,), (2, 3)])
    cluster.crash(1)
    cluster.restart(1)
    cluster.crash(2)
    cluster.restart(2)
    wait_until_linked(cluster, 2, 3)
    assert not is_linked(cluster, 1, 2)
    assert not is_linked(cluster, 3, 1)
    cluster.heal()
    wait_until_linked(cluster, 1, 2)
    wait_until_linked(cluster, 1, 3)


def test_a_partition_of_unknown_or_repeated_servers_is_refused(stubs: Make) -> None:
    cluster = stubs(2)
    with pytest.raises(ClusterError, match="there is no server 7"):
        cluster.partition([(1,), (7,)])
    with pytest.raises(ClusterError, match="a server stands there twice"):
        cluster.partition([(1,), (1, 2)])


class Load:
    """A load process's view, in this process."""

    def __init__(self, fd: int) -> None:
        self.control = ControlSocket.adopt(fd)
        self.cleanup = ExitStack()
        self.links: dict[int, ShmLink] = {}
        self.incarnations: dict[int, int] = {}
        record, fds = self.receive()
        assert isinstance(record, Welcome)
        self.welcome, (event_fd, page_fd, self.life_fd) = record, fds
        self.cleanup.callback(Bell.adopt(event_fd, page_fd).close)
        self.cleanup.callback(self.control.close)

    def receive(self) -> tuple[Welcome | Attach | Detach, list[int]]:
        received = self.control.receive()
        assert received is not None
        return decode_welcome(received[0]), received[1]

    def take_link(self) -> int:
        """Receive the next Attach; returns the server that it names."""
        record, (memory, event_fd, page_fd, life_fd) = self.receive()
        assert isinstance(record, Attach)
        assert record.role == "server"
        bell = Bell.adopt(event_fd, page_fd)
        link = ShmLink(memory, CLIENT_CHANNELS, record.side, bell, queue_bytes_max=1 << 20)
        for close in (bell.close, link.close, lambda: os.close(memory), lambda: os.close(life_fd)):
            self.cleanup.callback(close)
        self.links[record.name], self.incarnations[record.name] = link, record.incarnation
        return record.name

    def heard(self, server: int) -> str:
        frames: list[bytes] = []
        wait_until(lambda: frames.extend(self.links[server].channels[0].receive()) or frames, f"server {server} greets")
        return frames[-1].decode()

    def end(self) -> None:
        """As the kernel does when a process ends."""
        if self.life_fd >= 0:
            os.close(self.life_fd)
            self.life_fd = -1
            self.cleanup.close()


@contextmanager
def load_process(cluster: StubCluster, number: int) -> Iterator[Load]:
    (fd,) = cluster.attach_client(number)
    load = Load(fd)
    try:
        yield load
    finally:
        load.end()


def test_a_load_process_learns_who_it_is_and_is_linked_to_every_server(stubs: Make) -> None:
    cluster = stubs(2, 1)
    with load_process(cluster, 4) as load:
        assert load.welcome.client == 4
        assert load.welcome.servers == [(1, "voter"), (2, "voter"), (3, "observer")]
        assert [load.take_link() for _ in range(3)] == [1, 2, 3]
        for server in (1, 2, 3):
            assert load.heard(server) == greeting(cluster, server)
            cluster.wait_until_known(server, "/linked/client/4", str(load.welcome.incarnation))
            load.links[server].channels[0].send(b"a request")
            load.links[server].channels[0].flush()
            cluster.wait_until_known(server, "/heard/client/4", "a request")


def test_a_load_process_gets_a_fresh_link_to_a_restarted_server(stubs: Make) -> None:
    cluster = stubs(2)
    with load_process(cluster, 0) as load:
        first = [load.take_link() for _ in range(2)]
        assert first == [1, 2]
        cluster.crash(2)
        cluster.restart(2)
        assert load.take_link() == 2
        assert load.incarnations[2] == cluster._servers[2].incarnation
        assert load.heard(2) == greeting(cluster, 2)


def test_a_partition_leaves_load_processes_their_links(stubs: Make) -> None:
    cluster = stubs(2)
    with load_process(cluster, 0) as load:
        cluster.partition([(1,), (2,)])
        cluster.wait_until_unknown(1, "/linked/peer/2")
        cluster.wait_until_known(1, "/linked/client/0")
        assert [load.take_link() for _ in range(2)] == [1, 2]


def test_the_end_of_a_load_process_is_seen_by_servers_and_supervisor(stubs: Make) -> None:
    cluster = stubs(2)
    with load_process(cluster, 0) as load:
        load.end()
        cluster.wait_until_known(1, "/ended/client/0")
        cluster.wait_until_known(2, "/ended/client/0")
    cluster.wait(lambda: not cluster._loads, 30.0, lambda: "the load process's place is still kept")


def test_a_load_process_that_never_started_is_forgotten(stubs: Make) -> None:
    cluster = stubs(1)
    (fd,) = cluster.attach_client(0)
    os.close(fd)
    cluster.wait(lambda: not cluster._loads, 30.0, lambda: "the load process's place is still kept")


def test_the_end_of_the_ensemble_is_eof_to_a_load_process(stubs: Make) -> None:
    cluster = stubs(1)
    with load_process(cluster, 0) as load:
        load.take_link()
        cluster.close()
        assert load.control.receive() is None
