"""An ensemble whose servers and clients run behind agents: measured, verified, broken, and gone without a trace."""

import os
from pathlib import Path

import msgspec
import pytest
from local_agents import LocalAgents
from stub_clusters import DEADLINE_S, open_descriptors, wait_until

from lab.bench.failover import run_failover
from lab.bench.record import PHASES, Settings
from lab.bench.systems import LoadMaker, make_own
from lab.bench.trial import run_trial
from lab.cluster.errors import ClusterError
from lab.cluster.host_file import Places
from lab.targets.target import TargetError

pytestmark = pytest.mark.process

BASE = Settings(
    transport="udp", sealed=True, durability="buffered", death_detection="heartbeat",
    outstanding=16, keys=20, seconds=0.3, warmup=0.1,
)  # fmt: skip


@pytest.fixture
def agents(tmp_path: Path):
    """Makes hosts a, b and c: addresses of loopback, a key, and server n on host n; nothing of them stays."""
    before = open_descriptors()
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)

    def make(servers: str = "abc", clients: str = "a") -> LocalAgents:
        places = Places(dict(enumerate(servers, 1)), dict(enumerate(clients)))
        addresses = {name: f"127.0.0.{number}" for number, name in enumerate("abc", 2)}
        return LocalAgents(places, addresses, str(key), tmp_path / "hosts")

    yield make
    wait_until(
        lambda: not list(tmp_path.glob("hosts/*/zab-lab-run-*")), "janitors have removed what killed agents left"
    )
    assert open_descriptors() <= before


def target_of(settings: Settings, agents: LocalAgents, tmp_path: Path):
    return make_own(settings, tmp_path / "here", elsewhere=agents)


def test_a_trial_over_three_hosts_is_verified_with_clients_of_two(agents, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(BASE, clients=2, reads=0.5, attach="all")
    target = target_of(settings, agents(clients="bc"), tmp_path)
    record = run_trial(settings, target, LoadMaker(settings, target))
    assert (record.verified, record.checks.findings) == (True, [])
    assert record.checks.replicas == 3
    assert record.writes > 0
    assert record.reads > 0
    assert all(server.rss_mb > 1 and server.cpu_s > 0 for server in record.servers)
    assert record.network_stats["forged"] == 0


def test_a_failover_between_hosts_is_split_into_phases_and_the_server_comes_back(agents, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(BASE, fault="crash", outstanding=1, attach="all")
    target = target_of(settings, agents(), tmp_path)
    record = run_failover(settings, target, LoadMaker(settings, target))
    assert (record.verified, record.checks.findings) == (True, [])
    assert len(record.outage_ms) == 1
    assert list(record.phases_ms) == list(PHASES)


def test_a_host_that_is_lost_is_named(agents, tmp_path: Path) -> None:
    hosts = agents(servers="b", clients="")
    target = target_of(msgspec.structs.replace(BASE, voters=1), hosts, tmp_path)
    target.start()
    try:
        hosts.agents["b"].kill()
        with pytest.raises(ClusterError, match=r"server 1 ended: on b: host b is lost: "):
            target.cluster.wait(lambda: False, DEADLINE_S, lambda: "the host is still there")
    finally:
        target.stop()


def test_a_server_that_cannot_start_there_is_told_with_its_last_words(agents, tmp_path: Path) -> None:
    target = target_of(msgspec.structs.replace(BASE, voters=1), agents(servers="c", clients=""), tmp_path)
    target.server_command = ("-m", "lab.no_such_module")
    with pytest.raises(TargetError, match=r"server 1 ended: on c: exit status 1: .*No module named"):
        target.start()
