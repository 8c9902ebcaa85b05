"""Torture: a nemesis breaks a real ensemble while clients use it; then everything is healed, and verified.

`lab.bench.nemesis` decides, this module carries out and takes notes.  The ensemble is watched by what its servers
report, never by questions: a server may be frozen, starting or gone when asked.
"""

import contextlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from lab.bench.latency import series
from lab.bench.limits import check_torture
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.nemesis import (
    CUT_OBSERVERS,
    DATAGRAM_KINDS,
    FULL_DISK,
    KillClient,
    Nemesis,
    Pair,
    Strike,
    Stroke,
    View,
    timeline,
)
from lab.bench.networks import carries_datagrams
from lab.bench.progress import Reporter, Silent
from lab.bench.record import Settings
from lab.bench.record_long import FaultSpan, Reign, TortureRecord
from lab.bench.results import now_text
from lab.bench.tally import Nanoseconds, acknowledged, completed, unknown_writes
from lab.bench.trial import DEFAULT_DATA_DIR, checks_of, judge, running
from lab.bench.watch import Watch
from lab.client.history import History, Kind, ReplicaState
from lab.faults import Crash, Cut, FillDisk, FreeDisk, Freeze, Heal, Partition, Reshape, Restart, Thaw
from lab.targets.target import Target, TargetError

LOG_SEGMENT_BYTES = 1 << 20  # so that logs roll over every few seconds
CALM_S = 1.0  # of load after everybody serves again
HEALTHY_TIMEOUT_S = 180.0
PAUSE_S = 0.01  # between two looks at the ensemble
SHOWN_EVERY_S = 1.0

LONG_S = 30.0  # a run that long has to show something:
ACKNOWLEDGED_LEAST = 1_000  # more than so many writes, and a crash of the leader

SILENT = Silent()


class Tortured(Target, Protocol):
    """A target whose disks can be filled, if it says how."""

    @property
    def disk_full_by(self) -> str:
        """The mechanism; empty: there is none here."""

    def out_of_room(self) -> dict[int, str]:
        """Servers that a FillDisk ended, with their last words; they stay so until their Restart."""


class Clients(Protocol):
    """The clients (`lab.bench.crew.Crew` is the real one)."""

    @property
    def started(self) -> int: ...

    def start(self) -> None: ...

    def kill(self, place: int) -> None: ...

    def tend(self) -> None: ...

    def finish(self) -> list[History]: ...

    def histories(self) -> list[History]: ...

    def close(self) -> None: ...


def torture(
    settings: Settings, *, data_dir: Path | None = None, evidence: Path, shown: Reporter = SILENT
) -> TortureRecord:
    """Torture a fresh ensemble; the record says whether it stood it.

    If it did not, logs, data folders and journals are kept in `evidence`, a folder that is made for that.
    """
    from lab.bench.systems import CrewMaker, make_own

    check_torture(settings)
    target = make_own(settings, data_dir, log_segment_bytes=LOG_SEGMENT_BYTES)

    def keep() -> None:
        try:
            shutil.copytree(target.folder, evidence)
        except OSError as error:  # shutil.Error, too: a server that still works removes files meanwhile
            shown.note(f"not all evidence could be kept in {evidence}: {error}")

    return run_torture(settings, target, CrewMaker(settings, target), data_dir=data_dir, keep=keep, shown=shown)


