"""The table of bars: what reaches one, what does not, what is not known, and what the rows hold."""

import msgspec
import orjson
import pytest
import synthetic

from lab.bench.grid import find_point, profile
from lab.bench.record import RecordError, Settings
from lab.bench.record_probe import ProbeRecord, ReferenceRecord
from lab.bench.speed_grid import speed_jobs
from lab.report.bars import BARS, LOADS, Limit, differing
from lab.report.build import build_report
from lab.report.reading import load_run
from lab.report.rows.floors import floor_rows, growth_rows
from lab.report.rows.speed import Judged, judge, judge_all, judge_any, median_of, speed_rows
from lab.report.sections.speed import section
from lab.report.statistics import Estimate
from lab.report.text import text_table

FSYNC, CPU = "writes/s, fsync, 1,024 outstanding", "CPU a write, 256 outstanding, buffered"
SINGLE = "write p50, 1 outstanding, buffered"


def trial(benchmark, round_, ops, us=100.0, **settings):
    """A trial of that point of the suite, whose servers and client used 3 x 0.08 + 0.3 s of CPU a second."""
    point = find_point(benchmark)
    assert point is not None
    base = msgspec.structs.replace(point.settings, **{"seconds": 1.0, **settings})
    return synthetic.World(seed=round_).trial("speed", base, benchmark, round_, ops, us)


def reference(point, round_, writes_per_s, p50_us=100.0, verified=True):
    return ReferenceRecord(
        point=point, script="pipeline.py", arguments=["1"], writes_per_s=writes_per_s, p50_us=p50_us,
        cpu_us_per_write=5.0, verified=verified, round=round_, started_at="2026-01-02T03:04:05.678Z",
        machine=synthetic.MACHINE,
    )  # fmt: skip


def probe(name, round_, value, unit="µs", **more):
    return ProbeRecord(
        probe=name, unit=unit, value=value, low=0.9 * value, high=1.1 * value, n=100, round=round_,
        started_at="2026-01-02T03:04:05.678Z", machine=synthetic.MACHINE, **more,
    )  # fmt: skip


def a_run(folder, records, probes=(), references=()):
    run = synthetic.write_run(folder, records)
    for name, lines in (("probes.jsonl", probes), ("references.jsonl", references)):
        if lines:
            text = b"".join(orjson.dumps(msgspec.to_builtins(line)) + b"\n" for line in lines)
            (run / name).write_bytes(text)
    return load_run(run)


def rows_of(run):
    return {row.title: row for row in speed_rows(run)}


def test_every_bar_is_measured_by_something_that_the_suite_has():
    others = {"bar/start/empty", "bar/start/1m", "bar/snapshot/1m"}  # probes of lab.bench.large_tree
    for bar in BARS:
        for point in filter(None, (bar.measured_by, bar.outside if bar.outside.startswith("bar/") else "")):
            assert point in others or find_point(point) is not None, point
    hops = {f"floor/hop/{bar.hop}" for bar in BARS}
    assert hops == {"floor/hop/other-core", "floor/hop/same-core"}
    assert "floor/hop" in {job.id for job in speed_jobs("smoke")}
    points = {point.id for point in profile("smoke", ("speed",)).points}
    assert {bar.measured_by for bar in BARS if bar.measured_by.startswith("bar/")} - others <= points


@pytest.mark.parametrize(("low", "high", "higher", "word"), [
    (10.0, 12.0, True, "reached"),
    (9.0, 12.0, True, "undecided"),
    (7.0, 9.9, True, "not reached"),
    (8.0, 10.0, False, "reached"),
    (8.0, 12.0, False, "undecided"),
    (10.1, 12.0, False, "not reached"),
])  # fmt: skip
def test_a_bar_is_reached_if_the_whole_interval_says_so(low, high, higher, word):
    assert judge(Limit("", 10.0), Estimate((low + high) / 2, low, high, 5), higher).word == word


def test_without_an_interval_or_a_comparison_nothing_is_decided():
    assert judge(Limit("", 10.0), Estimate(99.0, None, None, 1), True).word == "undecided"
    assert judge(Limit("reference", 0.7), None, True) == Judged(
        "not measured", "0.7 × reference: nothing to compare with"
    )


