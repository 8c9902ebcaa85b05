import msgspec
import pytest
import synthetic

from lab.bench.record import RecordError
from lab.cli import BY
from lab.report.compare import compare_by, compare_runs
from lab.report.matching import AXES


def few(world, rounds=5):
    return [record for r in range(rounds) for record in (
        world.write_throughput(3, 0, r), world.write_throughput(3, 2, r),
        world.write_latency(3, 0, "buffered", "leader", r), world.failover(3, 0, "crash", r, 3),
    )]  # fmt: skip


def test_a_run_against_itself_has_no_difference(run_of):
    run = run_of(few(synthetic.World()))
    comparison = compare_runs(run, run)
    assert comparison.regressions == 0
    assert {row.effect.ratio for row in comparison.rows} == {1.0}


def test_identical_systems_hardly_ever_fail(run_of):
    runs = [run_of(few(synthetic.World(seed))) for seed in range(20, 34)]
    red = [compare_runs(a, b).regressions > 0 for a, b in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(red) <= 1


def test_a_slowdown_is_a_regression_in_every_metric_it_touched(run_of):
    comparison = compare_runs(run_of(few(synthetic.World(1))), run_of(few(synthetic.World(2, slowdown=1.5))))
    worse = {(row.metric) for row in comparison.rows if row.verdict.word == "worse"}
    assert {"throughput", "write p50", "outage, median"} <= worse
    assert comparison.regressions == sum(row.verdict.word == "worse" for row in comparison.rows)
    assert any("worse" in line for line in comparison.lines)


def test_a_speedup_is_better_and_no_regression(run_of):
    comparison = compare_runs(run_of(few(synthetic.World(1))), run_of(few(synthetic.World(2, slowdown=0.6))))
    assert comparison.regressions == 0
    assert any(row.verdict.word == "better" for row in comparison.rows)


def test_runs_are_not_paired_by_round(run_of):
    a, b = run_of(few(synthetic.World(1))), run_of(few(synthetic.World(2)))
    assert {row.effect.n for row in compare_runs(a, b).rows} == {5, 15}


def test_other_machines_are_refused_unless_told(run_of):
    other = msgspec.structs.replace(synthetic.MACHINE, id="other", cores=64)
    a, b = run_of(few(synthetic.World())), run_of(few(synthetic.World(2, machine=other)))
    with pytest.raises(RecordError, match=r"run0 ran on 2 × .* and run1 on 64 × .*--force compares them anyway"):
        compare_runs(a, b)
    assert any("compared although" in note for note in compare_runs(a, b, force=True).notes)


def test_other_workload_settings_are_refused_unless_told(run_of):
    records = few(synthetic.World())
    changed = [
        msgspec.structs.replace(r, settings=msgspec.structs.replace(r.settings, value_bytes=1000)) for r in records
    ]
    a, b = run_of(records), run_of(changed)
    with pytest.raises(RecordError, match=r"value_bytes 100 in A, 1000 in B; --force compares them anyway$"):
        compare_runs(a, b)
    assert len(compare_runs(a, b, force=True).rows) == len(compare_runs(a, a).rows)


def test_what_one_side_lacks_is_named(run_of):
    world = synthetic.World()
    a, b = run_of(few(world)), run_of([world.write_throughput(3, 0, r) for r in range(3)])
    notes = compare_runs(a, b).notes
    assert "only in A: 3+2, buffered, via the leader, 256 outstanding" in notes
    assert "only in A: 3+0, crash" in notes


def test_runs_with_nothing_in_common_are_refused(run_of):
    world = synthetic.World()
    with pytest.raises(RecordError, match="share no verified configuration"):
        compare_runs(run_of([world.write_throughput(3, 0, 0)]), run_of([world.write_throughput(5, 0, 0)]))


def test_shapes_of_one_run_are_compared_with_the_three_voters(loaded):
    comparison = compare_by(loaded["quick"], "shape")
    writes = {row.configuration: row.verdict.word for row in comparison.rows
              if row.metric == "throughput" and "via the leader" in row.configuration}  # fmt: skip
    assert len(writes) == 4
    assert set(writes.values()) == {"worse"}
    assert all(name.endswith("/ 3+0") for name in writes)
    assert comparison.regressions == 0  # another shape is no later version


def test_durabilities_of_one_run(loaded):
    comparison = compare_by(loaded["quick"], "durability")
    assert {row.metric: row.verdict.word for row in comparison.rows} == {"write p50": "worse", "write p99": "worse"}
    assert comparison.rows[0].configuration.endswith("/ buffered")


def turned(records, suite="speed", **changes):
    return [msgspec.structs.replace(r, suite=suite, settings=msgspec.structs.replace(r.settings, **changes))
            for r in records]  # fmt: skip


@pytest.mark.parametrize(
    ("axis", "values", "named"),
    [
        ("max-outstanding", {"max_outstanding": 1}, "one batch at a time"),
        ("batch-txns-max", {"batch_txns_max": 16}, "up to 16 writes a batch"),
        ("leader-serves", {"leader_serves": False}, "the leader serves nobody"),
        ("relays", {"relays": 2}, "2 relays"),
        ("wait", {"wait": "spin"}, "spin waits"),
        ("placement", {"placement": "together"}, "placed together"),
        ("anatomy", {"anatomy": True}, "marked"),
    ],
)
def test_a_knob_of_one_run_is_compared_with_its_usual_value(run_of, axis, values, named):
    world = synthetic.World()
    usual = [world.write_throughput(3, 0, r) for r in range(4)]
    other = [world.write_throughput(3, 0, r) for r in range(4)]
    (throughput, _) = compare_by(run_of([*turned(other, **values), *turned(usual)]), axis).rows
    assert throughput.metric == "throughput"
    assert f", {named}, 256 outstanding / " in throughput.configuration
    ops = [sum(record.ops_per_s for record in records) / 4 for records in (usual, other)]
    assert [throughput.a, throughput.b] == pytest.approx(ops, rel=0.01)


def test_every_axis_can_be_typed():
    assert set(BY) == set(AXES)


@pytest.mark.parametrize(
    "knob", [{"max_outstanding": 1}, {"leader_serves": False}, {"wait": "spin"}, {"placement": "spread"}]
)
def test_other_knobs_are_refused_unless_told(run_of, knob):
    """They are settings as any other, but in the suite that turns them."""
    world = synthetic.World()
    records = [world.write_throughput(3, 0, r) for r in range(3)]
    a, b = run_of(records), run_of(turned(records, "write-latency", **knob))
    (field,) = knob
    with pytest.raises(RecordError, match=rf"{field} .* in A, {knob[field]} in B; --force compares them anyway$"):
        compare_runs(a, b)
    assert len(compare_runs(a, b, force=True).rows) == 2


def test_the_points_of_knobs_are_never_taken_for_each_other(run_of):
    """A grid that has changed leaves points alone; a value is not compared with another value."""
    world = synthetic.World()
    usual = turned([world.write_throughput(3, 0, r) for r in range(3)])
    a = run_of([*usual, *turned(usual, max_outstanding=2), *turned(usual, placement="together")])
    b = run_of([*usual, *turned(usual, max_outstanding=8), *turned(usual, outstanding=64)])
    found = compare_runs(a, b)
    assert len({row.configuration for row in found.rows}) == 1
    assert [note for note in found.notes if note.startswith("only in")] == [
        "only in A: 3+0, buffered, via the leader, placed together, 256 outstanding",
        "only in A: 3+0, buffered, via the leader, up to 2 batches at a time, 256 outstanding",
        "only in B: 3+0, buffered, via the leader, 64 outstanding",
        "only in B: 3+0, buffered, via the leader, up to 8 batches at a time, 256 outstanding",
    ]


@pytest.mark.parametrize(("axis", "says"), [
    ("colour", "--by: 'colour', allowed: target, shape"),
    ("target", "no two configurations that differ in target alone"),
])  # fmt: skip
def test_an_axis_that_cannot_be_is_refused(loaded, axis, says):
    with pytest.raises(RecordError, match=says):
        compare_by(loaded["quick"], axis)


def test_one_process_each_is_undecided(loaded):
    words = {str(row.verdict) for row in compare_runs(loaded["smoke"], loaded["smoke"]).rows}
    assert words == {"undecided (too few to have an interval)"}
