"""Floors: measured on real processes and files, in sizes of a moment; their records say what, where and how many."""

import os
import subprocess
import sys

import orjson
import pytest
from bench_fakes import ENVIRONMENT

from lab.bench.floors import codec, datagrams, disk, hop, ring, strangers, window
from lab.bench.floors.light import Inspector, cycle_of
from lab.bench.floors.pair import placements
from lab.bench.probe import Probe, Where, median_bounds, quantile, record_of


@pytest.fixture
def where(tmp_path):
    return Where(round=2, data_dir=tmp_path / "data")


@pytest.mark.process
def test_a_hop_is_measured_at_every_placement_and_leaves_this_process_where_it_was(where):
    before = os.sched_getaffinity(0)
    probes = list(hop.measure(where, hops=20))
    assert {probe.name for probe in probes} == {
        f"floor/{kind}/{name}" for kind in ("hop", "hop-awake") for name in placements()
    }
    assert all(len(probe.samples) == 20 and min(probe.samples) > 0 for probe in probes)
    assert os.sched_getaffinity(0) == before


@pytest.mark.process
def test_the_ring_carries_bytes_from_one_process_to_another(where):
    floor, light, asleep, awake = ring.measure(where, windows=2, trips=20)
    assert (floor.unit, light.unit, len(light.samples)) == ("MB/s", "MiB/s", 2)
    assert floor.samples == [pytest.approx(rate * 1.048576) for rate in light.samples]
    for probe in (floor, light):
        assert max(probe.samples) > 0
        assert probe.facts["frame_bytes"] > 256 * 100
        assert probe.facts["cpu_us_per_mib"] > 0
    assert [(probe.name, len(probe.samples)) for probe in (asleep, awake)] == [
        ("light/ring/trip-asleep", 20), ("light/ring/trip-awake", 20),
    ]  # fmt: skip


@pytest.mark.process
def test_bare_datagrams_are_counted_and_compared_both_ways(where):
    probes = list(datagrams.measure(where, windows=2, trips=20))
    assert [(probe.name, probe.unit) for probe in probes] == [
        ("light/bare/1400", "MiB/s"), ("light/bare/60000", "MiB/s"), ("light/runs/1400", "MiB/s"),
        ("light/bare/trip-asleep", "µs"), ("light/bare/trip-awake", "µs"),
    ]  # fmt: skip
    assert [probe.findings for probe in probes] == [[]] * 5
    assert all(min(probe.samples) > 0 for probe in probes)
    assert all(probe.facts["cpu_us_per_mib"] > 0 for probe in probes[:3])


@pytest.mark.process
def test_a_reliable_link_carries_the_same_over_sockets_with_and_without_tags(where):
    probes = list(window.measure(where, windows=2, trips=20))
    assert [(probe.name, probe.unit) for probe in probes] == [
        ("light/window/1400", "MiB/s"), ("light/window/60000", "MiB/s"),
        ("light/window-sealed/1400", "MiB/s"), ("light/window-sealed/60000", "MiB/s"),
        ("light/window/trip-asleep", "µs"), ("light/window/trip-awake", "µs"),
    ]  # fmt: skip
    assert [probe.findings for probe in probes] == [[]] * 6
    assert all(max(probe.samples) > 0 for probe in probes)
    assert all(probe.facts["cpu_us_per_mib"] > 0 for probe in probes[:4])


def test_what_a_port_drops_is_counted_as_what_it_is(where):
    foreign, forged = strangers.measure(where, samples=2)
    assert [(probe.name, probe.unit, len(probe.samples)) for probe in (foreign, forged)] == [
        ("light/foreign", "µs", 2), ("light/forged", "µs", 2),
    ]  # fmt: skip
    assert (foreign.findings, forged.findings) == ([], [])


MESSAGES = cycle_of(20)


