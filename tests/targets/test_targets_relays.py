"""Followers that relay to observers, as processes: what the leader is spared, and who serves whom when one is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.client.client import connect
from lab.faults import Crash, Freeze, Heal, Partition, Restart, Thaw
from lab.targets.own import OwnTarget

pytestmark = pytest.mark.process

WRITES = 30
VALUE = bytes(20_000)  # much more than what goes with it
OBSERVERS = [4, 5, 6, 7]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OwnTarget]:
    made = OwnTarget(voters=3, observers=4, relays=2, durability="buffered", data_dir=tmp_path)
    made.start()
    yield made
    made.stop()
    assert list(tmp_path.iterdir()) == []


def leader_of(target: OwnTarget) -> int:
    (leader,) = (server.id for server in target.servers() if server.role == "leader")
    return leader


def write_and_read_everywhere(target: OwnTarget, number: int, data: bytes) -> None:
    """Writes through an observer, and reads the last one behind a sync at every observer."""
    with connect(target.connector(number, [OBSERVERS[0]]).text) as client:
        for _ in range(WRITES):
            written = client.set("/", data)
    for observer in OBSERVERS:
        with connect(target.connector(number + observer, [observer]).text) as client:
            assert client.read("/", sync=True) == data
            assert client.last_zxid >= written.zxid


def test_the_leader_sends_each_write_to_its_voters_and_relays_to_their_observers(target: OwnTarget):
    leader = leader_of(target)
    before = {use.server: use.bytes_sent for use in target.usage()}
    with connect(target.connector(1, [leader]).text) as client:
        for _ in range(WRITES):
            client.set("/", VALUE)
    target.replicas([])  # returns once every server has applied everything
    copies = {use.server: (use.bytes_sent - before[use.server]) / (WRITES * len(VALUE)) for use in target.usage()}
    assert {server: round(share, 1) for server, share in copies.items()} == {
        **dict.fromkeys((1, 2, 3), 2.0),  # the leader to two voters, each follower to two observers
        **dict.fromkeys(OBSERVERS, 0.0),
    }


def test_observers_of_a_relay_that_dies_are_served_by_another(target: OwnTarget):
    relay, *_ = (server for server in (1, 2, 3) if server != leader_of(target))
    write_and_read_everywhere(target, 100, b"before")
    target.inject(Crash(relay))
    target.cluster.wait_until_serving(among=[server for server in target.cluster.members if server != relay])
    write_and_read_everywhere(target, 200, b"without it")
    target.inject(Restart(relay))
    write_and_read_everywhere(target, 300, b"with it")
    assert len({replica.digest for replica in target.replicas([])}) == 1


def test_observers_follow_a_new_leader_through_new_relays(target: OwnTarget):
    write_and_read_everywhere(target, 100, b"before")
    leader = leader_of(target)
    target.inject(Crash(leader))
    new = target.cluster.wait_until_serving(among=[server for server in target.cluster.members if server != leader])
    assert new != leader
    write_and_read_everywhere(target, 200, b"after")
    target.inject(Restart(leader))
    assert len({replica.digest for replica in target.replicas([])}) == 1


def test_a_relay_that_stands_still_or_is_cut_off_holds_nobody(target: OwnTarget):
    relay, *_ = (server for server in (1, 2, 3) if server != leader_of(target))
    others = [server for server in target.cluster.members if server != relay]
    target.inject(Freeze(relay))
    write_and_read_everywhere(target, 100, b"frozen")
    target.inject(Thaw(relay))
    target.cluster.wait_until_serving()
    target.inject(Partition((tuple(others), (relay,))))
    target.cluster.wait_until_serving(among=others)
    write_and_read_everywhere(target, 200, b"cut off")
    target.inject(Heal())
    assert len({replica.digest for replica in target.replicas([])}) == 1