def run_torture(
    settings: Settings,
    target: Tortured,
    make_clients: Callable[[], Clients],
    *,
    data_dir: Path | None = None,
    keep: Callable[[], object] = str,
    shown: Reporter = SILENT,
) -> TortureRecord:
    """As `torture`, on a target that is handed in and not started yet; it is stopped when this returns or raises.

    `keep` is called before that, if something was found.
    """
    machine = describe_machine(data_dir or DEFAULT_DATA_DIR)
    (commit, dirty), started_at = describe_commit(), now_text()
    if not target.disk_full_by:
        shown.note("no disk can be filled here (it takes prlimit): tortured without it")
    shown.doing("starting", 0.0, settings.seconds)
    with running(target), contextlib.closing(make_clients()) as clients:
        clients.start()
        ordeal = Ordeal(settings, target, clients, shown)
        ordeal.run()
        histories, replicas = ordeal.collect()
        verdict = judge(settings, histories, replicas)
        wrong = [*ordeal.failures, *(verdict.findings if replicas else ())]
        if wrong:
            keep()
    findings = wrong + _too_little(settings, ordeal.seen.leader_crashes, verdict.writes)
    seen = ordeal.seen
    done = completed(histories, ordeal.start_ns, ordeal.end_ns)
    ends = {kind: times for kind, (_, times) in done.items()}
    return TortureRecord(
        target=settings.target,
        voters=settings.voters,
        observers=settings.observers,
        verified=not findings,
        checks=msgspec.structs.replace(checks_of(verdict), findings=findings),
        settings=settings,
        log_segment_bytes=LOG_SEGMENT_BYTES,
        started_at=started_at,
        seconds=ordeal.seconds,
        leader_crashes=seen.leader_crashes,
        faults=dict(sorted(Counter(event.kind for event in seen.events).items())),
        skipped=ordeal.skipped,
        out_of_room=seen.out_of_room,
        disk_full_by=target.disk_full_by,
        acknowledged=verdict.writes,
        lost=verdict.lost if replicas else None,
        unknown=len(unknown_writes(histories)),
        reads=acknowledged(histories, Kind.READ),
        clients=clients.started,
        silence_s=_longest_gap_s(ends[Kind.WRITE], ordeal.start_ns, ordeal.end_ns),
        events=seen.events,
        reigns=seen.reigns,
        series={kind.name.lower(): series(times, ordeal.start_ns, ordeal.end_ns) for kind, times in ends.items()},
        machine=machine,
        commit=commit,
        dirty=dirty,
    )


class Seen:
    """What the ordeal has come to so far."""

    def __init__(self) -> None:
        self.events: list[FaultSpan] = []
        self.reigns: list[Reign] = []
        self.leader_crashes = 0
        self.out_of_room = 0


