"""The smallest real measurements: processes, shared memory, faults, verification, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import psutil
import pytest
from bench_fakes import ENVIRONMENT

from lab.bench.failover import failover
from lab.bench.record import PHASES, Settings
from lab.bench.trial import trial

pytestmark = pytest.mark.process


@pytest.fixture
def data_dir(tmp_path):
    """Where servers keep their data; empty and without processes of ours afterwards."""
    folder = tmp_path / "data"
    before = children()
    yield folder
    assert not folder.exists() or not list(folder.iterdir())
    assert children() <= before


def children():
    return {child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE}


def quick(**more):
    return Settings(**{"seconds": 0.3, "warmup": 0.1, "durability": "buffered", "keys": 50, **more})


@pytest.mark.parametrize("settings", [
    quick(outstanding=16),
    quick(reads=0.5, observers=1, attach="all", clients=2, outstanding=12),
    quick(reads=1.0, attach="followers", cpu_share=0.3, outstanding=8),
    quick(voters=1, rate=500.0, durability="memory"),
    quick(target="null", voters=1, durability="memory", reads=0.5, clients=2, outstanding=8),
    quick(transport="udp", reads=0.5, observers=1, attach="all", clients=2, outstanding=12),
    quick(transport="udp", udp_mtu=65_000, sealed=True, voters=1, rate=500.0, durability="memory"),
    quick(transport="udp", target="null", voters=1, durability="memory", outstanding=8),
], ids=["writes", "mix at all servers", "reads under a budget", "open loop on one server", "null server",
        "mix over UDP", "open loop over UDP", "null server over UDP"])  # fmt: skip
def test_a_trial_is_verified_and_says_what_it_did(data_dir, settings):
    record = trial(settings, data_dir=data_dir)
    assert record.verified, record.checks.findings
    assert record.reads + record.writes > 0
    assert record.ops_per_s == pytest.approx((record.reads + record.writes) / record.seconds)
    assert (record.errors, record.unknown) == (0, 0)
    assert record.checks.replicas == len(record.servers) == settings.voters + settings.observers
    assert bool(record.network_stats) == (settings.transport == "udp")
    roles = sorted(server.role for server in record.servers)
    assert roles == sorted(["leader", *["follower"] * (settings.voters - 1), *["observer"] * settings.observers])
    assert sum(server.cpu_s for server in record.servers) > 0
    assert bool(record.digest) == (settings.target == "own")
    kinds = {kind for kind, count in (("read", record.reads), ("write", record.writes)) if count}
    assert set(record.latency_us) == set(record.histogram) == set(record.series) == kinds
    assert {kind: sum(record.series[kind]) for kind in kinds} == {kind: record.latency_us[kind].count for kind in kinds}


@pytest.mark.parametrize("settings", [
    quick(outstanding=1, anatomy=True),
    quick(outstanding=16, attach="followers", anatomy=True),
    quick(outstanding=16, attach="observers", observers=1, durability="memory", anatomy=True),
], ids=["leader", "followers", "observers"])  # fmt: skip
def test_sampled_writes_are_followed_through_processes(data_dir, settings, tmp_path):
    record = trial(settings, data_dir=data_dir, trace=tmp_path / "trace.json")
    assert record.verified, record.checks.findings
    anatomy = record.anatomy
    assert anatomy is not None
    assert anatomy.samples > 0
    assert (anatomy.incomplete, anatomy.disordered, anatomy.dropped) == (0, 0, 0)
    assert sum(hop.median for hop in anatomy.hops.values()) == pytest.approx(anatomy.median_us)
    assert sum(anatomy.closers.values()) > 0
    document = orjson.loads((tmp_path / "trace.json").read_bytes())
    kinds = {kind: [e["id"] for e in document["traceEvents"] if e["ph"] == kind] for kind in "sf"}
    assert kinds["s"] == kinds["f"] == sorted(set(kinds["s"]))
    assert 0 < len(kinds["s"]) <= document["otherData"]["writes shown"]


@pytest.mark.parametrize(("fault", "transport"), [
    ("crash", "shm"), ("freeze", "shm"), ("partition", "shm"), ("crash", "udp"), ("partition", "udp"),
])  # fmt: skip
def test_failovers_are_verified_and_split_into_phases(data_dir, fault, transport):
    settings = quick(fault=fault, transport=transport, repeats=2, outstanding=1, observers=1)
    record = failover(settings, data_dir=data_dir)
    assert record.verified, record.checks.findings
    assert len(record.outage_ms) == len(record.observer_rejoin_ms) == 2
    for number, outage in enumerate(record.outage_ms):
        assert sum(record.phases_ms[phase][number] for phase in PHASES) == pytest.approx(outage)
        assert record.phases_ms["detection"][number] > 0
    assert record.acknowledged > 2


def lab(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_trial_json_is_the_only_line_on_stdout(tmp_path, data_dir):
    done = lab("trial", "--seconds", "0.3", "--warmup", "0.1", "--durability", "buffered", "--json",
               "--data-dir", str(data_dir), cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    record = orjson.loads(done.stdout)
    assert record["verified"] is True
    assert record["settings"]["outstanding"] == 64
    assert record["suite"] == "trial"


def test_pyperf_runs_a_real_suite(tmp_path, data_dir):
    values, records = tmp_path / "values.json", tmp_path / "trials.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.write_latency", "--point", "write-throughput/3+0/buffered",
         "--records", records, "--processes", "1", "--values", "1", "--warmups", "0", "--loops", "1000",
         "--append", values, "--quiet", "--set", "seconds=0.3", "--set", "warmup=0.1", "--data-dir", data_dir],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "pyperf", "show", values], capture_output=True, text=True, check=False, env=os.environ
    )
    assert "us" in shown.stdout
    [record] = [orjson.loads(line) for line in Path(records).read_bytes().splitlines()]
    assert record["pyperf"] == {"benchmark": "write-throughput/3+0/buffered", "round": 0, "value": 0}


def test_a_point_of_network_is_measured_where_it_stands(tmp_path, data_dir):
    """Across an ocean from the voters, at the observer beside the client."""
    records = tmp_path / "records.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.network", "--point", "far/observer/reads/1", "--processes", "1", "--values",
         "1", "--warmups", "0", "--loops", "1000", "--quiet", "--set", "seconds=0.3", "--set", "warmup=0.1",
         "--records", records, "--data-dir", data_dir],
        capture_output=True, text=True, check=False, timeout=120, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [record] = [orjson.loads(line) for line in records.read_bytes().splitlines()]
    assert record["verified"], record["checks"]
    assert {record["sites"][process] for process in ("client 0", "server 4")} == {"sydney"}
    assert {record["sites"][f"server {voter}"] for voter in (1, 2, 3)} == {"dallas-1", "dallas-2", "dallas-3"}
    assert record["network_stats"]["datagrams_sent"] > 0