@pytest.mark.parametrize(("arrived", "finding"), [
    (MESSAGES + MESSAGES, ""),
    (MESSAGES[:3] + MESSAGES[4:], "number 4 of a cycle arrived where 3 was to come"),  # lost
    (MESSAGES[:3] + MESSAGES[2:], "number 2 of a cycle arrived where 3 was to come"),  # twice
    ([*MESSAGES[:2], MESSAGES[3], MESSAGES[2]], "number 3 of a cycle arrived where 2 was to come"),  # out of order
    ([MESSAGES[0][:-1]], "19 bytes arrived that are not those sent"),
    ([MESSAGES[0][:-1] + b"!"], "20 bytes arrived that are not those sent"),
])  # fmt: skip
def test_what_does_not_arrive_as_it_was_sent_is_a_finding(arrived, finding):
    inspector = Inspector(MESSAGES)
    inspector.take(arrived[:2])
    inspector.take(arrived[2:])
    assert inspector.finding == finding
    assert inspector.bytes_received == sum(map(len, arrived))


def test_syncs_of_four_sizes_leave_no_file_even_if_they_are_killed(where):
    measuring = disk.measure(where, syncs=3)
    probes = [next(measuring)]
    assert list(where.data_dir.iterdir()) == [], "its file has no name"
    probes += measuring
    assert [probe.name.rsplit("/", 1)[1] for probe in probes] == ["4KiB", "batch-64", "batch-256", "batch-1024"]
    sizes = [probe.facts["bytes"] for probe in probes]
    assert sizes == sorted(sizes)
    assert list(where.data_dir.iterdir()) == []


def test_the_codec_is_measured_alone_and_in_a_batch(where):
    names = [probe.name for probe in codec.measure(where, samples=2)]
    assert names == [f"floor/codec/{way}/{count}" for count in (1, 256) for way in ("encode", "decode")]


@pytest.mark.process
def test_the_job_appends_a_record_a_floor(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.floors", "codec", "--folder", tmp_path, "--round", "3",
         "--data-dir", tmp_path],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("floor/codec/encode/1 ")
    records = [orjson.loads(line) for line in (tmp_path / "probes.jsonl").read_bytes().splitlines()]
    assert len(records) == 4
    for record in records:
        assert (record["round"], record["unit"], record["n"]) == (3, "µs", codec.SAMPLES)
        assert record["low"] <= record["value"] <= record["high"]


@pytest.mark.process
def test_a_floor_that_there_is_not_is_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.floors", "ceiling"],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "lab: 'ceiling' is no floor, allowed: hop, disk, ring, codec, datagrams, window, strangers\n"


@pytest.mark.parametrize(("n", "bounds"), [
    (5, None),         # not even the extremes bound the median at 95 %
    (6, (0, 5)),
    (10, (1, 8)),
    (100, (39, 60)),
    (2000, (956, 1043)),
])  # fmt: skip
def test_a_median_lies_between_order_statistics(n, bounds):
    assert median_bounds(n) == bounds


@pytest.mark.parametrize("n", [6, 10, 100, 1000, 1001, 5000])
def test_the_places_are_those_that_the_report_uses(n):
    from lab.report.statistics import median_estimate

    found = median_estimate(list(range(n)))
    low, high = median_bounds(n)
    assert abs(found.low - low) <= 1
    assert abs(found.high - high) <= 1


def test_a_record_has_the_median_its_interval_and_a_p99_where_there_are_enough(tmp_path):
    few = record_of(Probe(name="x", unit="s", samples=[3.0, 1.0, 2.0]), 0, tmp_path)
    assert (few.value, few.low, few.high, few.n, few.p99) == (2.0, None, None, 3, None)
    many = record_of(Probe(name="x", unit="s", samples=list(map(float, range(101)))), 0, tmp_path)
    assert (many.value, many.low, many.high, many.p99) == (50.0, 40.0, 60.0, 99.0)
    assert quantile([1.0, 2.0], 0.5) == 1.5


def test_a_probe_with_findings_counts_for_nothing(tmp_path):
    record = record_of(Probe(name="x", unit="s", samples=[1.0], findings=["it was not so"]), 0, tmp_path)
    assert (record.verified, record.findings) == (False, ["it was not so"])


def test_nothing_measured_is_no_record(tmp_path):
    with pytest.raises(ValueError, match="nothing was measured"):
        record_of(Probe(name="x", unit="s", samples=[]), 0, tmp_path)
