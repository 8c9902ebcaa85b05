"""The real ZooKeeper as a target: what is said where there is none, and trials of it where there is."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.bench.failover import failover
from lab.bench.limits import SettingsError, check_settings, target_settings
from lab.bench.record import Settings
from lab.bench.trial import trial
from lab.faults import Crash, Freeze, Partition, Restart, Thaw
from lab.targets.target import Target, TargetError
from lab.targets.zookeeper.config import Ensemble, Ports, command, free_ports, zoo_cfg
from lab.targets.zookeeper.install import Installation, find_zookeeper, why_not
from lab.targets.zookeeper.target import ZooKeeperTarget
from lab.targets.zookeeper.traffic import bytes_sent
from lab.targets.zookeeper.words import NOT_SERVING, Told, read_srvr

INSTALLED = Installation("/usr/bin/java", "17.0.1", ("/jars/zookeeper.jar",), "3.8.0")
needs_zookeeper = pytest.mark.skipif(bool(why_not()), reason=why_not())

Make = Callable[..., ZooKeeperTarget]


@pytest.fixture
def zookeeper(tmp_path: Path) -> Iterator[Make]:
    """Makes started targets, and insists that stopping them leaves nothing."""
    made: list[ZooKeeperTarget] = []

    def make(**settings: Any) -> ZooKeeperTarget:
        made.append(ZooKeeperTarget(**{"durability": "buffered", "data_dir": tmp_path, **settings}))
        made[-1].start()
        return made[-1]

    yield make
    for target in made:
        target.stop()
    assert list(tmp_path.iterdir()) == []


def ensemble(**changes: Any) -> Ensemble:
    ports = {server: Ports(20_000 + server, 21_000 + server, 22_000 + server) for server in (1, 2)}
    usual = {
        "voters": 1, "ports": ports, "tick_ms": 100, "sync_limit_ticks": 5, "init_limit_ticks": 20,
        "durability": "fsync", "snap_count": 0, "leader_serves": True,
    }  # fmt: skip
    return Ensemble(**{**usual, **changes})


# -- without a ZooKeeper


def test_it_is_a_target() -> None:
    target: Target = ZooKeeperTarget(installed=INSTALLED)
    assert (target.name, target.version) == ("zookeeper", "Apache ZooKeeper 3.8.0, Java 17.0.1")


def test_without_a_jar_or_java_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
    (tmp_path / "java").touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(TargetError, match=r"no zookeeper.jar in .*: `apt install libzookeeper-java`, or unpack"):
        ZooKeeperTarget()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TargetError, match=r"no java on this machine: `apt install default-jre-headless`"):
        ZooKeeperTarget()
    assert why_not().startswith("zookeeper: no java")


def test_a_jar_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch(mode=0o700)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "zookeeper-3.9.9.jar").write_bytes(b"not a zip")
    with pytest.raises(TargetError, match=r"lib/zookeeper-3.9.9.jar: no jar that can be read"):
        find_zookeeper()


def test_what_it_cannot_be_told_is_refused() -> None:
    with pytest.raises(TargetError, match="zookeeper: durability 'memory', allowed: fsync or buffered"):
        ZooKeeperTarget(durability="memory", installed=INSTALLED)
    with pytest.raises(TargetError, match="not running: start it first"):
        ZooKeeperTarget(installed=INSTALLED).servers()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"durability": "memory"}, "--durability: 'memory', allowed for the target zookeeper: fsync or buffered"),
        ({"transport": "shm"}, "--transport: 'shm', allowed for the target zookeeper: tcp"),
        ({"batch_txns_max": 1}, "--batch-txns-max: 1, and the target zookeeper has no such thing"),
        ({"max_outstanding": 1}, "--max-outstanding: 1, and the target zookeeper has no such thing"),
        ({"death_detection": "heartbeat"}, "--death-detection: 'heartbeat', and the target zookeeper"),
        ({"fault": "partition"}, "--fault: 'partition', allowed for the target zookeeper: crash or freeze"),
    ],
)
def test_settings_that_mean_nothing_to_it_are_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_settings(Settings(**{**target_settings("zookeeper"), **changes}))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_our_own_servers_are_not_linked_by_tcp() -> None:
    with pytest.raises(SettingsError, match="--transport: 'tcp', allowed for the target own: shm"):
        check_settings(Settings(transport="tcp"))


def test_a_servers_configuration_is_that_of_the_ensemble() -> None:
    lines = zoo_cfg(ensemble(leader_serves=False), 2, Path("/data/2")).splitlines()
    assert {"tickTime=100", "syncLimit=5", "initLimit=20", "dataDir=/data/2", "clientPort=20002"} <= set(lines)
    assert {"peerType=observer", "leaderServes=no", "maxClientCnxns=0", "admin.enableServer=false"} <= set(lines)
    assert "server.1=127.0.0.1:21001:22001:participant" in lines
    assert "server.2=127.0.0.1:21002:22002:observer" in lines
    assert "peerType=observer" not in zoo_cfg(ensemble(), 1, Path("/data/1"))


@pytest.mark.parametrize(("durability", "force"), [("fsync", "yes"), ("buffered", "no")])
def test_durability_is_force_sync(durability: str, force: str) -> None:
    assert f"-Dzookeeper.forceSync={force}" in command(INSTALLED, ensemble(durability=durability), Path("c"), Path("s"))


@pytest.mark.parametrize(("snap_count", "told"), [(0, 2_147_483_647), (10_000, 10_000)])
def test_no_snapshots_is_a_count_that_nobody_reaches(snap_count: int, told: int) -> None:
    assert f"-Dzookeeper.snapCount={told}" in command(INSTALLED, ensemble(snap_count=snap_count), Path("c"), Path("s"))


def test_ports_are_all_different_and_free() -> None:
    ports = free_ports(range(1, 14), random.Random(1))
    every = [port for each in ports.values() for port in (each.client, each.quorum, each.election)]
    assert len(set(every)) == 39
    for port in every:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Zookeeper version: 3.8.0\nReceived: 1\nZxid: 0x100000003\nMode: leader\n", Told("leader", 0x1_0000_0003)),
        ("Zxid: 0x0\nMode: observer\n", Told("observer", 0)),
        ("This ZooKeeper instance is not currently serving requests\n", NOT_SERVING),
        ("Zxid: what\nMode: leader\n", NOT_SERVING),
        ("", NOT_SERVING),
    ],
)
def test_what_a_server_tells_of_itself(answer: str, told: Told) -> None:
    assert read_srvr(answer) == told


def test_bytes_sent_are_those_that_the_other_side_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        other, _ = listener.accept()
        before = bytes_sent([os.getpid()])[os.getpid()]
        one.sendall(b"x" * 12_345)
        assert other.recv(12_345, socket.MSG_WAITALL) == b"x" * 12_345
        after = bytes_sent([os.getpid()])[os.getpid()]
        other.close()
    assert after - before == 12_345


# -- with one


def roles(target: ZooKeeperTarget) -> dict[int, str]:
    return {server.id: server.role for server in target.servers()}


@pytest.mark.process
@needs_zookeeper
def test_a_trial_of_it_is_verified_to_the_last_key(tmp_path: Path) -> None:
    settings = Settings(
        **target_settings("zookeeper"), observers=1, durability="buffered", attach="all", reads=0.5, clients=2,
        outstanding=32, keys=100, seconds=0.5, warmup=0.0,
    )  # fmt: skip
    record = trial(settings, data_dir=tmp_path)
    assert record.checks.findings == []
    assert (record.verified, record.checks.replicas, record.unknown, record.errors) == (True, 4, 0, 0)
    assert record.checks.writes > 100
    assert record.checks.reads == record.checks.reads_total > 0
    assert record.writes > 0
    assert record.reads > 0
    assert record.target_version == find_zookeeper().text
    assert sorted(server.role for server in record.servers) == ["follower", "follower", "leader", "observer"]
    assert all(server.rss_mb > 1 for server in record.servers)
    assert sum(server.bytes_sent for server in record.servers) > record.reads * settings.value_bytes
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
@needs_zookeeper
def test_servers_can_be_lost_and_come_back(zookeeper: Make) -> None:
    target = zookeeper()
    (leader,) = (server for server, role in roles(target).items() if role == "leader")
    target.inject(Freeze(leader))
    assert roles(target)[leader] == "looking"
    target.inject(Thaw(leader))
    target.inject(Crash(leader))
    assert leader not in target.pids()
    assert [replica.server for replica in target.replicas([])] == sorted({1, 2, 3} - {leader})
    target.inject(Restart(leader))
    states = target.replicas([])
    assert [state.server for state in states] == [1, 2, 3]
    assert len({state.applied_zxid >> 32 for state in states}) == 1
    with pytest.raises(TargetError, match="zookeeper: Partition: not available, allowed: crash, restart, freeze"):
        target.inject(Partition(((1,), (2, 3))))


@pytest.mark.process
@needs_zookeeper
def test_a_failover_of_it_is_an_outage_without_phases(tmp_path: Path) -> None:
    settings = Settings(
        **target_settings("zookeeper"), durability="buffered", outstanding=1, fault="crash", repeats=2, keys=10
    )
    record = failover(settings, data_dir=tmp_path)
    assert record.checks.findings == []
    assert record.verified
    assert len(record.outage_ms) == 2
    assert min(record.outage_ms) > 0
    assert record.phases_ms == {}
    assert record.acknowledged > 10
    assert record.target_version == find_zookeeper().text


@pytest.mark.process
@needs_zookeeper
def test_a_single_server_is_an_ensemble(zookeeper: Make) -> None:
    assert roles(zookeeper(voters=1, observers=1)) == {1: "leader", 2: "observer"}


@pytest.mark.process
@needs_zookeeper
def test_a_server_that_ends_by_itself_is_named(zookeeper: Make) -> None:
    target = zookeeper(voters=1)
    pid = target.pids()[1]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TargetError, match="zookeeper: server 1 ended: ended by SIGKILL"):
        target.look_out()


HARNESS = """
import sys, time
from lab.targets.zookeeper.target import ZooKeeperTarget
target = ZooKeeperTarget(voters=1, durability="buffered", data_dir=sys.argv[1])
target.start()
print(*target.pids().values(), flush=True)
time.sleep(600)
"""


@pytest.mark.process
@needs_zookeeper
@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_outlives_a_harness_that_is_killed(tmp_path: Path, frozen: bool) -> None:
    root = str(Path(__file__).parents[2])
    harness = subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    try:
        assert harness.stdout is not None
        pids = [int(pid) for pid in harness.stdout.readline().split()]
        ends = [os.pidfd_open(pid) for pid in pids]
        if frozen:
            os.kill(pids[0], signal.SIGSTOP)
    finally:
        harness.kill()
        harness.communicate()
    assert len(ends) == 1
    for end in ends:
        assert select.select([end], [], [], 30.0)[0]
        os.close(end)
    deadline = time.monotonic() + 30.0
    while list(tmp_path.iterdir()):  # the janitor's work, of which nobody tells
        assert time.monotonic() < deadline


@pytest.mark.process
def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no such class >&2\nexit 3\n")
    java.chmod(0o700)
    target = ZooKeeperTarget(
        durability="buffered", data_dir=tmp_path / "data", installed=msgspec.structs.replace(INSTALLED, java=str(java))
    )
    with pytest.raises(TargetError, match=r"zookeeper: server [123] ended: exit status 3: no such class"):
        target.start()
    assert not (tmp_path / "data").exists()
