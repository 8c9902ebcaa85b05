"""Real processes whose links do to datagrams what a network does, over rings and over UDP."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.client.client import connect
from lab.faults import Constant, Cut, Heal, LinkFault, Reshape, Shape
from lab.networks import uniform
from lab.targets.own import OwnTarget
from lab.targets.target import TargetError

Make = Callable[..., OwnTarget]
TICK_MS = 50
SOON_S = 30.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Make]:
    made: list[OwnTarget] = []

    def make(**settings: Any) -> OwnTarget:
        made.append(OwnTarget(**{"durability": "buffered", "data_dir": tmp_path, "tick_ms": TICK_MS, **settings}))
        made[-1].start()
        return made[-1]

    yield make
    for target in made:
        target.stop()
    assert list(tmp_path.iterdir()) == []


def leader(target: OwnTarget) -> int:
    (found,) = (server.id for server in target.servers() if server.role == "leader")
    return found


def counted(target: OwnTarget, name: str) -> int:
    return sum(status.network.get(name, 0) for status in target.cluster.status().values())


@pytest.mark.process
@pytest.mark.parametrize("transport", ["shm", "udp"])
def test_what_a_bad_network_loses_delays_and_reorders_is_served_all_the_same(own: Make, transport: str) -> None:
    network = uniform(loss=0.1, delay_ms=1.0)
    target = own(voters=3, observers=1, transport=transport, network=network)
    with connect(target.connector(0, [leader(target)]).text) as client:
        client.create("/a", b"0")
        for number in range(100):
            client.set("/a", str(number).encode())
    replicas = target.replicas([])
    assert len(replicas) == 4
    assert len({replica.digest for replica in replicas}) == 1
    assert counted(target, "shaper_lost") > 0


@pytest.mark.process
@pytest.mark.parametrize("transport", ["shm", "udp"])
def test_a_write_takes_at_least_the_ways_that_it_has_to_go(own: Make, transport: str) -> None:
    target = own(voters=3, transport=transport, network=uniform(loss=0.0, delay_ms=5.0))
    with connect(target.connector(0, [leader(target)]).text) as client:
        client.create("/a")
        began_ns = time.monotonic_ns()
        client.set("/a", b"1")  # to the leader, on to a follower, and both ways back
        assert time.monotonic_ns() - began_ns >= 4 * 5_000_000


@pytest.mark.process
@pytest.mark.parametrize("way", ["hears nobody", "is heard by nobody"])
@pytest.mark.parametrize("transport", ["shm", "udp"])
def test_a_leader_that_is_cut_off_one_way_is_replaced_and_follows_once_healed(
    own: Make, transport: str, way: str
) -> None:
    target = own(voters=3, transport=transport, network=uniform(loss=0.0, delay_ms=0.5))
    old = leader(target)
    others = sorted({1, 2, 3} - {old})
    for other in others:
        target.inject(Cut(other, old) if way == "hears nobody" else Cut(old, other))

    def replaced() -> bool:
        roles = {server.id: server.role for server in target.servers()}
        return "leader" in (roles[other] for other in others) and roles[old] != "leader"

    target.cluster.wait(replaced, SOON_S, lambda: "nobody has replaced it", 0.01)
    target.inject(Heal())
    assert target.cluster.wait_until_serving() in others
    assert len({replica.digest for replica in target.replicas([])}) == 1


@pytest.mark.process
def test_a_link_is_reshaped_while_it_is_used_and_becomes_what_it_was(own: Make) -> None:
    target = own(voters=3, transport="udp")
    at = leader(target)
    others = sorted({1, 2, 3} - {at})
    assert counted(target, "datagrams_sent") > 0
    assert not any("shaper" in name for status in target.cluster.status().values() for name in status.network)
    with connect(target.connector(0, [at]).text) as client:
        client.create("/a")

        def doubled() -> int:
            before = counted(target, "shaper_duplicated")
            client.set("/a", b"1")
            return counted(target, "shaper_duplicated") - before

        for other in others:
            target.inject(Reshape(other, at, Shape(delay=Constant(5), duplicate=1.0)))
        target.cluster.wait(lambda: doubled() > 0, SOON_S, lambda: "nothing arrives twice", 0.01)
        for other in others:
            target.inject(Reshape(other, at, None))
        target.cluster.wait(lambda: doubled() == 0, SOON_S, lambda: "something still arrives twice", 0.01)
    assert target.cluster.wait_until_serving() == at, "none of this ended a session"


@pytest.mark.process
@pytest.mark.parametrize(("fault", "says"), [
    (Cut(1, 2), "a cut in one direction takes links that carry datagrams"),
    (Reshape(1, 2, Shape(loss=0.5)), "a shape takes links that carry datagrams"),
])  # fmt: skip
def test_links_that_carry_frames_cannot_be_shaped(own: Make, fault: LinkFault, says: str) -> None:
    target = own(voters=2)
    with pytest.raises(TargetError, match=says):
        target.inject(fault)


@pytest.mark.process
def test_a_link_that_is_none_is_refused(own: Make) -> None:
    target = own(voters=2, transport="udp")
    with pytest.raises(TargetError, match="there is no server 3"):
        target.inject(Cut(1, 3))
    with pytest.raises(TargetError, match="server 1 has no link to itself"):
        target.inject(Reshape(1, 1, Shape()))
