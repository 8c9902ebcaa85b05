"""Soak: a moderate load on a real ensemble for a long time, while somebody looks at what every process holds.

Snapshots and purges are on.  The clients keep journals on disk, so neither they nor the check at the end need memory
that grows with the run (`workloads.ledger`); they are sampled like the servers, to be told apart from them.
"""

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lab.bench.growth import growths, settle_s
from lab.bench.holdings import Place, Samples
from lab.bench.lifeline import Interrupted
from lab.bench.limits import check_soak, workload_of_settings
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.pace_series import PaceSeries
from lab.bench.progress import Reporter, Silent
from lab.bench.record import Checks, Settings
from lab.bench.record_long import Reign, SoakRecord
from lab.bench.results import now_text
from lab.bench.tally import common_digest
from lab.bench.trial import DEFAULT_DATA_DIR, checks_of, running
from lab.bench.watch import Watch
from lab.client.history import History, ReplicaState
from lab.targets.target import Target, TargetError
from workloads.ledger import Ledger
from workloads.verdict import Verdict

LOG_SEGMENT_BYTES = 8 << 20  # so that many segments are begun and purged
SLICE_OPERATIONS = 200_000  # some 40 MB while they are checked
PATIENCE_MS = 10_000.0
SHOWN_EVERY_S = 10.0
PAUSE_S = 0.1

SILENT = Silent()


class Soaked(Target, Protocol):
    """A target that says where its servers are."""

    def pids(self) -> dict[int, int]: ...

    def data_folders(self) -> dict[int, Path]: ...

    def progress(self) -> dict[int, tuple[str, int]]: ...

    def look_out(self) -> None: ...


class Clients(Protocol):
    """The clients (`lab.bench.crew.Crew` is the real one)."""

    def start(self) -> None: ...

    def tend(self) -> None: ...

    def pids(self) -> dict[int, int]: ...

    def stop(self) -> None: ...

    def slices(self, operations_min: int | None) -> Iterator[History]: ...

    def close(self) -> None: ...


def soak(settings: Settings, *, data_dir: Path | None = None, evidence: Path, shown: Reporter = SILENT) -> SoakRecord:
    """Soak a fresh ensemble.  If it does not verify, logs, data folders and journals are kept in `evidence`."""
    from lab.bench.systems import CrewMaker, make_own

    check_soak(settings)
    target = make_own(settings, data_dir, log_segment_bytes=LOG_SEGMENT_BYTES)

    def keep() -> None:
        try:
            shutil.copytree(target.folder, evidence)
        except OSError as error:  # shutil.Error, too: a server that still works removes files meanwhile
            shown.note(f"not all evidence could be kept in {evidence}: {error}")

    clients = CrewMaker(settings, target, patience_ms=PATIENCE_MS)
    return run_soak(settings, target, clients, data_dir=data_dir, keep=keep, shown=shown)


def run_soak(
    settings: Settings,
    target: Soaked,
    make_clients: Callable[[], Clients],
    *,
    data_dir: Path | None = None,
    keep: Callable[[], object] = str,
    shown: Reporter = SILENT,
) -> SoakRecord:
    """As `soak`, on a target that is handed in and not started yet; it is stopped when this returns or raises.

    An interrupt ends the load early; what there is by then is verified and recorded.
    """
    machine = describe_machine(data_dir or DEFAULT_DATA_DIR)
    (commit, dirty), started_at = describe_commit(), now_text()
    shown.doing("starting", 0.0, settings.seconds)
    with running(target), contextlib.closing(make_clients()) as clients:
        clients.start()
        watch = _Vigil(settings, target, clients, shown)
        watch.run()
        shown.doing("verifying", 1.0, 0.0)
        pace = PaceSeries(watch.start_ns, watch.end_ns)
        ledger, verdict, replicas = _examine(settings, target, clients, pace, watch.failures)
        findings = [*watch.failures, *(verdict.findings if replicas else ())]
        if findings:
            keep()
    seconds = (watch.end_ns - watch.start_ns) / 1e9
    tracks = watch.samples.tracks()
    return SoakRecord(
        target=settings.target,
        voters=settings.voters,
        observers=settings.observers,
        verified=not findings,
        checks=_with_findings(checks_of(verdict), findings),
        settings=settings,
        log_segment_bytes=LOG_SEGMENT_BYTES,
        started_at=started_at,
        seconds=seconds,
        interrupted=watch.interrupted,
        settle_s=settle_s(seconds),
        acknowledged=verdict.writes,
        lost=verdict.lost if replicas else None,
        unknown=len(ledger.unknown),
        digest=common_digest(replicas),
        reigns=watch.reigns(),
        at_s=watch.samples.at_s,
        tracks=tracks,
        step_s=pace.step_s,
        writes_per_s=pace.writes_per_s(),
        p99_us=pace.p99_us(),
        growth=growths(watch.samples.at_s, tracks, seconds),
        machine=machine,
        commit=commit,
        dirty=dirty,
    )


