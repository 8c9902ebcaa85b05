"""A plan is data: it is drawn before the walk, replays in any process, and is reduced to what a finding needs."""

import os
import subprocess
import sys

import msgspec
import pytest

from lab.cli import main
from lab.sim.draw import draw_plan
from lab.sim.explore import Finding, examine
from lab.sim.plan import Kill, Plan, PowerCut, Reduction
from lab.sim.shrink import Shrinker, describe_plan
from lab.sim.world import World
from lab.zab.quorum import Majority


def plan_of(seed: int) -> Plan:
    return draw_plan(seed, World.from_seed(seed).config)


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Finding:
    """Of a bug that was planted: one ack commits."""
    monkeypatch.setattr(Majority, "frontier", lambda _self, acked: max(acked.values()))
    return next(found for seed in range(100) if (found := examine(seed)) and len(plan_of(seed).faults) > 5)


def test_one_seed_is_one_plan():
    assert plan_of(3) == plan_of(3)
    assert plan_of(3) != plan_of(4)


def test_some_seeds_are_quiet_and_some_are_mad():
    counts = [len(plan_of(seed).faults) for seed in range(40)]
    assert min(counts) == 0
    assert max(counts) > 30


def test_a_seed_enables_some_kinds_of_faults_only():
    all_kinds = {type(planned.fault) for seed in range(60) for planned in plan_of(seed).faults}
    assert len(all_kinds) == 20
    for seed in range(20):
        assert len({type(planned.fault) for planned in plan_of(seed).faults}) < len(all_kinds)


def test_a_reduction_keeps_the_faults_it_names():
    plan = next(plan for plan in map(plan_of, range(40)) if len(plan.faults) > 10)
    reduced = Reduction(faults=(2, 7), ticks=5).of(plan)
    assert sorted(planned.number for planned in reduced.faults) == [2, 7]
    assert (reduced.ticks, reduced.clients) == (5, plan.clients)


def test_a_finding_is_reduced_to_a_smaller_plan_that_ends_alike(finding: Finding):
    smallest = Shrinker(finding, lambda _: None).shrink()
    before, after = plan_of(finding.seed), smallest.reduction.of(plan_of(finding.seed))
    assert len(after.faults) < len(before.faults)
    assert after.ticks < before.ticks
    assert smallest.kind == finding.kind
    assert examine(smallest.seed, smallest.reduction) == smallest
    assert smallest.lines()[-1] == f"again: {smallest.replay} --trace"
    for number in (planned.number for planned in after.faults):  # none of them can go
        fewer = tuple(planned.number for planned in after.faults if planned.number != number)
        found = examine(smallest.seed, msgspec.structs.replace(smallest.reduction, faults=fewer))
        assert found is None or found.kind != finding.kind


def test_a_reduced_plan_reads_well(finding: Finding):
    lines = describe_plan(Shrinker(finding, lambda _: None).shrink())
    assert lines[0].startswith("ensemble: voters (1, ")
    assert str(Kill(0, 20.0, None)) == "Kill server leader down_ms 20 notice_ms None"
    assert str(PowerCut((1, 2), 5.0, 0.5)) == "PowerCut servers (1, 2) down_ms 5 keeps 0.5"


def test_the_command_prints_the_reduced_plan_and_its_replay(finding: Finding, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["sim", "--seed", str(finding.seed), "--shrink"])
    assert end.value.code == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("ensemble: ")
    replay = printed.err.splitlines()[-1].removeprefix("again: python -m lab ")
    with pytest.raises(SystemExit) as end:
        main(replay.split())
    assert end.value.code == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--shrink"], "--shrink needs --seed"),
        (["--faults", "1"], "--faults needs --seed"),
        (["--seed", "1", "--faults", "1,x"], "'1,x' is no list of numbers"),
        (["--from", "yesterday"], "'yesterday' is neither a number"),
    ],
)
def test_bad_options_are_told_in_one_line(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["sim", *arguments])
    assert end.value.code == 2
    assert part in capsys.readouterr().err


@pytest.mark.process
def test_a_trace_is_the_same_bytes_in_any_process():
    seed = next(seed for seed in range(100) if len(plan_of(seed).faults) > 10)
    command = [sys.executable, "-m", "lab", "sim", "--seed", str(seed), "--trace"]
    traces = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hashing}, capture_output=True, timeout=60, check=True
        ).stdout
        for hashing in ("0", "1", "4711")
    ]
    assert len(traces[0]) > 10_000
    assert traces[0] == traces[1] == traces[2]
