"""Hosts behind a Dask cluster: found by name, reached by an agent, and lost with one clear line."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace
from stub_clusters import DEADLINE_S, wait_until

from lab.cluster.cleanup import running_since
from lab.cluster.errors import ClusterError
from lab.cluster.host_file import Host, Hosts
from lab.cluster.process import SOURCE_ROOT
from lab.hosts.exposure import insist_on_loopback
from lab.hosts.pool import HostPool

pytestmark = pytest.mark.process

COORDINATOR = Path(__file__).with_name("coordinator.py")
ECHO = str(Path(__file__).parents[1] / "cluster" / "echo_job.py")


def listening() -> set[str]:
    """Addresses that descendants of this process listen on."""
    family = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    return {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in family}


def test_an_agent_on_each_host_serves_this_process_and_is_gone_afterwards(dask, pools, tmp_path: Path) -> None:
    pool = pools(dask, "a", "b")
    children = []
    for host in pool.hosts.host:
        link = pool.open(host)
        link.prepare(data_dir=str(tmp_path / host.name))
        children.append(link.start("job", "echo", [ECHO], b"hello"))
    for child in children:
        (channel,) = child.channels
        channel.settimeout(DEADLINE_S)
        assert channel.recv(100) == b"%d: hello" % child.pid
        assert abs(child.host.clock.offset_ns()) <= child.host.clock.uncertainty_ns()
    assert listening() == {"127.0.0.1"}
    pool.close()
    for child in children:
        assert child.wait(0.0)
        assert running_since(child.pid) is None
        child.channels[0].close()
        child.close()
    assert not list(tmp_path.glob("*/*"))


def test_a_host_says_what_it_is_and_where(dask, pools) -> None:
    pool = pools(dask, "a", "b")
    assert pool.address_of(Host("b")) == "127.0.0.1", "its Dask worker is reached there"
    assert pool.address_of(Host("b", "127.0.0.9")) == "127.0.0.9"
    about = pool.describe("b", "/var/tmp")
    assert about.machine.id == pool.describe("a", "/var/tmp").machine.id
    assert about.machine.cores >= 1


def test_a_worker_that_dies_is_a_host_that_is_lost_and_leaves_nothing(mortal, pools, tmp_path: Path) -> None:
    dask = mortal("a", "b")
    pool = pools(dask, "a", "b")
    a, b = (pool.open(host) for host in pool.hosts.host)
    for link in (a, b):
        link.prepare(data_dir=str(tmp_path / link.name))
    child, other = (link.start("job", "echo", [ECHO], b"hello") for link in (a, b))
    dask.kill("a")
    assert child.wait(DEADLINE_S)
    assert child.last_words().startswith("on a: host a is lost: its Dask worker cannot be reached")
    with pytest.raises(ClusterError, match=r"^host a is lost: "):
        a.fetch("x")
    assert other.rss_bytes() > 0
    wait_until(lambda: running_since(child.pid) is None, "the process on a is gone")
    wait_until(lambda: not list(tmp_path.glob("a/*")), "the folder on a is gone")
    pool.close()
    for one in (child, other):
        one.channels[0].close()
        one.close()


def test_nothing_on_a_host_outlives_a_coordinator_that_is_killed(dask, pools, tmp_path: Path) -> None:
    pools(dask, "a", "b")
    command = [sys.executable, str(COORDINATOR), dask.address(), str(tmp_path / "a"), ECHO]
    environment = {**os.environ, "PYTHONPATH": SOURCE_ROOT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as coordinator:
        assert coordinator.stdout is not None
        pid = int(coordinator.stdout.readline())
        assert running_since(pid) is not None
        coordinator.kill()
    wait_until(lambda: running_since(pid) is None, "the job on a is gone")
    wait_until(lambda: not list(tmp_path.glob("a/*")), "the folder on a is gone")


def test_a_worker_that_is_not_there_is_named_with_those_that_are(dask, pools) -> None:
    pools(dask, "a", "b")
    _, *options = dask.documented("worker")
    options[options.index("--name") + 1] = "z"
    with pytest.raises(ClusterError) as error:
        HostPool(dask.hosts("a", "z"))
    assert str(error.value) == (
        f"host z: {dask.address()} has no worker of that name, it has a, b: "
        f"`dask worker {dask.address()} {' '.join(options)}`"
    )


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.1:1", "ws://0.0.0.0:1", "tcp://:1"]
)
def test_dask_listens_beyond_loopback_encrypted_only(address: str) -> None:
    insist_on_loopback("it", ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tls://0.0.0.0:1"])
    with pytest.raises(ClusterError, match=r"^it listens on .*, unencrypted, and whoever reaches it runs code as you"):
        insist_on_loopback("it", ["tcp://127.0.0.1:1", address])


def test_whoever_listens_for_others_is_refused_unless_the_network_is_trusted(mortal, pools, monkeypatch) -> None:
    dask = mortal("a")
    dask.add("b", host="127.0.0.9")  # of another machine, as is the scheduler later
    pool = pools(dask, "a", "b")
    monkeypatch.setattr("lab.hosts.exposure.is_loopback", lambda host: host == "127.0.0.1")
    pool.describe("a", "/var/tmp")
    with pytest.raises(ClusterError, match=r"^host b: its Dask worker listens on tcp://127.0.0.9:\d+, unencrypted"):
        pool.describe("b", "/var/tmp")
    monkeypatch.setattr("lab.hosts.exposure.is_loopback", lambda _: False)
    hosts = dask.hosts("a")
    with pytest.raises(ClusterError, match=rf"^the scheduler listens on {hosts.scheduler}, unencrypted"):
        HostPool(hosts)
    trusting = HostPool(replace(hosts, insecure_dask=True))
    trusting.describe("a", "/var/tmp")
    trusting.close()


def test_a_scheduler_that_cannot_be_reached_is_named(monkeypatch) -> None:
    monkeypatch.setattr("lab.hosts.pool.CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(ClusterError, match=r"^scheduler tcp://127.0.0.1:9: cannot be reached: .*is `dask scheduler`"):
        HostPool(Hosts("tcp://127.0.0.1:9", [Host("a", "127.0.0.1")]))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'zab-lab\[hosts\]'"):
        HostPool(Hosts("tcp://127.0.0.1:9", [Host("a", "127.0.0.1")]))
