"""Failovers: take the leader away, time the way to the first acknowledged write of its successor, repair, repeat.

One session with one write outstanding is the observer from outside; the servers' marks split what it saw (zab.md,
appendix B).  All failovers of a record happen to one ensemble, whose whole history is verified at the end.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from lab.bench.healthy import dwell, wait_until_healthy
from lab.bench.limits import check_failover
from lab.bench.load_protocol import MakeWatch, Watch
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.networks import sites_of
from lab.bench.phases import observers_rejoined_ns, outage_phases_ns
from lab.bench.record import PHASES, FailoverRecord, PyperfLink, Settings
from lab.bench.results import now_text
from lab.bench.tally import acknowledged, unknown_writes
from lab.bench.trial import DEFAULT_DATA_DIR, loading, running, verify
from lab.client.history import Kind
from lab.faults import AnyFault, Crash, Freeze, Heal, Partition, Restart, Thaw
from lab.targets.target import PhaseMark, Target, TargetError

ACK_TIMEOUT_S = 60.0  # for the first write of a new epoch

Progress = Callable[[int, float], None]  # number of the failover, from 1, and its outage in milliseconds


class Outage(msgspec.Struct, frozen=True):
    """One failover; nanoseconds."""

    total: int  # T8 - T0
    phases: dict[str, int]  # none of a target that does not tell
    observers_rejoin: list[int]


def failover(
    settings: Settings,
    *,
    suite: str = "election",
    data_dir: Path | None = None,
    link: PyperfLink | None = None,
    progress: Progress | None = None,
) -> FailoverRecord:
    """Measure `settings.repeats` failovers on a fresh target; the record says whether they were verified."""
    from lab.bench.systems import LoadMaker, make_target

    check_failover(settings)
    target = make_target(settings, data_dir)
    return run_failover(
        settings, target, LoadMaker(settings, target), suite=suite, data_dir=data_dir, link=link, progress=progress
    )


def run_failover(
    settings: Settings,
    target: Target,
    make_watch: MakeWatch,
    *,
    suite: str = "election",
    data_dir: Path | None = None,
    link: PyperfLink | None = None,
    progress: Progress | None = None,
) -> FailoverRecord:
    """As `failover`, on a target that is handed in and not started yet; it is stopped when this returns or raises."""
    machine = describe_machine(data_dir or DEFAULT_DATA_DIR)
    (commit, dirty), started_at = describe_commit(), now_text()
    rng, outages = random.Random(f"failovers of {settings.seed}"), []
    with running(target), loading(target, settings, make_watch) as watch:
        watch.begin()
        ensemble = Ensemble(target, settings)
        for number in range(1, settings.repeats + 1):
            dwell(settings.tick_ms, rng)
            outages.append(ensemble.fail_over(watch))
            if progress is not None:
                progress(number, outages[-1].total / 1e6)
        histories = watch.finish()
        replicas = target.replicas(unknown := unknown_writes(histories))
    verified, checks = verify(settings, histories, replicas)
    return FailoverRecord(
        suite=suite,
        target=settings.target,
        target_version=target.version,
        voters=settings.voters,
        observers=settings.observers,
        verified=verified,
        checks=checks,
        settings=settings,
        started_at=started_at,
        outage_ms=[outage.total / 1e6 for outage in outages],
        phases_ms={
            phase: [outage.phases[phase] / 1e6 for outage in outages] for phase in PHASES if target.tells_phases
        },
        observer_rejoin_ms=[rejoin / 1e6 for outage in outages for rejoin in outage.observers_rejoin],
        acknowledged=acknowledged(histories, Kind.WRITE),
        unknown=len(unknown),
        sites=sites_of(settings),
        machine=machine,
        commit=commit,
        dirty=dirty,
        pyperf=link,
    )


class Ensemble:
    """The target between failovers: everybody serves, and the epoch in force is known."""

    def __init__(self, target: Target, settings: Settings) -> None:
        assert settings.fault is not None
        self._target = target
        self._fault = settings.fault
        self._servers = settings.voters + settings.observers
        self._epoch = 0

    def fail_over(self, watch: Watch) -> Outage:
        """Lose the leader, wait for the first write of its successor, repair, and wait until everybody serves again."""
        leader = self._settled()[0]
        members = [server.id for server in self._target.servers()]
        fault, repair = fault_and_repair(self._fault, leader, members)
        fault_ns = self._target.inject(fault)
        ack = watch.first_ack(self._epoch, ACK_TIMEOUT_S)
        self._epoch = max(self._epoch, ack.epoch)
        self._target.inject(repair)
        marks = self._settled()[1]
        if not self._target.tells_phases:
            return Outage(ack.at_ns - fault_ns, {}, [])
        return Outage(
            ack.at_ns - fault_ns,
            outage_phases_ns(marks, fault_ns, ack.at_ns, ack.epoch),
            observers_rejoined_ns(marks, ack.epoch),
        )

    def _settled(self) -> tuple[int, list[PhaseMark]]:
        """Wait until everybody serves; the leader, and what was reported up to now (every server has just answered)."""
        leader = wait_until_healthy(self._target, self._servers)
        marks = self._target.marks()
        served = max(server.epoch for server in self._target.servers())
        self._epoch = max(self._epoch, served, _epoch_in_force(marks))
        return leader, marks


def _epoch_in_force(marks: Sequence[PhaseMark]) -> int:
    return max((mark.epoch for mark in marks if mark.phase == "broadcast"), default=0)


def fault_and_repair(kind: str, leader: int, servers: list[int]) -> tuple[AnyFault, AnyFault]:
    """What takes the leader away, and what brings it back."""
    match kind:
        case "crash":
            return Crash(leader), Restart(leader)
        case "freeze":
            return Freeze(leader), Thaw(leader)
        case "partition":
            return Partition(((leader,), tuple(server for server in servers if server != leader))), Heal()
    raise TargetError(f"--fault {kind}: not a fault that a leader can be lost to")
