"""`bench`: a profile's points, interleaved over rounds, each measured by one pyperf run (DESIGN 4).

pyperf measures all processes of one benchmark before the next, so interleaving is done here: for each round, for each
point in seeded random order, one pyperf command, and in between the jobs that are no trials.  What was measured stays,
whatever happens to the rest.
"""

import contextlib
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
import orjson

from lab.bench.child import run_child
from lab.bench.grid import estimate_s, find_point
from lab.bench.limits import known_to
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.point import LOOPS, SUITES, Job, Point, Profile
from lab.bench.progress import Reporter, duration_text
from lab.bench.record import FailoverRecord, Record, RunInfo, Settings, TrialRecord
from lab.bench.results import RunFolder, append_hlog, now_text, read_new_records, write_whole
from lab.bench.suite import MODULES, difference
from lab.targets.target import TargetError

FAILURES_AT_START_MAX = 3  # as many in a row, before anything was measured, end the run
TIMEOUT_FACTOR, TIMEOUT_EXTRA_S = 5.0, 60.0  # a run that takes this much longer than estimated hangs

Step = Point | Job
Command = Callable[[Point, int, "RunFolder", list[str]], list[str]]  # point, round, where, extra options


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one invocation was asked to measure."""

    profile: Profile
    only: tuple[str, ...] = ()  # what was asked for; the profile holds nothing else
    overrides: dict[str, object] = {}  # settings of every point whose target knows them
    seed: int = 1
    data_dir: Path | None = None
    argv: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(
            msgspec.structs.replace(point, settings=self._told(point.settings)) for point in self.profile.points
        )

    def _told(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, **known_to(settings.target, self.overrides))


def pyperf_command(point: Point, round_: int, folder: RunFolder, extra: list[str]) -> list[str]:
    """One worker process of one point (DESIGN 4); calibration and pyperf's own warm-up are off."""
    values = point.values_in(round_)
    return [
        sys.executable, "-m", MODULES[point.suite], "--point", point.id, "--records", str(folder.trials),
        "--round", str(round_), "--processes", "1", "--values", str(values), "--warmups", "0",
        "--loops", str(LOOPS[point.suite]), "--append", str(folder.pyperf(point.suite)), "--quiet",
        "--timeout", str(round(estimate_s(point, values) * TIMEOUT_FACTOR + TIMEOUT_EXTRA_S)),
        "--inherit-environ", "ZOOKEEPER_HOME,JAVA_HOME", *extra,
    ]  # fmt: skip


def job_command(job: Job, round_: int, folder: RunFolder, data_dir: Path | None) -> list[str]:
    extra = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return [
        sys.executable, "-m", job.module, *job.arguments, "--folder", str(folder.path), "--round", str(round_), *extra
    ]  # fmt: skip


def in_order(steps: Sequence[Step], rng: random.Random, round_: int) -> list[Step]:
    """Points and jobs at random, but a job that belongs beside a point right there: behind it or, every other round,
    before it, so that neither of the two always finds the machine as the other left it."""
    points = {step.id for step in steps if isinstance(step, Point)}
    beside = [step for step in steps if isinstance(step, Job) and step.beside in points]
    order = [step for step in steps if step not in beside]
    rng.shuffle(order)
    for job in beside:
        place = next(i for i, step in enumerate(order) if isinstance(step, Point) and step.id == job.beside)
        order.insert(place + 1 if round_ % 2 == 0 else place, job)
    return order


