"""`bench` from its options to a plan: which points there are, and what they are told."""

from pathlib import Path

import pytest

from lab import cli
from lab.bench import command
from lab.bench.command import Outcome, run_bench
from lab.bench.plan import Plan
from lab.report.build import Report


class Idle:
    """Implements `Machines` and `Measuring`: notes the plan, measures nothing."""

    def __init__(self, missing=None):
        self.cpus, self.missing, self.plan, self.failures = 2, missing or {}, None, []

    def bench(self, plan, folder, shown):
        self.plan = plan
        return self

    def measure(self):
        return None


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys):
    """The plan behind a command line of `bench`."""

    def plan_of(*arguments: str, missing=None) -> Plan:
        idle = Idle(missing)

        def run(results: Path, **options) -> Outcome:
            return run_bench(results, **{**options, "machines": idle})

        monkeypatch.setattr(command, "run_bench", run)
        monkeypatch.setattr(
            "lab.report.build.build_report", lambda folder, _: Report([folder / "page", folder / "text"], [], [])
        )
        with pytest.raises(SystemExit) as ended:
            cli.main(["bench", *arguments, "--results", str(tmp_path / "results"), "--run", f"run{len(made)}"])
        made.append(arguments)
        if ended.value.code:
            raise AssertionError(capsys.readouterr().err)
        return idle.plan

    made: list[tuple[str, ...]] = []
    return plan_of


def ticks(plan: Plan) -> set[int]:
    return {point.settings.tick_ms for point in plan.points}


def test_a_network_brings_its_tick_unless_one_was_typed_even_the_usual_one(planned):
    assert ticks(planned("--only", "write-latency", "--network", "oceans")) == {300}
    assert ticks(planned("--only", "write-latency", "--network", "oceans", "--tick-ms", "100")) == {100}
    assert ticks(planned("--only", "write-latency")) == {100}


def test_what_was_not_typed_leaves_points_as_they_are(planned):
    plan = planned("--only", "write-latency")
    assert plan.points == plan.profile.points


def targets(plan: Plan) -> set[str]:
    return {point.settings.target for point in plan.points}


@pytest.mark.parametrize(("typed", "why"), [
    (["--network", "zones"], "--network: 'zones', and the target zookeeper has no such thing"),
    (["--transport", "udp"], "--transport: 'udp', and the target zookeeper has no such thing"),
    (["--delay-ms", "2"], "--delay-ms: 2.0, and the target zookeeper has no such thing"),
])  # fmt: skip
def test_a_target_that_cannot_be_told_is_left_out_and_named(planned, capsys, typed, why):
    assert targets(planned("--only", "speed", *typed)) == {"own", "null"}
    assert (
        f"lab: left out: 4 points of zookeeper, peer/zookeeper/writes/4x256 and so on: {why}\n"
        in capsys.readouterr().err
    )


def test_a_target_that_can_be_told_all_that_was_typed_is_measured(planned):
    plan = planned("--only", "speed/peer", "--transport", "shm", "--tick-ms", "200")
    assert (targets(plan), ticks(plan)) == ({"own", "zookeeper"}, {200})


def suites(plan: Plan) -> set[str]:
    return {step.suite for step in (*plan.points, *plan.profile.jobs)}


@pytest.mark.parametrize("typed", [
    ["--transport", "udp"], ["--transport", "shm"], ["--network", "zones"], ["--loss", "0.1"], ["--sealed", "yes"],
])  # fmt: skip
@pytest.mark.parametrize("only", ["network", "speed,network/loss"])
def test_an_axis_of_the_suite_network_is_not_told_to_its_points(planned, only, typed):
    with pytest.raises(AssertionError, match=f"{typed[0]}: an axis of the suite network, allowed with --only election"):
        planned("--only", only, *typed)


def test_everything_over_a_network_is_everything_but_the_suite_that_is_about_networks(planned, capsys):
    plan = planned("--profile", "full", "--network", "zones")
    assert suites(plan) == {"election", "write-latency", "read-scaling", "speed"}
    assert {point.settings.network for point in plan.points} == {"zones"}
    assert "lab: left out: the suite network, of which --network is an axis\n" in capsys.readouterr().err


def test_what_is_no_axis_is_told_to_the_suite_network_too(planned):
    plan = planned("--only", "network/loss", "--tick-ms", "200", "--distribution", "zipf")
    assert {(point.settings.tick_ms, point.settings.distribution) for point in plan.points} == {(200, "zipf")}


def test_a_size_of_datagrams_is_told_to_points_that_send_some(planned):
    plan = planned("--only", "speed/peer,speed/bar", "--network", "zones", "--udp-mtu", "9000")
    assert {point.settings.udp_mtu for point in plan.points} == {9000}
    with pytest.raises(AssertionError, match="--udp-mtu: no link carries datagrams, allowed with --transport udp or"):
        planned("--only", "write-latency", "--udp-mtu", "9000")


def test_a_profile_that_holds_nothing_of_what_was_asked_for_is_one_line(planned):
    with pytest.raises(AssertionError, match="--only network/light: the profile smoke holds nothing of it, allowed:"):
        planned("--profile", "smoke", "--only", "network/light")
    jobs = {job.id for job in planned("--only", "network/light").profile.jobs}
    assert jobs == {"light/ring", "light/datagrams", "light/window", "light/strangers"}
