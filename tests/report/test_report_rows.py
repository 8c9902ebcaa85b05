import msgspec
import numpy as np
import pytest
import synthetic

from lab.bench.record import PHASES, RecordError
from lab.report.points import common, distinguish, group_trials
from lab.report.rows.election import outage_effects, outage_rows, phase_rows
from lab.report.rows.latency import SAMPLES_BEYOND, latency_effects, latency_rows, spectrum_rows
from lab.report.rows.reads import mix_effects, mix_rows, read_rows, read_slopes, reads_at_equal_totals
from lab.report.rows.writes import equal_totals, write_rows, write_slopes


def by_shape(rows):
    return {row.shape: row for row in rows}


def test_writes_are_relative_to_the_three_voters_and_hold_what_was_put_in(loaded):
    rows = by_shape(write_rows(loaded["quick"]))
    assert set(rows) == {"3+0", "3+2", "5+0", "3+4", "7+0"}
    assert rows["3+0"].relative == 1
    assert rows["3+0"].relative_low is None
    us = synthetic.WRITE_US["buffered"]
    for shape, added in (("3+2", 2 * synthetic.OBSERVER_US), ("7+0", 4 * synthetic.VOTER_US)):
        row = rows[shape]
        assert row.relative_low < us / (us + added) < row.relative_high
        assert (row.n, row.baseline) == (6, "3+0")
    assert [rows[shape].growth for shape in ("3+0", "3+2", "7+0")] == ["none", "observers", "voters"]


def test_slopes_are_microseconds_per_added_server(loaded):
    slopes = {one.growth: one.us_per_write for one in write_slopes(loaded["quick"])}
    assert slopes["voters"].low < synthetic.VOTER_US < slopes["voters"].high
    assert slopes["observers"].low < synthetic.OBSERVER_US < slopes["observers"].high


def test_equal_totals_pair_the_mixed_with_the_voters_only(loaded):
    assert [(one.mixed, one.voters_only, one.servers) for one in equal_totals(loaded["quick"])] == [
        ("3+2", "5+0", 5), ("3+4", "7+0", 7),
    ]  # fmt: skip


def test_each_durability_is_a_panel_of_its_own(loaded):
    rows = write_rows(loaded["full"])
    assert {row.panel for row in rows} == {"buffered", "fsync"}
    assert len({row.load for row in rows}) == 1
    assert "buffered" not in rows[0].load


def test_without_three_voters_the_smallest_ensemble_is_the_baseline(run_of):
    world = synthetic.World()
    rows = write_rows(run_of([world.write_throughput(5, o, r) for r in range(2) for o in (0, 2)]))
    assert {row.baseline for row in rows} == {"5+0"}


def test_trials_with_a_budget_or_a_rate_are_no_write_throughput(run_of):
    trial = msgspec.structs.replace(synthetic.World().write_throughput(3, 0, 0), budget="cgroup-v2")
    budgeted, paced = ({"cpu_share": 0.1}, {"rate": 1000.0})
    others = [msgspec.structs.replace(trial, settings=msgspec.structs.replace(trial.settings, **change))
              for change in (budgeted, paced)]  # fmt: skip
    assert write_rows(run_of(others)) == []


def test_reads_come_from_the_budgeted_trials_and_say_the_budget(loaded):
    rows = by_shape(read_rows(loaded["quick"]))
    assert rows["3+4"].cpu_share == 0.1
    assert rows["3+4"].mechanism == "cgroup-v2"
    assert rows["3+4"].source == "reads"
    assert rows["3+4"].relative_low < 7 / 3 < rows["3+4"].relative_high
    assert 0.2 < rows["3+4"].host_busy < 0.9
    assert "64 outstanding per server" in rows["3+0"].load


def test_reads_come_from_the_mix_where_there_is_nothing_else(loaded):
    rows = read_rows(loaded["smoke"])
    assert [(row.shape, row.source, row.n, row.reads_low) for row in rows] == [("3+0", "mix", 1, None),
                                                                                ("3+1", "mix", 1, None)]  # fmt: skip


def test_reads_per_added_server(loaded):
    slopes = {one.growth: one.per_server for one in read_slopes(loaded["quick"])}
    assert slopes["observers"].low < 1e6 / 20 < slopes["observers"].high
    assert [pair[:2] for pair in reads_at_equal_totals(loaded["quick"])] == [("3+2", "5+0"), ("3+4", "7+0")]


