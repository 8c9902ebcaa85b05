"""The suites under real pyperf, with measurements that are made up."""

import subprocess
import sys
from pathlib import Path

import orjson
import pyperf
import pytest
from bench_fakes import ENVIRONMENT, a_failover, a_trial, measured

from lab.bench.grid import find_point
from lab.bench.limits import SettingsError
from lab.bench.record import PyperfLink, Settings
from lab.bench.suite import Measurement, Unverified, difference, override

FAKE = Path(__file__).with_name("fake_suite.py")


def run_fake(suite, *options):
    return subprocess.run(
        [sys.executable, FAKE, suite, *map(str, options)],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip


def records_of(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def measurement(point_id, record, calls, values=1):
    point = find_point(point_id)
    assert point is not None

    def measure(settings, suite, link, data_dir):
        calls.append((settings, suite, link))
        return record

    return Measurement(point, measure, values=values, round_=4, records=None, data_dir=None)


def test_a_value_is_window_times_loops_over_operations():
    calls = []
    function = measurement("write-throughput/3+0/buffered", a_trial(seconds=2.0, ops_per_s=50.0), calls)
    assert function(1000) == 1000 / 50.0
    function(1000)
    assert [link for _, _, link in calls] == [
        PyperfLink(benchmark="write-throughput/3+0/buffered", round=4, value=value) for value in (0, 1)
    ]


def test_an_elections_values_are_the_outages_of_one_measurement_in_their_order():
    calls = []
    record = a_failover(outage_ms=[60.0, 70.0, 80.0])
    function = measurement("election/3+0/crash", record, calls, values=3)
    assert [function(1) for _ in range(3)] == [0.06, 0.07, 0.08]
    [(settings, suite, _)] = calls
    assert (settings.repeats, settings.fault, suite) == (3, "crash", "election")


@pytest.mark.parametrize("record", [a_trial(verified=False), a_trial(ops_per_s=0.0)])
def test_what_did_not_verify_or_did_nothing_gives_no_value(record):
    with pytest.raises(Unverified):
        measurement("write-throughput/3+0/buffered", record, [])(1000)


def test_settings_survive_the_command_line():
    base = Settings()
    wanted = Settings(
        voters=5, reads=0.25, cpu_share=0.1, distribution="zipf", finalize_early=False, rate=None, seed=99, seconds=0.3
    )
    assert override(base, difference(wanted, base)) == wanted
    assert override(wanted, difference(base, wanted)) == base


@pytest.mark.parametrize("pair", ["nonsense=1", "seed", "seed=many", "voters=0", "reads=2", "=3"])
def test_a_bad_override_is_one_line(pair):
    with pytest.raises(SettingsError) as caught:
        override(Settings(), [pair])
    assert "\n" not in str(caught.value)


@pytest.mark.process
def test_pyperf_appends_a_value_and_a_linked_record_per_run(tmp_path):
    values, records = tmp_path / "values.json", tmp_path / "trials.jsonl"
    for round_ in range(2):
        done = run_fake(
            "election", "--point", "election/3+0/crash", "--records", records, "--round", round_, "--processes", 1,
            "--values", 3, "--warmups", 0, "--loops", 1, "--append", values, "--quiet", "--set", "seed=5",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    bench = pyperf.BenchmarkSuite.load(str(values)).get_benchmark("election/3+0/crash")
    assert list(bench.get_values()) == [0.05, 0.051, 0.052] * 2
    assert [(record["pyperf"]["round"], len(record["outage_ms"]), record["settings"]["seed"])
            for record in records_of(records)] == [(0, 3, 5), (1, 3, 5)]  # fmt: skip


@pytest.mark.process
def test_a_failed_verification_keeps_its_record_and_gives_pyperf_nothing(tmp_path):
    values, records = tmp_path / "values.json", tmp_path / "trials.jsonl"
    done = run_fake(
        "write-latency", "--point", "write-throughput/3+0/buffered", "--records", records, "--processes", 1,
        "--append", values, "--quiet", "--set", "seed=13",
    )  # fmt: skip
    assert done.returncode == 1
    assert "lab: write-throughput/3+0/buffered: verification failed" in done.stderr
    assert [record["verified"] for record in records_of(records)] == [False]
    assert not values.exists()


@pytest.mark.process
def test_an_unknown_point_is_refused_with_those_there_are():
    done = run_fake("election", "--point", "reads/3+0", "--processes", 1)
    assert done.returncode == 2
    assert "--point: 'reads/3+0' is not in the election suite, allowed: election/3+0/crash" in done.stderr


def test_the_fake_measures_like_the_real_one():
    assert measured(Settings(), "write-latency", None).suite == "write-latency"
