"""The driver: interleaving, budget, what stays after failures and interruptions."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import orjson
import psutil
import pyperf
import pytest
from bench_fakes import ENVIRONMENT, a_failover, a_trial
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from lab.bench.command import parse_only
from lab.bench.driver import Bench
from lab.bench.grid import profile
from lab.bench.ledger import in_words
from lab.bench.limits import SettingsError
from lab.bench.plan import Plan, in_order, job_command, pyperf_command
from lab.bench.point import LOOPS, Job, Point, Profile
from lab.bench.record import RunInfo, Settings
from lab.bench.results import RunFolder
from lab.targets.target import TargetError

HERE = Path(__file__).parent
FAKE = HERE / "fake_suite.py"


class Notes:
    """A reporter that remembers."""

    def __init__(self):
        self.doings, self.notes = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def doing(self, what, done, left_s):
        assert 0.0 <= done <= 1.0
        self.doings.append((what, left_s))

    def note(self, line):
        self.notes.append(line)


def fake_command(point, round_, folder, extra):
    """As `pyperf_command`, with a suite whose measurements are made up."""
    command = pyperf_command(point, round_, folder, extra)
    return [command[0], str(FAKE), point.suite, *command[3:]]


def points(*ids, rounds=1, **settings):
    return tuple(
        msgspec.structs.replace(
            point, rounds=rounds, values=rounds, settings=msgspec.structs.replace(point.settings, **settings)
        )
        for point in profile("quick").points
        if point.id in ids
    )


def a_plan(chosen, *, budget_s=0.0, least=1, most=None, jobs=(), **more):
    held = {"budget_s": budget_s, "rounds_least": least, "rounds_most": most, "points": chosen, "jobs": jobs}
    return Plan(profile=Profile(name="quick", **held), **more)


def bench(tmp_path, plan, command=fake_command, notes=None, name="run"):
    return Bench(plan, RunFolder.create(tmp_path / "results", name), notes or Notes(), command)


def touch_command(point, round_, folder, extra):
    """Notes its name and ends well: what counts is the order."""
    order = folder.path / "order"
    return [sys.executable, "-c", f"open({str(order)!r}, 'a').write({f'{round_} {point.id}'!r} + chr(10))"]


def order_of(folder):
    return [tuple(line.split()) for line in (folder.path / "order").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


A, B, C = "write-throughput/3+0/buffered", "reads/3+0", "election/3+0/crash"


@pytest.mark.process
def test_every_round_measures_every_point_once_in_an_order_that_the_seed_decides(tmp_path):
    plan = a_plan(points(A, B, C, rounds=4), least=4)
    orders = []
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        run = bench(tmp_path, msgspec.structs.replace(plan, seed=seed), touch_command, name=name)
        assert run.measure().rounds == {"election": 4, "write-latency": 4, "read-scaling": 4}
        orders.append(order_of(run.folder))
    one, same, other = orders
    assert [sorted(one[at : at + 3]) for at in range(0, 12, 3)] == [
        sorted((str(round_), point) for point in (A, B, C)) for round_ in range(4)
    ]
    assert one == same
    assert one != other


@pytest.mark.process
@pytest.mark.parametrize(("planned", "least", "most", "budget_s", "rounds"), [
    (1, 1, 1, 1e6, 1),      # smoke: one round, however much time there is
    (6, 3, None, 0.0, 3),   # no time at all: three rounds all the same
    (4, 4, None, 0.0, 4),
])  # fmt: skip
def test_rounds_are_bounded_by_profile_and_budget(tmp_path, planned, least, most, budget_s, rounds):
    plan = a_plan(points(A, rounds=planned), least=least, most=most, budget_s=budget_s)
    assert bench(tmp_path, plan, touch_command).measure().rounds == {"write-latency": rounds}


@pytest.mark.process
def test_rounds_are_added_while_the_next_one_fits_the_budget(tmp_path):
    plan = a_plan(points(A, rounds=2), least=2, budget_s=1e6)
    run = bench(tmp_path, plan, touch_command)
    wanted = run._wanted
    run._wanted = lambda round_, until_s: round_ < 5 and wanted(round_, until_s)  # time flies in the sixth round
    assert run.measure().rounds == {"write-latency": 5}


A_JOB = Job(id="job", suite="write-latency", module="a_job", arguments=("well",), rounds=2, seconds=0.1)


@pytest.fixture
def a_job(tmp_path, monkeypatch):
    """A module that notes what it was told."""
    (tmp_path / "a_job.py").write_text(
        "import pathlib, sys\n"
        "with open(pathlib.Path(sys.argv[3]) / 'order', 'a') as order:\n"
        "    order.write(sys.argv[5] + ' job' + chr(10))\n"
        "print('it went', sys.argv[1])\n"
        "sys.exit(sys.argv[1] != 'well' and 'lab: it broke')\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}")


@pytest.mark.process
def test_a_job_is_measured_in_its_rounds_and_its_last_line_is_told(tmp_path, a_job):
    notes = Notes()
    run = bench(tmp_path, a_plan(points(A, rounds=3), least=3, jobs=(A_JOB,)), touch_command, notes)
    assert (run.measure().finished, run.failures) == (True, [])
    assert sorted(order_of(run.folder)) == sorted([*((str(n), A) for n in range(3)), ("0", "job"), ("1", "job")])
    assert notes.notes == ["job: it went well"] * 2


@pytest.mark.process
def test_jobs_without_points_are_measured_in_their_rounds_only(tmp_path, a_job):
    once = msgspec.structs.replace(A_JOB, rounds=1)
    run = bench(tmp_path, a_plan((), least=5, budget_s=1e6, jobs=(once, A_JOB)))
    assert (run.measure().finished, run.failures) == (True, [])
    assert order_of(run.folder) == [("0", "job"), ("0", "job"), ("1", "job")]


@pytest.mark.process
def test_a_job_that_fails_is_noted_and_the_others_go_on(tmp_path, a_job):
    job = msgspec.structs.replace(A_JOB, arguments=("badly",), rounds=1)
    run = bench(tmp_path, a_plan(points(A), jobs=(job,)), touch_command)
    assert run.measure().finished
    assert run.failures == run.info.failures == ["job, round 1: it broke"], "the report has to say so"
    assert ("0", A) in order_of(run.folder)


def test_a_job_stands_beside_its_point_behind_it_and_before_it_in_turn():
    rng, chosen = random.Random(5), points(A, B, C)
    job = msgspec.structs.replace(A_JOB, beside=B)
    for round_ in range(20):
        order = [step.id for step in in_order([job, *chosen], rng, round_)]
        assert sorted(order) == sorted([A, B, C, "job"])
        assert order.index("job") - order.index(B) == (1 if round_ % 2 == 0 else -1)


def test_a_job_whose_point_is_not_measured_is_measured_all_the_same():
    job = msgspec.structs.replace(A_JOB, beside=B)
    assert [step.id for step in in_order([job], random.Random(1), 0)] == ["job"]


def test_a_job_is_told_where_which_round_and_where_data_go(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    command = job_command(A_JOB, 4, folder, Path("/data"))
    assert command[1:] == [
        "-m", "a_job", "well", "--folder", str(folder.path), "--round", "4", "--data-dir", "/data"
    ]  # fmt: skip


def test_some_suites_get_their_part_of_the_budget():
    parts = [profile("quick", (suite,)) for suite in ("election", "write-latency", "read-scaling")]
    assert sum(part.budget_s for part in parts) == pytest.approx(profile("quick").budget_s)
    assert {point.suite for point in parts[0].points} == {"election"}


def test_overrides_reach_every_point():
    plan = Plan(profile=profile("smoke"), overrides={"distribution": "zipf", "value_bytes": 64})
    assert {(p.settings.distribution, p.settings.value_bytes) for p in plan.points} == {("zipf", 64)}


def test_a_size_of_datagrams_is_no_setting_of_a_point_that_sends_none():
    two = tuple(msgspec.structs.replace(p, settings=msgspec.structs.replace(p.settings, transport=transport))
                for p, transport in zip(points(A, B), ("shm", "udp"), strict=True))  # fmt: skip
    assert [p.settings.udp_mtu for p in a_plan(two, overrides={"udp_mtu": 9000}).points] == [1400, 9000]


def test_the_pyperf_command_is_the_documented_one(tmp_path):
    [point] = points(C, rounds=2)
    folder = RunFolder.create(tmp_path, "run")
    command = pyperf_command(point, 1, folder, ["--set", "seed=7"])
    assert command[1:3] == ["-m", "lab.bench.election"]
    options = dict(zip(command[3::2], command[4::2], strict=False))
    assert options["--point"] == C
    assert (options["--processes"], options["--values"], options["--warmups"]) == ("1", "1", "0")
    assert options["--loops"] == str(LOOPS["election"])
    assert options["--append"] == str(tmp_path / "run" / "pyperf" / "election.json")
    assert options["--records"] == str(tmp_path / "run" / "trials.jsonl")
    assert "--quiet" in command


@pytest.mark.process
def test_a_run_leaves_records_pyperf_files_histogram_logs_and_what_was_asked(tmp_path):
    notes = Notes()
    run = bench(tmp_path, a_plan(points(A, C, rounds=2), least=2, argv=("bench", "--run", "run")), notes=notes)
    info = run.measure()
    assert (run.failures, info.finished, info.rounds) == ([], True, {"election": 2, "write-latency": 2})
    assert msgspec.convert(orjson.loads(run.folder.info.read_bytes()), RunInfo) == info
    records = [orjson.loads(line) for line in run.folder.trials.read_bytes().splitlines()]
    assert sorted((record["pyperf"]["benchmark"], record["pyperf"]["round"]) for record in records) == [
        (C, 0), (C, 1), (A, 0), (A, 1)
    ]  # fmt: skip
    assert len({record["settings"]["seed"] for record in records}) == 4
    for suite, point in (("write-latency", A), ("election", C)):
        loaded = pyperf.BenchmarkSuite.load(str(run.folder.pyperf(suite)))
        assert loaded.get_benchmark(point).get_nrun() == 2
    assert len(notes.doings) == len(notes.notes) == 4
    assert all(left_s > 0 for _, left_s in notes.doings)
    assert histograms_of(run.folder.hlog(A)) == [("write", 3), ("write", 3)]


def histograms_of(path):
    reader = HistogramLogReader(str(path), HdrHistogram(1, 60_000_000_000, 3))
    found = []
    try:
        while (histogram := reader.get_next_interval_histogram()) is not None:
            found.append((histogram.get_tag(), histogram.get_total_count()))
    finally:
        reader.close()
    return found


@pytest.mark.process
def test_a_failed_verification_fails_the_run_and_keeps_what_was_measured(tmp_path):
    def command(point, round_, folder, extra):
        unlucky = ["--set", "seed=13"] if (point.id, round_) == (A, 1) else []
        return fake_command(point, round_, folder, [*extra, *unlucky])

    run = bench(tmp_path, a_plan(points(A, B, rounds=2), least=2), command)
    assert run.measure().finished
    [failure] = run.failures
    assert failure.startswith(f"{A}, round 2: {A}: verification failed")
    verified = [orjson.loads(line)["verified"] for line in run.folder.trials.read_bytes().splitlines()]
    assert sorted(verified) == [False, True, True, True]


@pytest.mark.process
def test_when_nothing_can_be_measured_the_run_ends_early_and_says_why(tmp_path):
    def command(point, round_, folder, extra):
        return [sys.executable, "-c", "import sys; sys.exit('lab: no ensemble today')"]

    run = bench(tmp_path, a_plan(points(A, B, C, rounds=9), least=9), command)
    with pytest.raises(TargetError, match="no ensemble today"):
        run.measure()
    assert len(run.failures) == 3
    assert not msgspec.convert(orjson.loads(run.folder.info.read_bytes()), RunInfo).finished


@pytest.mark.process
def test_a_pyperf_file_cut_off_in_its_rewriting_is_put_back(tmp_path):
    def command(point, round_, folder, extra):
        if round_ == 0:
            return fake_command(point, round_, folder, extra)
        cut = f"open({str(folder.pyperf(point.suite))!r}, 'w').write('{{'); raise SystemExit(3)"
        return [sys.executable, "-c", cut]

    run = bench(tmp_path, a_plan(points(A, rounds=2), least=2), command)
    run.measure()
    assert pyperf.BenchmarkSuite.load(str(run.folder.pyperf("write-latency"))).get_benchmark(A).get_nrun() == 1
    assert len(run.failures) == 1


INTERRUPTED = """
import os, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_bench_driver import A, C, a_plan, fake_command, points
from lab.bench.driver import Bench
from lab.bench.lifeline import Interrupted, interruptible
from lab.bench.progress import Lines
from lab.bench.results import RunFolder

