"""Failovers against a target that elects at once: what is injected, what is summed, what is left behind."""

import msgspec
import pytest
from bench_fakes import FakeLoad, FakeTarget

from lab.bench import failover as module
from lab.bench.failover import fault_and_repair, run_failover
from lab.bench.record import PHASES, Settings
from lab.bench.summary import summary
from lab.faults import Crash, Freeze, Heal, Partition, Restart, Thaw
from lab.targets.target import TargetError


@pytest.fixture(autouse=True)
def _no_dwelling(monkeypatch):
    monkeypatch.setattr(module, "dwell", lambda *_: None)


def settings(fault="crash", **more):
    return Settings(**{"fault": fault, "repeats": 3, "outstanding": 1, **more})


def names(fake):
    return [name for name, *_ in fake.calls]


def measure(asked, **fails):
    target = FakeTarget(voters=asked.voters, observers=asked.observers, fail_at=fails.get("target"))
    watch = FakeLoad(target, fail_at=fails.get("watch"))
    return target, watch, lambda: run_failover(asked, target, watch)


@pytest.mark.parametrize("fault", ["crash", "freeze", "partition"])
def test_phases_telescope_to_the_outage(fault):
    target, watch, run = measure(settings(fault, observers=1))
    record = run()
    assert record.verified, record.checks.findings
    assert len(record.outage_ms) == 3
    for number, outage in enumerate(record.outage_ms):
        assert sum(record.phases_ms[phase][number] for phase in PHASES) == pytest.approx(outage)
    assert record.outage_ms == [60e-6] * 3  # the fake answers 60 ns after the fault
    assert all(record.phases_ms[phase] == [10e-6] * 3 for phase in PHASES)
    assert record.observer_rejoin_ms == [5e-6] * 3
    assert record.acknowledged == 10
    assert names(watch) == ["start", "setup", "begin", *["first_ack"] * 3, "finish", "close"]
    assert names(target)[-1] == "stop"


def test_each_failover_hits_the_leader_of_the_moment_and_is_repaired_before_the_next():
    target, watch, run = measure(settings())
    run()
    assert [call[1] for call in target.calls if call[0] == "inject"] == [
        Crash(3), Restart(3), Crash(1), Restart(1), Crash(2), Restart(2)
    ]  # fmt: skip
    assert [call[1] for call in watch.calls if call[0] == "first_ack"] == [1, 2, 3]  # epochs


class Silent(FakeTarget):
    """A target that reports no phases; its servers say what epoch they have seen."""

    tells_phases = False

    def marks(self):
        return []

    def servers(self):
        return [msgspec.structs.replace(server, epoch=self.epoch) for server in super().servers()]


def test_a_target_that_tells_no_phases_has_outages_all_the_same():
    asked = settings(observers=1)
    target = Silent(voters=asked.voters, observers=asked.observers)
    watch = FakeLoad(target)
    record = run_failover(asked, target, watch)
    assert record.verified, record.checks.findings
    assert (record.phases_ms, record.observer_rejoin_ms) == ({}, [])
    assert record.outage_ms == [60e-6] * 3
    assert [call[1] for call in watch.calls if call[0] == "first_ack"] == [1, 2, 3]  # epochs
    assert "outage           ms: median" in summary(record)
    assert "detection" not in summary(record)


@pytest.mark.parametrize(("kind", "fault", "repair"), [
    ("crash", Crash(2), Restart(2)),
    ("freeze", Freeze(2), Thaw(2)),
    ("partition", Partition(((2,), (1, 3, 4))), Heal()),
])  # fmt: skip
def test_faults_and_their_repairs(kind, fault, repair):
    assert fault_and_repair(kind, 2, [1, 2, 3, 4]) == (fault, repair)


def test_progress_is_told_per_failover():
    told = []
    asked = settings()
    target = FakeTarget()
    run_failover(asked, target, FakeLoad(target), progress=lambda number, ms: told.append((number, ms)))
    assert told == [(1, 60e-6), (2, 60e-6), (3, 60e-6)]


@pytest.mark.parametrize("where", ["start", "connector", "inject", "marks", "replicas"])
def test_a_target_that_fails_is_stopped(where):
    target, watch, run = measure(settings(), target=where)
    with pytest.raises(TargetError, match=where):
        run()
    assert names(target)[-1] == "stop"
    assert not watch.calls or names(watch)[-1] == "close"


@pytest.mark.parametrize("where", ["setup", "begin", "first_ack", "finish"])
def test_a_watch_that_fails_is_closed_and_the_target_with_its_fault_stopped(where):
    target, watch, run = measure(settings("freeze"), watch=where)
    with pytest.raises(TargetError, match=where):
        run()
    assert names(watch)[-1] == "close"
    assert names(target)[-1] == "stop"


def test_servers_that_do_not_come_back_end_the_measurement(monkeypatch):
    target, _, run = measure(settings())
    inject = target.inject
    monkeypatch.setattr(target, "inject", lambda fault: 0 if isinstance(fault, Restart) else inject(fault))
    monkeypatch.setattr(module.wait_until_healthy, "__defaults__", (0.0,))
    with pytest.raises(TargetError, match="not everybody serves again: 1 leader, 2 follower, 3 looking"):
        run()
    assert names(target)[-1] == "stop"
