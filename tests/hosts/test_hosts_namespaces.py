"""Several machines, as far as the network can tell: an ensemble over namespaces that share nothing but wires."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from local_agents import LocalAgents
from namespaces import Namespaces
from stub_clusters import open_descriptors

from lab.bench.failover import run_failover
from lab.bench.record import Settings
from lab.bench.systems import LoadMaker, make_own
from lab.bench.trial import run_trial
from lab.cluster.host_file import Places
from lab.faults import AnyFault, DiskFault, Heal, Partition
from lab.targets.own import OwnTarget
from lab.targets.target import TargetError

pytestmark = pytest.mark.process

SETTINGS = Settings(
    transport="udp", sealed=True, durability="buffered", death_detection="heartbeat", outstanding=16, keys=20,
    seconds=0.3, warmup=0.1, attach="all",
)  # fmt: skip


@pytest.fixture(scope="module")
def spaces() -> Iterator[Namespaces]:
    """Machines a, b and c for servers, d for clients."""
    made = Namespaces("abcd")
    try:
        try:
            made.make()
        except PermissionError as error:
            pytest.skip(f"no network namespaces can be made here: {error}")
        yield made
    finally:
        made.remove()


@pytest.fixture
def agents(spaces: Namespaces, tmp_path: Path):
    before = open_descriptors()
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)

    def make(*, clients: str = "d", keyed: bool = True) -> LocalAgents:
        places = Places(dict(enumerate("abc", 1)), dict(enumerate(clients)))
        key_file = str(path) if keyed else ""
        return LocalAgents(places, spaces.addresses, key_file, tmp_path / "hosts", spaces.inside)

    yield make
    assert not list(tmp_path.glob("hosts/*/zab-lab-run-*"))
    assert open_descriptors() <= before


def test_a_trial_over_wires_is_verified(agents, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, clients=2, reads=0.5)
    target = make_own(settings, tmp_path / "here", elsewhere=agents(clients="da"))
    record = run_trial(settings, target, LoadMaker(settings, target))
    assert (record.verified, record.checks.findings, record.checks.replicas) == (True, [], 3)
    assert record.writes > 0
    assert record.reads > 0
    assert record.network_stats["datagrams_sent"] > 0
    assert record.network_stats["forged"] == 0


class Unplugged(OwnTarget):
    """Partitions are wires without current."""

    spaces: Namespaces

    def inject(self, fault: AnyFault | DiskFault) -> int:
        at_ns = time.monotonic_ns()
        match fault:
            case Partition(((leader,), _)):
                self.lonely = "abc"[leader - 1]
                self.spaces.unplug(self.lonely)
            case Heal():
                self.spaces.plug(self.lonely)
            case _:
                return super().inject(fault)
        return at_ns


def test_a_leader_whose_wire_is_unplugged_is_succeeded_and_comes_back(agents, spaces: Namespaces, tmp_path) -> None:
    settings = msgspec.structs.replace(SETTINGS, fault="partition", outstanding=1)
    target = Unplugged(
        transport="udp", sealed=True, durability="buffered", death_detection="heartbeat", data_dir=tmp_path / "here",
        elsewhere=agents(),
    )  # fmt: skip
    target.spaces = spaces
    record = run_failover(settings, target, LoadMaker(settings, target))
    assert (record.verified, record.checks.findings, record.checks.replicas) == (True, [], 3)
    [outage_ms] = record.outage_ms
    assert sum(values[0] for values in record.phases_ms.values()) == pytest.approx(outage_ms)


def test_without_a_key_nothing_is_bound_on_a_wire(agents, tmp_path: Path) -> None:
    target = make_own(SETTINGS, tmp_path / "here", elsewhere=agents(keyed=False))
    with pytest.raises(TargetError, match=r"^own: a: cannot bind 10\.213\.77\.1 without a key") as refused:
        target.start()
    assert "\n" not in str(refused.value)