def command(point, round_, folder, extra):
    return fake_command(point, round_, folder, [*extra, *(["--data-dir", {hang!r}] if round_ else [])])

run = Bench(a_plan(points(A, C, rounds=2), least=2), RunFolder.create(Path({results!r}), "run"), Lines(), command)
try:
    with interruptible():
        run.measure()
except Interrupted as error:
    sys.exit(error.status)
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_partial_results_and_no_children(tmp_path, number):
    hang = tmp_path / "hang"
    hang.mkdir()
    script = INTERRUPTED.format(here=str(HERE), hang=str(hang), results=str(tmp_path / "results"))
    with subprocess.Popen([sys.executable, "-c", script], env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
        try:
            worker = wait_for(lambda: next(iter(hang.glob("hanging-*")), None))
            children = psutil.Process(process.pid).children(recursive=True)
            assert int(worker.name.partition("-")[2]) in {child.pid for child in children}
            for _ in range(3):  # tox sends more than one
                process.send_signal(number)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    run = RunFolder(tmp_path / "results" / "run")
    info = msgspec.convert(orjson.loads(run.info.read_bytes()), RunInfo)
    assert (info.finished, info.rounds) == (False, {"election": 1, "write-latency": 1})
    assert len(run.trials.read_bytes().splitlines()) == 2
    assert pyperf.BenchmarkSuite.load(str(run.pyperf("election"))).get_benchmark(C).get_nrun() == 1


@pytest.mark.process
def test_children_die_with_a_driver_that_is_killed(tmp_path):
    hang = tmp_path / "hang"
    hang.mkdir()
    script = INTERRUPTED.format(here=str(HERE), hang=str(hang), results=str(tmp_path / "results"))
    with subprocess.Popen([sys.executable, "-c", script], env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: next(iter(hang.glob("hanging-*")), None))
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(children) == 2
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert (len(gone), alive) == (2, [])


def wait_for(found, timeout_s=40.0):
    deadline = time.monotonic() + timeout_s
    while (value := found()) is None:
        assert time.monotonic() < deadline, "nothing happened"
        os.sched_yield()
        time.sleep(0.01)
    return value


@pytest.mark.parametrize(("text", "suites"), [
    (None, ()),
    ("election", ("election",)),
    ("read-scaling, election", ("election", "read-scaling")),
    ("speed/floor,speed/bar", ("speed/bar", "speed/floor")),
    ("network/snapshot", ("network/snapshot",)),
])  # fmt: skip
def test_only_names_suites(text, suites):
    assert parse_only(text) == suites


@pytest.mark.parametrize("text", ["", "elections", "election,,", "election;read-scaling", "speed/x", "bar"])
def test_only_refuses_anything_else(text):
    with pytest.raises(SettingsError, match="--only"):
        parse_only(text)


def test_a_record_in_words():
    assert in_words(a_trial()) == "50 operations/s, write p50 1 p99 3 us, verified"
    assert in_words(a_failover(verified=False)) == "outages 60 66 72 ms, NOT VERIFIED"


def test_a_point_is_data():
    point = Point(id="x", suite="election", settings=Settings(), rounds=3, values=8)
    assert msgspec.convert(msgspec.to_builtins(point), Point) == point
