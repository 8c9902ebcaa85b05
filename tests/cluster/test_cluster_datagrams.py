"""Links that carry datagrams, as the supervisor makes, cuts and shapes them."""

import socket
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from stub_clusters import StubCluster, wait_until

from lab.cluster.errors import ClusterError
from lab.faults import Constant, Shape
from lab.networks import uniform
from lab.node.control import Attach, Welcome, decode_welcome
from lab.transport.control import ControlSocket

pytestmark = pytest.mark.process

Make = Callable[..., StubCluster]
SLOW = Shape(delay=Constant(5.0))
RAW: dict[str, Any] = {}
UDP: dict[str, Any] = {"transport": "udp"}
RINGS: dict[str, Any] = {"network": uniform(0.0, 0.0)}


def shown(cluster: StubCluster, source: int, target: int) -> Shape | None:
    """What the target does to what the source sends to it."""
    return msgspec.json.decode(cluster.known_to(target)[f"/shape/peer/{source}"], type=Shape | None)


def wait_until_shaped(cluster: StubCluster, source: int, target: int, shape: Shape | None) -> None:
    wait_until(lambda: shown(cluster, source, target) == shape, f"{source} to {target} is {shape}")


def ways(*servers: int) -> list[tuple[int, int]]:
    return [(one, other) for one in servers for other in servers if one != other]


def test_every_server_has_a_socket_of_its_own_on_loopback_and_others_are_told_where(stubs: Make) -> None:
    cluster = stubs(3, **UDP)
    known = {server: cluster.known_to(server) for server in (1, 2, 3)}
    addresses = {
        msgspec.json.decode(known[me][f"/address/peer/{you}"], type=tuple[str, int]) for me, you in ways(1, 2, 3)
    }
    assert {host for host, _ in addresses} == {"127.0.0.1"}
    assert len(addresses) == 3
    assert known[1]["/address/peer/3"] == known[2]["/address/peer/3"]


def test_a_restarted_server_has_a_new_socket(stubs: Make) -> None:
    cluster = stubs(3, **UDP)
    before = cluster.known_to(1)["/address/peer/2"]
    cluster.crash(2)
    cluster.wait_until_known(1, "/ended/peer/2")
    cluster.restart(2)
    cluster.wait_until_known(1, "/linked/peer/2", str(cluster._servers[2].incarnation))
    assert cluster.known_to(1)["/address/peer/2"] != before


def test_a_socket_is_gone_with_its_server(stubs: Make) -> None:
    cluster = stubs(2, **UDP)
    host, port = msgspec.json.decode(cluster.known_to(1)["/address/peer/2"], type=tuple[str, int])
    cluster.crash(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((host, port))


@pytest.mark.parametrize("settings", [UDP, RINGS], ids=["udp", "rings"])
def test_a_partition_is_silence_both_ways_until_it_is_healed(stubs: Make, settings: dict[str, Any]) -> None:
    cluster = stubs(3, **settings)
    cluster.partition([(1,), (2, 3)])
    for source, target in ((1, 2), (2, 1), (1, 3), (3, 1)):
        wait_until_shaped(cluster, source, target, Shape(blocked=True))
    assert shown(cluster, 2, 3) is None
    assert "/linked/peer/2" in cluster.known_to(1)
    cluster.heal()
    for source, target in ways(1, 2, 3):
        wait_until_shaped(cluster, source, target, None)


def test_a_cut_is_silence_one_way(stubs: Make) -> None:
    cluster = stubs(3, **UDP)
    cluster.cut(1, 2)
    wait_until_shaped(cluster, 1, 2, Shape(blocked=True))
    assert [shown(cluster, *way) for way in ways(1, 2, 3) if way != (1, 2)] == [None] * 5
    cluster.heal()
    wait_until_shaped(cluster, 1, 2, None)


def test_a_server_restarted_during_a_partition_is_linked_by_silent_links(stubs: Make) -> None:
    cluster = stubs(3, **UDP)
    cluster.partition([(1,), (2, 3)])
    cluster.crash(1)
    cluster.restart(1)
    for source, target in ((1, 2), (2, 1)):
        cluster.wait_until_known(target, f"/linked/peer/{source}", str(cluster._servers[source].incarnation))
        wait_until_shaped(cluster, source, target, Shape(blocked=True))
    cluster.heal()
    wait_until_shaped(cluster, 2, 1, None)


def test_a_shape_stays_across_restarts_and_partitions_until_it_is_taken_back(stubs: Make) -> None:
    cluster = stubs(2, **UDP)
    cluster.reshape(1, 2, SLOW)
    wait_until_shaped(cluster, 1, 2, SLOW)
    cluster.partition([(1,), (2,)])
    wait_until_shaped(cluster, 1, 2, msgspec.structs.replace(SLOW, blocked=True))
    cluster.heal()
    cluster.crash(2)
    cluster.restart(2)
    wait_until(lambda: "/shape/peer/1" in cluster.known_to(2), "server 2 is linked")
    wait_until_shaped(cluster, 1, 2, SLOW)
    cluster.reshape(1, 2, None)
    wait_until_shaped(cluster, 1, 2, None)


def test_the_network_shapes_links_from_the_beginning(stubs: Make) -> None:
    network = uniform(0.0, 5.0)
    cluster = stubs(2, network=network)
    assert shown(cluster, 1, 2) == shown(cluster, 2, 1) == cluster.spec.shape(("server", 1), ("server", 2)) is not None


def test_links_of_frames_cannot_be_shaped_or_cut_one_way(stubs: Make) -> None:
    cluster = stubs(2, **RAW)
    with pytest.raises(ClusterError, match="a cut in one direction takes links that carry datagrams"):
        cluster.cut(1, 2)
    with pytest.raises(ClusterError, match="a shape takes links that carry datagrams"):
        cluster.reshape(1, 2, SLOW)


def test_a_link_to_nobody_or_to_oneself_is_refused(stubs: Make) -> None:
    cluster = stubs(2, **UDP)
    with pytest.raises(ClusterError, match="there is no server 3"):
        cluster.cut(1, 3)
    with pytest.raises(ClusterError, match="server 1 has no link to itself"):
        cluster.reshape(1, 1, SLOW)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_load_process_is_told_where_servers_are_and_with_which_key(stubs: Make, sealed: bool) -> None:
    cluster = stubs(2, **UDP, sealed=sealed, tick_ms=50, udp_mtu_bytes=9_000)
    (fd,) = cluster.attach_client(5)
    control = ControlSocket.adopt(fd)
    records, descriptors = [], []
    for _ in range(3):
        received = control.receive()
        assert received is not None
        records.append(decode_welcome(received[0]))
        descriptors.append(received[1])
    welcome, *links = records
    assert isinstance(welcome, Welcome)
    assert welcome.datagrams is not None
    assert (welcome.datagrams.udp_mtu_bytes, len(welcome.datagrams.udp_key)) == (9_000, 32 if sealed else 0)
    assert (welcome.datagrams.keepalive_ns, welcome.datagrams.dead_after_ns) == (25_000_000, 1_000_000_000)
    with socket.socket(fileno=descriptors[0].pop()) as own:
        assert own.getsockname() == cluster._loads[5].address
    assert [len(fds) for fds in descriptors] == [3, 1, 1]
    assert [(link.role, link.name, link.side) for link in links if isinstance(link, Attach)] == [
        ("server", 1, 1),
        ("server", 2, 1),
    ]
    assert len({link.link for link in links if isinstance(link, Attach)}) == 2
    control.close()
    for fds in descriptors:
        for each in fds:
            socket.close(each)