@pytest.mark.parametrize(("words", "any_", "all_"), [
    (("reached", "not reached"), "reached", "not reached"),
    (("not measured", "not reached"), "not measured", "not reached"),
    (("undecided", "reached"), "reached", "undecided"),
    (("not measured", "reached"), "reached", "undecided"),
    (("not reached", "not reached"), "not reached", "not reached"),
    (("reached", "reached"), "reached", "reached"),
])  # fmt: skip
def test_one_way_is_enough_and_all_limits_are_needed(words, any_, all_):
    judged = [Judged(word, word) for word in words]
    assert judge_any(judged).word == any_
    assert judge_all(judged).word == all_


def test_ratios_are_of_single_rounds_so_that_a_slow_minute_does_not_count(tmp_path):
    point = "bar/writes/3+0/fsync/1024"
    moods = [1.0, 0.25, 0.9, 0.5, 1.1, 0.8]  # what the machine was up to
    records = [trial(point, n, 200_000 * mood) for n, mood in enumerate(moods)]
    records += [trial("peer/zookeeper/writes/4x256", n, 10_000 * mood) for n, mood in enumerate(moods)]
    references = [reference(point, n, 250_000 * mood) for n, mood in enumerate(moods)]
    row = rows_of(a_run(tmp_path / "r", records, references=references))[FSYNC]
    assert (row.reference_ratio, row.outside_ratio) == (pytest.approx(0.8), pytest.approx(20.0))
    assert (row.n, row.verdict) == (6, "reached")
    assert row.low == pytest.approx(50_000)


def test_ten_times_an_outside_system_that_was_not_measured_is_undecided(tmp_path):
    point = "bar/writes/3+0/fsync/1024"
    row = rows_of(a_run(tmp_path / "r", [trial(point, n, 200_000 + n) for n in range(5)]))[FSYNC]
    assert (row.verdict, row.because) == ("undecided", "10 × outside: nothing to compare with")


def cells_of(run, title):
    """The row of that bar in the table, by its column's name."""
    [table] = [table for table in section(run).tables if table.title == "The bars"]
    return next(dict(zip(table.header, row, strict=True)) for row in table.rows if row[0] == title)


def test_beside_a_ratio_stands_how_many_rounds_have_both(tmp_path):
    point, title = "bar/writes/3+0/fsync/64", "writes/s, fsync, 64 outstanding"
    records = [trial(point, n, 50_000.0) for n in range(6)]
    records += [trial("peer/zookeeper/writes/1x64", n, 5_000.0) for n in (2, 4)]
    run = a_run(tmp_path / "r", records, references=[reference(point, 3, 40_000)])
    row = rows_of(run)[title]
    assert (row.n, row.reference_ratio_n, row.outside_ratio_n, row.hops_ratio_n) == (6, 1, 2, 0)
    cells = cells_of(run, title)
    assert (cells["n"], cells["× reference"], cells["× outside"]) == ("6", "1.25 (n = 1)", "10 (10–10, n = 2)")
    assert (row.verdict, cells["× 4 hops"]) == ("undecided", "–")


@pytest.mark.parametrize(("limited", "says"), [
    ((), ""),
    (("bar/writes/3+0/fsync/64",), "the load process was at its limit"),
    (("peer/zookeeper/writes/1x64",), "the outside system's load process was at its limit: it may do more"),
])  # fmt: skip
def test_a_load_process_at_its_limit_is_told_of_either_side(tmp_path, limited, says):
    title = "writes/s, fsync, 64 outstanding"
    records = [
        msgspec.structs.replace(trial(point, n, ops), client_limited=point in limited and n == 1)
        for n in range(3)
        for point, ops in (("bar/writes/3+0/fsync/64", 50_000.0), ("peer/zookeeper/writes/1x64", 5_000.0))
    ]
    references = [reference("bar/writes/3+0/fsync/64", n, 50_000.0) for n in range(3)]
    assert cells_of(a_run(tmp_path / "r", records, references=references), title)["hangs on"] == says


def test_every_bar_says_what_its_points_run():
    """But for what a profile sets, and for probes, which have no settings."""
    points = {point for bar in BARS if bar.figure != "probe" for point in (bar.measured_by, bar.outside) if point}
    assert points == LOADS.keys()
    for point in points:
        known = find_point(point)
        assert known is not None
        assert differing(point, known.settings) == [], point
    assert differing("bar/writes/3+0/fsync/64", Settings(clients=2, seed=7)) == ["clients"]


