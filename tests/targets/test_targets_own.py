"""The lab's own ensemble as a target: real servers, every fault, and what is told when something is wrong."""

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.faults import Crash, Freeze, Heal, Partition, Restart, Thaw
from lab.targets.own import OwnTarget
from lab.targets.target import Target, TargetError

Make = Callable[..., OwnTarget]
TRANSPORTS = ("shm", "udp")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Make]:
    """Makes started targets, and insists that stopping them leaves nothing."""
    made: list[OwnTarget] = []

    def make(**settings: Any) -> OwnTarget:
        made.append(OwnTarget(**{"durability": "buffered", "data_dir": tmp_path, **settings}))
        made[-1].start()
        return made[-1]

    yield make
    for target in made:
        target.stop()
    assert list(tmp_path.iterdir()) == []


def roles(target: OwnTarget) -> dict[int, str]:
    return {server.id: server.role for server in target.servers()}


def leader(target: OwnTarget) -> int:
    (found,) = (server for server, role in roles(target).items() if role == "leader")
    return found


def test_it_is_a_target() -> None:
    target: Target = OwnTarget()
    assert target.name == "own"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"voters": 0}, "voters=0: an ensemble needs at least 1 voter"),
        ({"voters": -1}, "voters=-1: must be at least 0"),
        ({"voters": 3, "observers": -1}, "observers=-1: must be at least 0"),
        ({"voters": 9, "observers": 5}, "14 servers: an ensemble has 1 to 13"),
        ({"durability": "usually"}, "'usually' - at `$.durability`"),
        ({"death_detection": "x"}, r"'x' - at `$.death_detection`"),
        ({"sync_limit_ticks": 30}, "init_limit_ticks=20 must exceed sync_limit_ticks=30"),
    ],
)
def test_settings_that_make_no_ensemble_are_refused_before_anything_starts(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(TargetError) as refused:
        OwnTarget(**settings)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_before_its_start_it_says_so() -> None:
    with pytest.raises(TargetError, match="not running: start it first"):
        OwnTarget().servers()
    OwnTarget().stop()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TargetError, match=r"own: cannot make a run folder in .*/file/data.*--data-dir"):
        OwnTarget(data_dir=tmp_path / "file" / "data").start()


@pytest.mark.process
def test_voters_come_first_and_observers_after_them(own: Make) -> None:
    found = roles(own(voters=2, observers=2))
    assert sorted([found[1], found[2]]) == ["follower", "leader"]
    assert found[3] == found[4] == "observer"


@pytest.mark.process
@pytest.mark.parametrize("durability", ["fsync", "buffered", "memory"])
def test_replicas_agree_on_an_empty_tree(own: Make, durability: str) -> None:
    replicas = own(voters=3, observers=1, durability=durability).replicas([(5, 1), (5, 2)])
    assert [replica.server for replica in replicas] == [1, 2, 3, 4]
    assert {replica.applied_zxid for replica in replicas} == {0}
    assert len({replica.digest for replica in replicas}) == 1
    assert all((replica.log is None) == (durability == "memory") for replica in replicas)
    assert all(replica.took_effect == {} for replica in replicas)


@pytest.mark.process
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_usage_counts_every_server(own: Make, transport: str) -> None:
    target = own(voters=3, transport=transport)
    usage = {use.server: use for use in target.usage()}
    assert sorted(usage) == [1, 2, 3]
    assert all(use.cpu_s > 0 and use.bytes_sent > 0 and use.rss_mb > 1 and use.at_ns > 0 for use in usage.values())
    assert {bool(use.network) for use in usage.values()} == {transport == "udp"}
    assert all(use.bytes_sent == use.network["bytes_sent"] for use in usage.values() if use.network)


@pytest.mark.process
@pytest.mark.covers("X-40", "S95")
def test_marks_tell_how_it_came_to_serve_once(own: Make) -> None:
    target = own(voters=3)
    marks = {(mark.server, mark.what, mark.state, mark.phase, mark.epoch, mark.leader) for mark in target.marks()}
    chosen = leader(target)
    assert (chosen, "entered", "leading", "broadcast", 1, chosen) in marks
    assert all((server, "entered", "looking", "election", 0, 0) in marks for server in (1, 2, 3))
    assert target.marks() == []


@pytest.mark.process
@pytest.mark.covers("S28")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_another_leads_after_the_leader_crashed_and_it_comes_back_as_a_follower(own: Make, transport: str) -> None:
    target = own(voters=3, observers=1, transport=transport)
    old = leader(target)
    target.inject(Crash(old))
    new = target.cluster.wait_until_serving()
    assert new != old
    assert roles(target)[old] == "looking"
    target.inject(Restart(old))
    assert target.cluster.wait_until_serving() == new
    assert roles(target)[old] == "follower"
    assert [replica.server for replica in target.replicas([])] == [1, 2, 3, 4]