class Bench:
    """One run of the harness.  `measure` may be interrupted; what it had finished by then is in the folder."""

    def __init__(self, plan: Plan, folder: RunFolder, reporter: Reporter, command: Command = pyperf_command) -> None:
        self.folder = folder
        self._plan = plan
        self._points = plan.points
        self._steps: tuple[Step, ...] = (*self._points, *plan.profile.jobs)
        self._reporter = reporter
        self._command = command
        self._took_s: dict[str, float] = {}  # per point and value: the latest run's seconds
        self._measured = 0
        self._offset = 0  # of trials.jsonl, up to which records were seen
        commit, dirty = describe_commit()
        self.info = RunInfo(
            name=folder.path.name, profile=plan.profile.name, only=list(plan.only), argv=list(plan.argv),
            started_at=now_text(), finished_at="", machine=describe_machine(plan.data_dir or Path("/var/tmp")),
            commit=commit, dirty=dirty, seed=plan.seed, rounds=dict.fromkeys(self._suites(), 0), finished=False,
        )  # fmt: skip

    def measure(self) -> RunInfo:
        """All rounds that the profile's budget allows.  Raises TargetError if nothing can be measured at all."""
        self.folder.write_info(self.info)
        self._started = time.monotonic()
        round_ = 0
        with self._reporter:
            while steps := self._next_round(round_):
                for index, step in enumerate(steps):
                    self._report(step, round_, steps[index:])
                    self._run(step, round_)
                done = {step.suite for step in steps}
                self._update(rounds={suite: n + (suite in done) for suite, n in self.info.rounds.items()})
                round_ += 1
        self.folder.forget_private()
        self._update(finished=True, finished_at=now_text())
        return self.info

    @property
    def failures(self) -> list[str]:
        """One line each."""
        return self.info.failures

    def _suites(self) -> list[str]:
        return [suite for suite in SUITES if any(point.suite == suite for point in self._points)]

    def _update(self, **changes: object) -> None:
        self.info = msgspec.structs.replace(self.info, **changes)
        self.folder.write_info(self.info)

    def _next_round(self, round_: int) -> list[Step]:
        """What this round measures, in order; nothing if the budget is spent or the profile wants no more."""
        steps = self._in_round(round_)
        if not self._wanted(round_, time.monotonic() - self._started + self._estimate_s(steps, round_)):
            return []
        return in_order(steps, random.Random(f"{self._plan.seed}/{round_}"), round_)

    def _in_round(self, round_: int) -> list[Step]:
        """What is planned for the round; past every plan everything, which makes the intervals narrower."""
        extra = all(round_ >= point.rounds for point in self._points)
        return [step for step in self._steps if round_ < step.rounds or extra]

    def _estimate_s(self, steps: Sequence[Step], round_: int) -> float:
        return sum(self._took_s.get(step.id, _guess_s(step, round_)) for step in steps)

    def _report(self, step: Step, round_: int, rest: Sequence[Step]) -> None:
        spent_s = time.monotonic() - self._started
        left_s = self._estimate_s(rest, round_)
        later = round_ + 1
        while self._wanted(later, spent_s + left_s + (more_s := self._estimate_s(self._in_round(later), later))):
            left_s, later = left_s + more_s, later + 1
        self._reporter.doing(f"round {round_ + 1}/{later}  {step.id}", spent_s / (spent_s + left_s), left_s)

    def _wanted(self, round_: int, until_s: float) -> bool:
        """Whether there is to be a round of that number, if it would end `until_s` after the start."""
        profile = self._plan.profile
        if profile.rounds_most is not None and round_ >= profile.rounds_most:
            return False
        return round_ < profile.rounds_least or until_s <= profile.budget_s

    def _run(self, step: Step, round_: int) -> None:
        """One child; a failure is noted and the others go on."""
        command = self._command_of(step, round_)
        began = time.monotonic()
        with _kept_whole(self.folder.pyperf(step.suite)), tempfile.TemporaryFile() as log:
            status = run_child(command, log)
            said = _last_words(log)
        self._took_s[step.id] = time.monotonic() - began
        records, self._offset = read_new_records(self.folder.trials, self._offset)
        for record in records:
            self._keep(step, record)
        if status != 0:
            self._fail(f"{step.id}, round {round_ + 1}: {said or f'it ended with status {status}'}")
        else:
            self._measured += 1
            if isinstance(step, Job):
                self._reporter.note(f"{step.id}: {said}")

    def _command_of(self, step: Step, round_: int) -> list[str]:
        if isinstance(step, Job):
            return job_command(step, round_, self.folder, self._plan.data_dir)
        base = find_point(step.id)
        seed = zlib.crc32(f"{self._plan.seed}/{step.id}/{round_}".encode())
        settings = msgspec.structs.replace(step.settings, seed=seed)
        pairs = difference(settings, base.settings if base else step.settings)
        extra = [option for pair in pairs for option in ("--set", pair)]
        if self._plan.data_dir is not None:
            extra += ["--data-dir", str(self._plan.data_dir)]
        return self._command(step, round_, self.folder, extra)

    def _keep(self, step: Step, record: Record) -> None:
        if isinstance(record, TrialRecord):
            append_hlog(self.folder.hlog(step.id), record)
        self._reporter.note(f"{step.id}: {in_words(record)}")

    def _fail(self, line: str) -> None:
        self._update(failures=[*self.failures, line])
        self._reporter.note(f"FAILED {line}")
        if not self._measured and len(self.failures) >= FAILURES_AT_START_MAX:
            raise TargetError(f"the first {len(self.failures)} measurements failed, so the rest was left out: {line}")


def _guess_s(step: Step, round_: int) -> float:
    return step.seconds if isinstance(step, Job) else estimate_s(step, step.values_in(round_))


def in_words(record: Record) -> str:
    """One line for a person who watches."""
    verdict = "verified" if record.verified else "NOT VERIFIED"
    if isinstance(record, FailoverRecord):
        outages = " ".join(f"{outage:.0f}" for outage in record.outage_ms)
        return f"outages {outages} ms, {verdict}"
    kinds = ", ".join(f"{kind} p50 {use.p50:,.0f} p99 {use.p99:,.0f} us" for kind, use in record.latency_us.items())
    limit = ", limited by the client" if record.client_limited else ""
    budget = ", WITHOUT its CPU budget" if record.settings.cpu_share is not None and record.budget == "none" else ""
    return f"{record.ops_per_s:,.0f} operations/s, {kinds}, {verdict}{limit}{budget}{_schedule_text(record)}"


def _schedule_text(record: TrialRecord) -> str:
    """What an open loop's numbers suffer from."""
    if record.open_loop is None:
        return ""
    late = ", the generator was late" if record.open_loop.generator_late else ""
    kept = record.open_loop.reached and not record.open_loop.caught_up
    return late + ("" if kept else ", rate not kept")


def _last_words(log: IO[bytes]) -> str:
    """Of a failed child's output: its `lab:` line or, without one, the last line."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    ours = [line.removeprefix("lab: ") for line in lines if line.startswith("lab: ")]
    return ours[-1] if ours else lines[-1] if lines else ""


@contextlib.contextmanager
def _kept_whole(path: Path) -> Iterator[None]:
    """pyperf rewrites its file in place: if it was killed while doing so, put back what was there before."""
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    finally:
        if path.exists() and not _is_json(path):
            if before is None:
                path.unlink()
            else:
                write_whole(path, before)


def _is_json(path: Path) -> bool:
    try:
        orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return False
    return True


__all__ = ["Bench", "Plan", "duration_text", "in_words", "pyperf_command"]