def test_trials_of_another_workload_neither_reach_a_bar_nor_miss_it(tmp_path):
    point, title = "bar/writes/3+0/fsync/64", "writes/s, fsync, 64 outstanding"
    small = [trial(point, n, 900_000.0, value_bytes=10, keys=50) for n in range(5)]
    references = [reference(point, n, 50_000.0) for n in range(6)]
    run = a_run(tmp_path / "small", small, references=references)
    row = rows_of(run)[title]
    assert (row.verdict, row.value, row.n) == ("not measured (another workload)", None, 0)
    assert cells_of(run, title)["hangs on"] == "other value_bytes, keys"
    assert "1 ran under other settings than their bars'" in section(run).sentences[0]
    mixed = rows_of(a_run(tmp_path / "mixed", [*small, trial(point, 5, 60_000.0)], references=references))[title]
    assert (mixed.value, mixed.n, mixed.reference_ratio) == (60_000.0, 1, pytest.approx(1.2))


def test_an_outage_of_another_ensemble_is_not_the_bars(tmp_path):
    one = synthetic.World().failover(5, 0, "crash", 0, 100)
    link = msgspec.structs.replace(one.pyperf, benchmark="bar/outage/3+0/crash")
    rows = rows_of(a_run(tmp_path / "r", [msgspec.structs.replace(one, suite="speed", pyperf=link)]))
    row = rows["outage after SIGKILL of the leader, median"]
    assert (row.verdict, row.because) == ("not measured (another workload)", "other voters")


def test_what_a_profile_sets_does_not_matter_to_a_bar(tmp_path):
    point = "bar/writes/3+0/buffered/256"
    longer = [trial(point, n, 70_000.0 + n, seconds=3.0, warmup=9.0, repeats=2) for n in range(6)]
    assert rows_of(a_run(tmp_path / "r", longer))["CPU a write, 256 outstanding, buffered"].verdict == "reached"


def test_cpu_is_that_of_all_processes_per_write(tmp_path):
    records = [trial("bar/writes/3+0/buffered/256", n, 70_000.0) for n in range(5)]
    row = rows_of(a_run(tmp_path / "r", records))[CPU]
    assert row.value == row.cpu_us_per_op == pytest.approx(1e6 * (3 * 0.08 + 0.3) / 70_000)
    assert row.verdict == "reached"


def test_single_writes_are_held_against_four_hops_of_the_same_round(tmp_path):
    point = "bar/writes/3+0/buffered/1"
    records = [trial(point, n, 5_000, us=200.0 + n, outstanding=1) for n in range(6)]
    probes = [probe("floor/hop/other-core", n, 25.0) for n in range(6)]
    probes += [probe("floor/hop/same-core", n, 3.0) for n in range(6)]
    references = [reference(point, n, 7_000, p50_us=190.0) for n in range(6)]
    row = rows_of(a_run(tmp_path / "r", records, probes, references))[SINGLE]
    assert row.hops_ratio == pytest.approx(2.0, rel=0.1)
    assert row.verdict == "reached"


def test_outages_have_a_median_with_an_interval_and_a_p99_from_a_hundred_on(tmp_path):
    world = synthetic.World()
    records = []
    for round_ in range(5):
        one = world.failover(3, 0, "crash", round_, 20)
        link = msgspec.structs.replace(one.pyperf, benchmark="bar/outage/3+0/crash")
        records.append(msgspec.structs.replace(one, suite="speed", pyperf=link, outage_ms=[10.0] * 19 + [80.0]))
    rows = rows_of(a_run(tmp_path / "r", records))
    median, tail = (rows[f"outage after SIGKILL of the leader, {what}"] for what in ("median", "p99"))
    assert (median.value, median.n, median.verdict) == (10.0, 100, "reached")
    assert (tail.value, tail.verdict) == (80.0, "not reached")
    few = rows_of(a_run(tmp_path / "few", records[:1]))["outage after SIGKILL of the leader, p99"]
    assert (few.n, few.verdict) == (20, "undecided")


def test_what_did_not_verify_is_left_out_and_said_to_be(tmp_path):
    point = "bar/writes/3+0/fsync/64"
    run = a_run(
        tmp_path / "r", [trial(point, 0, 1_000.0)],
        [probe("floor/hop/same-core", 0, 3.0, verified=False, findings=["it was not so"])],
        [reference(point, 0, 1_000.0, verified=False)],
    )  # fmt: skip
    assert rows_of(run)["writes/s, fsync, 64 outstanding"].reference is None
    assert floor_rows(run) == []
    said = section(run).sentences
    assert (
        "2 probes or references did not verify and are left out; the first: floor/hop/same-core: it was not so." in said
    )