@pytest.mark.process
@pytest.mark.parametrize("durability", ["buffered", "memory"])
def test_a_follower_that_lost_its_disk_comes_back(own: Make, durability: str) -> None:
    target = own(voters=3, durability=durability)
    follower = min(set(roles(target)) - {leader(target)})
    target.inject(Crash(follower))
    target.cluster.wipe(follower)
    target.inject(Restart(follower))
    target.cluster.wait_until_serving()
    assert roles(target)[follower] == "follower"


@pytest.mark.process
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_another_leads_while_the_leader_is_frozen_and_it_joins_once_thawed(own: Make, transport: str) -> None:
    target = own(voters=3, tick_ms=20, transport=transport)
    old = leader(target)
    others = sorted({1, 2, 3} - {old})
    target.inject(Freeze(old))
    target.cluster.wait(lambda: _serve_without(target, old), 30.0, lambda: "nobody else leads", 0.01)
    assert [replica.server for replica in target.replicas([])] == others
    target.inject(Thaw(old))
    new = leader_among(target, others)
    target.cluster.wait(lambda: roles(target)[old] == "follower", 30.0, lambda: "it has not joined", 0.01)
    assert target.cluster.wait_until_serving() == new


@pytest.mark.process
@pytest.mark.covers("P2", "S99")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_majority_serves_during_a_partition_and_all_do_after_it(own: Make, transport: str) -> None:
    target = own(voters=3, tick_ms=20, transport=transport)
    old = leader(target)
    others = sorted({1, 2, 3} - {old})
    target.inject(Partition(((old,), tuple(others))))
    new = target.cluster.wait_until_serving(among=others)
    target.cluster.wait(lambda: roles(target)[old] == "looking", 30.0, lambda: "it still leads", 0.01)
    target.inject(Heal())
    assert target.cluster.wait_until_serving() == new
    assert len(target.replicas([])) == 3


@pytest.mark.process
def test_a_server_that_ends_by_itself_is_seen_by_who_looks_out(own: Make) -> None:
    target = own()
    target.look_out()
    pid = target.cluster.pids()[2]
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30.0)[0]
    os.close(pidfd)
    with pytest.raises(TargetError, match="own: server 2 ended: ended by SIGKILL"):
        target.look_out()


@pytest.mark.process
def test_a_fault_that_makes_no_sense_is_refused(own: Make) -> None:
    target = own(voters=1)
    with pytest.raises(TargetError, match="own: there is no server 4"):
        target.inject(Crash(4))
    with pytest.raises(TargetError, match="own: server 1 is running already"):
        target.inject(Restart(1))


@pytest.mark.process
def test_a_connector_names_the_socket_and_the_servers_to_attach_to(own: Make) -> None:
    target = own(voters=2, observers=1, wait="blocking")
    connector = target.connector(7, [3, 1])
    (fd,) = connector.fds
    assert json.loads(connector.text) == {
        "target": "own", "client": 7, "fd": fd, "servers": [3, 1], "wait": "blocking",
    }  # fmt: skip
    with socket.socket(fileno=fd) as control:  # closes it: it is the caller's
        assert control.type == socket.SOCK_SEQPACKET


@pytest.mark.process
def test_a_cpu_budget_says_how_it_is_kept_or_why_not(own: Make) -> None:
    target = own(voters=1)
    mechanism = target.limit_cpu(0.5)
    assert (mechanism == "none") == bool(target.why_no_budget())
    assert mechanism in ("cgroup-v1", "cgroup-v2", "none")
    assert target.limit_cpu(None) == "none"
    assert all(use.throttled_s >= 0 for use in target.usage())
    with pytest.raises(TargetError, match="cpu_share=0: allowed is"):
        target.limit_cpu(0)


@pytest.mark.process
def test_servers_run_where_they_are_told_to(own: Make) -> None:
    cpu = min(os.sched_getaffinity(0))
    target = own(voters=1, cpus=(cpu,))
    assert os.sched_getaffinity(target.cluster.pids()[1]) == {cpu}


@pytest.mark.process
def test_thirteen_servers(own: Make) -> None:
    found = roles(own(voters=5, observers=8, durability="memory"))
    assert sorted(found.values()) == ["follower"] * 4 + ["leader"] + ["observer"] * 8


def leader_among(target: OwnTarget, servers: list[int]) -> int:
    (found,) = (server for server in servers if roles(target)[server] == "leader")
    return found


def _serve_without(target: OwnTarget, old: int) -> bool:
    return "leader" in {role for server, role in roles(target).items() if server != old}