def test_the_mix_keeps_ensembles_with_two_or_more_shares(loaded):
    rows = mix_rows(loaded["quick"])
    assert {row.configuration for row in rows} == {"3+0", "3+2"}
    assert sorted({row.reads for row in rows}) == [0.5, 0.9, 1.0]
    assert [(one.shape, one.reads) for one in mix_effects(loaded["quick"])] == [("3+2", r) for r in (0.5, 0.9, 1.0)]


def test_latency_rows_name_what_differs_and_say_the_rest_below(loaded):
    rows = {row.configuration: row for row in latency_rows(loaded["quick"])}
    assert "3+2, buffered, via observers" in rows
    assert rows["3+0, fsync, via the leader"].p50_low < 520 < rows["3+0, fsync, via the leader"].p50_high
    assert "1 outstanding" in rows["3+0, fsync, via the leader"].load


def test_latency_effects_differ_in_one_thing(loaded):
    found = {(one.differs_in, one.settings.attach, one.settings.durability, one.settings.voters)
             for one in latency_effects(loaded["quick"])}  # fmt: skip
    assert found == {("attach", "followers", "buffered", 3), ("attach", "observers", "buffered", 3),
                     ("durability", "leader", "fsync", 3), ("ensemble", "leader", "buffered", 5)}  # fmt: skip


def test_the_spectrum_agrees_with_the_samples_behind_the_histograms(run_of):
    world = synthetic.World()
    trials = [world.write_latency(3, 0, "buffered", "leader", r) for r in range(4)]
    rows = spectrum_rows(run_of(trials))
    same = synthetic.World()
    samples = []
    for _ in trials:
        us = 120.0 * same._noise(0.1)
        samples.append(same._population(us))
    everything = np.concatenate(samples)
    for row in rows[1:]:
        assert row.latency_us == pytest.approx(np.quantile(everything, row.q, method="inverted_cdf"), rel=0.002)
        assert row.low <= row.latency_us <= row.high
        assert row.samples * (1 - row.q) >= SAMPLES_BEYOND * 0.99
    latencies = [row.latency_us for row in rows]
    assert latencies == sorted(latencies)


def test_a_spectrum_of_one_process_has_no_band(loaded):
    assert {row.low for row in spectrum_rows(loaded["smoke"])} == {None}


def test_a_histogram_that_is_none_is_named(run_of):
    trial = synthetic.World().write_latency(3, 0, "buffered", "leader", 0)
    with pytest.raises(RecordError, match=r"histogram\.write': not an HdrHistogram V2"):
        spectrum_rows(run_of([msgspec.structs.replace(trial, histogram={"write": "HISTFAAA"})]))


def test_every_outage_is_a_row_and_shares_end_at_one(loaded):
    rows = [row for row in outage_rows(loaded["quick"]) if row.configuration == "5+0, crash"]
    assert len(rows) == rows[0].n == 24
    assert [row.outage_ms for row in rows] == sorted(row.outage_ms for row in rows)
    assert rows[-1].share == 1
    assert "sync_limit 5 ticks" in rows[0].settings


def test_phases_keep_their_order_and_are_near_the_outage(loaded):
    rows = [row for row in phase_rows(loaded["quick"]) if row.configuration == "3+0, freeze"]
    assert tuple(row.phase for row in rows) == PHASES
    assert sum(row.median_ms for row in rows) == pytest.approx(rows[0].outage_ms, rel=0.2)


def test_outages_are_compared_within_a_fault_only(loaded):
    assert {(one.fault, one.shape, one.baseline) for one in outage_effects(loaded["quick"])} == {
        ("crash", "5+0", "3+0"), ("crash", "3+2", "3+0"),
    }  # fmt: skip


def test_seeds_do_not_make_configurations(loaded):
    throughput = [p for p in group_trials(loaded["quick"].trials) if p.settings.outstanding == 256]
    assert [len(p.trials) for p in throughput] == [6] * 5


def test_names_say_only_what_differs():
    settings = [p.settings for p in group_trials([synthetic.World().write_latency(3, 0, d, "leader", 0)
                                                  for d in ("fsync", "buffered")])]  # fmt: skip
    assert distinguish(settings) == ["buffered", "fsync"]
    assert common(settings) == "closed loop, 1 outstanding; via the leader, shm, no network, 100-byte values"