def _with_findings(checks: Checks, findings: list[str]) -> Checks:
    return Checks(writes=checks.writes, reads=0, reads_total=0, replicas=checks.replicas, findings=findings)


def _examine(
    settings: Settings, target: Soaked, clients: Clients, pace: PaceSeries, failures: list[str]
) -> tuple[Ledger, Verdict, Sequence[ReplicaState]]:
    """Stop the load, read the journals, ask the replicas; an ensemble that failed is not asked."""
    workload, params = workload_of_settings(settings)
    generator = workload.generator(params, settings.seed, 0)
    ledger = Ledger(generator.paths, settings.seed, generator.value_bytes)
    replicas: Sequence[ReplicaState] = ()
    try:
        if not failures:
            clients.stop()
    except TargetError as error:
        failures.append(str(error))
    for history in clients.slices(SLICE_OPERATIONS):
        ledger.take(history)
        pace.take(history)
    try:
        if not failures:
            replicas = target.replicas(ledger.unknown)
    except TargetError as error:
        failures.append(str(error))
    return ledger, ledger.verdict(replicas, settings.voters), replicas


class _Vigil:
    """The time under load."""

    def __init__(self, settings: Settings, target: Soaked, clients: Clients, shown: Reporter) -> None:
        self.failures: list[str] = []
        self.interrupted = False
        self.start_ns = self.end_ns = time.monotonic_ns()
        self.samples = Samples(self.start_ns)
        self._settings, self._target, self._clients, self._shown = settings, target, clients, shown
        self._watch = Watch(settings)
        self._shown_s = -math.inf

    def run(self) -> None:
        """Until the time is over, or somebody interrupts, or something ends."""
        try:
            while (left_s := self._settings.seconds - self._now_s()) > 0.0:
                self._watch.take(self._target.marks())
                self._target.look_out()
                self._clients.tend()
                if not self.samples.wait_s(time.monotonic_ns()):
                    self.samples.take(self._places(), time.monotonic_ns())
                    self._show(left_s)
                time.sleep(min(PAUSE_S, left_s))
        except Interrupted:
            self.interrupted = True
            self._shown.note("interrupted: what there is now is verified and recorded")
        except TargetError as error:
            self.failures.append(str(error))
        self.end_ns = time.monotonic_ns()

    def reigns(self) -> list[Reign]:
        return self._watch.reigns(self.start_ns)

    def _places(self) -> list[Place]:
        target = self._target
        pids, folders, progress = target.pids(), target.data_folders(), target.progress()
        servers = [
            Place(f"server {n}", progress[n][0], pid, folders[n], progress[n][1])
            for n, pid in pids.items()
            if n in progress
        ]
        loads = [Place(f"load {place}", "load", pid) for place, pid in self._clients.pids().items()]
        return [*servers, *loads, Place("harness", "harness", os.getpid())]

    def _show(self, left_s: float) -> None:
        now_s = self._now_s()
        if now_s >= self._shown_s + SHOWN_EVERY_S:
            self._shown_s = now_s
            self._shown.doing(self.samples.describe(), min(1.0, now_s / self._settings.seconds), left_s)

    def _now_s(self) -> float:
        return (time.monotonic_ns() - self.start_ns) / 1e9