def test_a_median_has_order_statistics_from_six_rounds_on_and_holds_itself_below():
    assert median_of({}) is None
    assert median_of({0: 3.0}) == Estimate(3.0, None, None, 1)
    five = median_of(dict(enumerate((1.0, 1.0, 1.0, 9.0, 9.5))))
    assert five.low <= five.value == 1.0 <= five.high
    assert median_of({n: float(n) for n in range(6)}) == Estimate(2.5, 0.0, 5.0, 6)


def test_one_more_server_is_read_off_a_plane_through_all_shapes(tmp_path):
    records = []
    for round_ in range(4):
        for voters, observers in ((3, 0), (3, 2), (3, 4), (5, 0), (7, 0)):
            us = 5.0 + 2.0 * (voters - 3) + 0.5 * observers
            point = f"bar/writes/{voters}+{observers}/buffered/256"
            records.append(trial(point, round_, 1e6 / us, voters=voters, observers=observers))
    observer, voter = growth_rows(a_run(tmp_path / "r", records))
    assert (observer.us, voter.us) == (pytest.approx(0.5), pytest.approx(2.0))
    assert observer.base_us == pytest.approx(5.0)
    assert observer.residual == pytest.approx(0.0, abs=1e-9)
    assert (voter.share, voter.rounds) == (pytest.approx(0.4), 4)


def test_no_plane_without_both_kinds_of_growth(tmp_path):
    assert growth_rows(a_run(tmp_path / "r", [trial("bar/writes/3+0/buffered/256", 0, 1e5)])) == []


def test_floors_are_medians_of_their_rounds_and_one_round_keeps_its_own_interval(tmp_path):
    records = [trial("floor/null/writes/256", 0, 1e6, target="null", voters=1)]
    one = a_run(
        tmp_path / "one", records, [probe("floor/hop/same-core", 0, 3.0), probe("floor/fdatasync/4KiB", 0, 90.0)]
    )
    hop, sync, null = floor_rows(one)
    assert (hop.floor, hop.value, hop.low, hop.rounds) == ("hop/same-core", 3.0, pytest.approx(2.7), 1)
    assert sync.floor == "fdatasync/4KiB"
    assert (null.floor, null.unit) == ("null server, writes, 256 outstanding", "/s")
    many = a_run(tmp_path / "many", records, [probe("floor/hop/same-core", n, 1.0 + n) for n in range(6)])
    assert (floor_rows(many)[0].value, floor_rows(many)[0].low) == (3.5, 1.0)


def test_the_section_is_on_the_page_and_printed_with_every_row(tmp_path):
    run = a_run(tmp_path / "r", [trial("bar/writes/3+0/fsync/64", n, 50_000.0 + n) for n in range(5)])
    report = build_report(run.path, tmp_path / "reports")
    html, markdown = (path.read_text() for path in report.paths[:2])
    for bar in BARS:
        assert bar.title.replace("×", "×") in html
        assert bar.title in markdown
        assert any(line.startswith(bar.title) for line in report.printed)
    assert "of 16 bars 1 were measured" in html.lower()
    assert "no reference pipeline ran" in html


def test_a_run_of_the_grid_has_no_such_section(loaded):
    assert section(loaded["quick"]) is None


@pytest.mark.parametrize(("name", "line", "says"), [
    ("probes.jsonl", b'{"probe": "x"}', "probes.jsonl:1: field 'unit'|missing"),
    ("references.jsonl", b'{"point": 3}', "references.jsonl:1"),
    ("probes.jsonl", b'{"schema": 99}', "newer than"),
    ("probes.jsonl", b'{"probe"', "cut off"),
])  # fmt: skip
def test_side_records_are_read_as_strictly_as_trials(tmp_path, name, line, says):
    folder = synthetic.write_run(tmp_path / "r", synthetic.smoke())
    (folder / name).write_bytes(line + b"\n")
    with pytest.raises(RecordError, match=says):
        load_run(folder)


def test_text_tables_are_aligned():
    from lab.report.tables import Table

    table = Table("t", ["a", "b", "c", "d"], [["x", "long cell", "3", "end"], ["yy", "s", "10", "e"]])
    assert text_table(table, left=(0, 1, 3)) == [
        "a   b           c  d",
        "x   long cell   3  end",
        "yy  s          10  e",
    ]
    assert text_table(table)[2] == "yy          s  10    e"