class Ordeal:
    """The time under load: carries out what the nemesis says, and keeps the view on which it decides."""

    def __init__(self, settings: Settings, target: Tortured, clients: Clients, shown: Reporter) -> None:
        self.seen = Seen()
        self.failures: list[str] = []  # what the ensemble failed at, before anything is verified
        self.start_ns = self.end_ns = time.monotonic_ns()
        self._settings, self._target, self._clients, self._shown = settings, target, clients, shown
        self._nemesis = Nemesis(_plan(settings, can_fill=bool(target.disk_full_by)), settings.seconds)
        self._watch = Watch(settings)
        self._open: list[tuple[Stroke, float]] = []
        self._down: set[int] = set()
        self._filled: set[int] = set()
        self._frozen: set[int] = set()
        self._is_parted = False
        self._shaped: set[Pair] = set()
        self._shown_s = -SHOWN_EVERY_S

    @property
    def skipped(self) -> int:
        return self._nemesis.skipped

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def run(self) -> None:
        """Chaos, healing, calm."""
        try:
            self._chaos()
            self._heal()
            self._wait_until_serving()
            self._stay(CALM_S)
        except TargetError as error:
            self.failures.append(str(error))
            for stroke, _ in list(self._open):
                self._note_end(stroke)
        self.end_ns = time.monotonic_ns()
        self.seen.reigns = self._watch.reigns(self.start_ns)

    def collect(self) -> tuple[list[History], list[ReplicaState]]:
        """What the clients did, and what the replicas hold; an ensemble that failed is not asked."""
        self._shown.doing("verifying", 1.0, 0.0)
        if not self.failures:
            try:
                histories = self._clients.finish()
                return histories, self._target.replicas(unknown_writes(histories))
            except TargetError as error:
                self.failures.append(str(error))
        return self._clients.histories(), []

    # -- the three parts

    def _chaos(self) -> None:
        nemesis = self._nemesis
        while not nemesis.is_over(now_s := self._now_s()):
            self._look()
            if over := nemesis.ended(now_s):
                self._repair(over)
            elif begun := nemesis.begun(now_s, self._view()):
                self._strike(begun)
            else:
                self._clients.tend()
                self._show(now_s)
                time.sleep(PAUSE_S)

    def _heal(self) -> None:
        self._shown.doing("healing", 1.0, 0.0)
        for stroke in self._nemesis.rest():
            self._look()
            self._repair(stroke)

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + HEALTHY_TIMEOUT_S
        while not self._watch.all_serve():
            if time.monotonic() > deadline:
                raise TargetError(
                    f"{HEALTHY_TIMEOUT_S:g} s after the last fault not everybody serves: {self._watch.describe()}"
                )
            self._stay(PAUSE_S)

    def _stay(self, seconds: float) -> None:
        """Look on, and let the load go on."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0.0:
            self._look()
            self._clients.tend()
            time.sleep(min(PAUSE_S, left_s))

    # -- carrying out

    def _strike(self, stroke: Stroke) -> None:
        self._open.append((stroke, self._now_s()))
        leader = self._view().leader
        for blow in stroke.blows:
            match blow:
                case KillClient(place):
                    self._clients.kill(place)
                    continue
                case Crash(server):
                    self.seen.leader_crashes += server == leader
                    self._down.add(server)
                case FillDisk(server):
                    self._down.add(server)
                    self._filled.add(server)
                case Freeze(server):
                    self._frozen.add(server)
                case Partition() | Cut():
                    self._is_parted = True
                case Reshape(source, target):
                    self._shaped.add((min(source, target), max(source, target)))
                case _:
                    raise AssertionError(f"{blow} breaks nothing")
            self._target.inject(blow)

    def _repair(self, stroke: Stroke) -> None:
        for repair in stroke.repairs:
            match repair:
                case Restart(server):
                    self._start_again(server)
                    continue
                case Thaw(server):
                    self._frozen.discard(server)
                case Heal():
                    self._is_parted = False
                case Reshape(source, target):
                    self._shaped.discard((min(source, target), max(source, target)))
                case FreeDisk():
                    pass
                case _:
                    raise AssertionError(f"{repair} repairs nothing")
            self._target.inject(repair)
        self._note_end(stroke)

    def _start_again(self, server: int) -> None:
        """Start it unless it runs: one whose disk was full may have found room again before it had to write."""
        if server not in self._filled or server in self._target.out_of_room():
            self.seen.out_of_room += server in self._filled
            self._watch.take(self._target.marks())  # the last ones of the old incarnation
            self._watch.forget(server)
            self._target.inject(Restart(server))
        self._filled.discard(server)
        self._down.discard(server)

    def _note_end(self, stroke: Stroke) -> None:
        (entry,) = (entry for entry in self._open if entry[0] is stroke)
        self._open.remove(entry)
        self.seen.events.append(FaultSpan(stroke.kind, list(stroke.victims), entry[1], self._now_s()))

    # -- looking

    def _look(self) -> None:
        """Take in what was reported.  Raises TargetError if a server ended that had no reason to."""
        self._watch.take(self._target.marks())
        for server in self._target.out_of_room().keys() - self._down:
            self._filled.add(server)  # room came back when its last write had failed already
            self._start_again(server)

    def _view(self) -> View:
        down, frozen = frozenset(self._down), frozenset(self._frozen)
        return View(
            voters=self._watch.voters,
            observers=self._watch.observers,
            leader=self._watch.leader(down | frozen),
            down=down,
            frozen=frozen,
            is_parted=self._is_parted,
            shaped=frozenset(self._shaped),
            clients=self._settings.clients,
        )

    def _now_s(self) -> float:
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def _show(self, now_s: float) -> None:
        if now_s >= self._shown_s + SHOWN_EVERY_S:
            self._shown_s, seconds = now_s, self._settings.seconds
            now = ", ".join(stroke.kind for stroke, _ in self._open) or "calm"
            what = f"leaders crashed: {self.seen.leader_crashes}; now: {now}"
            self._shown.doing(what, min(1.0, now_s / seconds), seconds - now_s)


def _plan(settings: Settings, *, can_fill: bool) -> list[Strike]:
    possible = {FULL_DISK: can_fill, CUT_OBSERVERS: settings.observers > 0}
    possible |= dict.fromkeys(DATAGRAM_KINDS, carries_datagrams(settings))
    without = [kind for kind, can in possible.items() if not can]
    sync_limit_s = settings.sync_limit_ticks * settings.tick_ms / 1e3
    return timeline(random.Random(f"torture {settings.seed}"), settings.seconds, sync_limit_s, without)


def _too_little(settings: Settings, leader_crashes: int, acknowledged: int) -> list[str]:
    """What a run of some length must have done to say anything."""
    if settings.seconds < LONG_S:
        return []
    findings = []
    if not leader_crashes:
        findings.append("no leader was crashed: the run says nothing about that")
    if acknowledged <= ACKNOWLEDGED_LEAST:
        findings.append(f"{acknowledged} writes were acknowledged, more than {ACKNOWLEDGED_LEAST:,} are needed")
    return findings


def _longest_gap_s(times_ns: Nanoseconds, start_ns: int, end_ns: int) -> float:
    return float(np.diff(np.concatenate(([start_ns], np.sort(times_ns), [end_ns]))).max()) / 1e9
