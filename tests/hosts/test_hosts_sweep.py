"""A sweep over hosts: one measurement at a time on each, everything comes back, and a lost host costs one of them."""

import sys
import threading
from collections import Counter
from pathlib import Path

import msgspec
import orjson
import psutil
import pyperf
import pytest
from stub_clusters import wait_until

from lab.bench.grid import profile
from lab.bench.plan import Plan, pyperf_command
from lab.bench.point import Profile
from lab.bench.progress import Silent
from lab.bench.record import RunInfo
from lab.bench.results import RunFolder
from lab.cluster.cleanup import running_since
from lab.hosts.sweep import Sweep
from lab.report.reading import load_run
from lab.targets.target import TargetError

pytestmark = pytest.mark.process

FAKE = Path(__file__).parents[1] / "bench" / "fake_suite.py"
A, C = "write-throughput/3+0/buffered", "election/3+0/crash"


def fake_command(point, round_, folder, extra):
    """As `pyperf_command`, with a suite whose measurements are made up; told where data go, it hangs there."""
    command = pyperf_command(point, round_, folder, extra)
    return [command[0], str(FAKE), point.suite, *command[3:]]


def failing_command(point, round_, folder, extra):
    if round_ == 1:
        return [sys.executable, "-c", "import sys; sys.exit('lab: no ensemble today')"]
    return fake_command(point, round_, folder, extra)


def a_plan(*ids: str, rounds: int) -> Plan:
    chosen = [point for point in profile("quick").points if point.id in ids]
    points = tuple(msgspec.structs.replace(point, rounds=rounds, values=rounds) for point in chosen)
    return Plan(profile=Profile(name="quick", budget_s=0.0, rounds_least=rounds, rounds_most=rounds, points=points))


def sweep_of(pool, tmp_path: Path, plan: Plan, command=fake_command) -> Sweep:
    for host in pool.hosts.host:
        pool.describe(host.name, str(tmp_path))
    return Sweep(plan, RunFolder.create(tmp_path / "results", "run"), Silent(), pool, command)


def test_records_pyperf_files_and_histograms_come_back_from_every_host(dask, pools, tmp_path) -> None:
    plan = a_plan(A, C, rounds=2)
    job = next(job for job in profile("smoke", ("speed/floor",)).jobs if job.id == "floor/codec")
    plan = msgspec.structs.replace(plan, profile=msgspec.structs.replace(plan.profile, jobs=(job,)))
    sweep = sweep_of(pools(dask, "a", "b"), tmp_path, plan)
    info = sweep.measure()
    assert (sweep.failures, info.finished, info.rounds) == ([], True, {"election": 2, "write-latency": 2})
    run = load_run(sweep.folder.path)
    measured = Counter((r.pyperf.benchmark, r.pyperf.round) for r in (*run.trials, *run.failovers))
    assert measured == {(point, round_): 1 for point in (A, C) for round_ in range(2)}
    assert {record.host for record in (*run.trials, *run.failovers)} == {"a", "b"}
    assert run.probes, "a job's records come back, too"
    assert list(run.info.hosts) == ["a", "b"]
    for suite, point in (("write-latency", A), ("election", C)):
        assert pyperf.BenchmarkSuite.load(str(sweep.folder.pyperf(suite))).get_benchmark(point).get_nrun() == 2
    assert sweep.folder.hlog(A).read_text().count("Tag=write") == 2


def test_a_measurement_that_fails_is_noted_and_its_host_goes_on(dask, pools, tmp_path) -> None:
    sweep = sweep_of(pools(dask, "a", "b"), tmp_path, a_plan(A, rounds=3), failing_command)
    assert sweep.measure().finished
    assert sweep.failures == [f"{A}, round 2: no ensemble today"]
    assert len(load_run(sweep.folder.path).trials) == 2


def hanging(folder: Path) -> int:
    """The process that hangs there."""
    wait_until(lambda: list(folder.glob("hanging-*")), "a measurement hangs")
    return int(next(iter(folder.glob("hanging-*"))).name.partition("-")[2])


def in_background(sweep: Sweep) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def measure() -> None:
        try:
            sweep.measure()
        except TargetError as error:
            raised.append(error)

    thread = threading.Thread(target=measure)
    thread.start()
    return thread, raised


def with_hang(pool, folder: Path, *names: str) -> None:
    """What these hosts measure never ends."""
    folder.mkdir()
    hosts = [
        msgspec.structs.replace(host, data_dir=str(folder)) if host.name in names else host for host in pool.hosts.host
    ]
    pool.hosts = msgspec.structs.replace(pool.hosts, host=hosts)


def test_a_worker_that_is_killed_fails_its_trial_which_another_host_repeats(mortal, pools, tmp_path) -> None:
    dask = mortal("a", "b")
    pool = pools(dask, "a", "b")
    with_hang(pool, tmp_path / "hang", "a")
    sweep = sweep_of(pool, tmp_path, a_plan(A, C, rounds=2))
    thread, raised = in_background(sweep)
    pid = hanging(tmp_path / "hang")
    servers = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    dask.kill("a")
    thread.join(60)
    assert not thread.is_alive()
    assert raised == []
    [failure] = sweep.failures
    assert ", round " in failure
    assert ": host a is lost: its Dask worker cannot be reached" in failure
    assert failure.endswith("; it is measured once more on another one")
    run = load_run(sweep.folder.path)
    measured = Counter((r.pyperf.benchmark, r.pyperf.round) for r in (*run.trials, *run.failovers))
    assert measured == {(point, round_): 1 for point in (A, C) for round_ in range(2)}
    assert {record.host for record in (*run.trials, *run.failovers)} == {"b"}
    wait_until(lambda: not any(running_since(p) for p in (pid, *servers)), "what was measured on a is gone")


def test_without_any_host_left_the_run_ends_and_says_why(mortal, pools, tmp_path) -> None:
    dask = mortal("a")
    pool = pools(dask, "a")
    with_hang(pool, tmp_path / "hang", "a")
    sweep = sweep_of(pool, tmp_path, a_plan(A, rounds=2))
    thread, raised = in_background(sweep)
    hanging(tmp_path / "hang")
    dask.kill("a")
    thread.join(60)
    assert not thread.is_alive()
    [error] = raised
    assert str(error).startswith(f"no host is left: {A}, round 1: host a is lost: ")
    assert str(error).endswith("; it is left out")
    assert not msgspec.convert(orjson.loads(sweep.folder.info.read_bytes()), RunInfo).finished
