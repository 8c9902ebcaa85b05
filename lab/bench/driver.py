"""`bench`: a profile's points, interleaved over rounds, each measured by one pyperf run (DESIGN 4).

pyperf measures all processes of one benchmark before the next, so interleaving is done here: for each round, for each
point in seeded random order, one pyperf command, and in between the jobs that are no trials.  What was measured stays,
whatever happens to the rest.
"""

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from lab.bench.child import run_child
from lab.bench.ledger import Ledger, last_words
from lab.bench.plan import Command, Plan, Step, command_of, guess_s, in_order, pyperf_command
from lab.bench.progress import Reporter
from lab.bench.record import RunInfo
from lab.bench.results import RunFolder, write_whole


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
        self._ledger = Ledger(plan, folder, reporter)

    def measure(self) -> RunInfo:
        """All rounds that the profile's budget allows.  Raises TargetError if nothing can be measured at all."""
        self._ledger.update()
        self._started = time.monotonic()
        round_ = 0
        with self._reporter:
            while steps := self._next_round(round_):
                for index, step in enumerate(steps):
                    self._report(step, round_, steps[index:])
                    self._run(step, round_)
                self._ledger.round_done(steps)
                round_ += 1
        self._ledger.finish()
        return self.info

    @property
    def info(self) -> RunInfo:
        return self._ledger.info

    @property
    def failures(self) -> list[str]:
        """One line each."""
        return self.info.failures

    def _next_round(self, round_: int) -> list[Step]:
        """What this round measures, in order; nothing if the budget is spent or the profile wants no more."""
        steps = self._in_round(round_)
        if not self._wanted(round_, time.monotonic() - self._started + self._estimate_s(steps, round_)):
            return []
        return in_order(steps, random.Random(f"{self._plan.seed}/{round_}"), round_)

    def _in_round(self, round_: int) -> list[Step]:
        """What is planned for the round; past the plan of every point everything, so that intervals become narrower."""
        extra = bool(self._points) and all(round_ >= point.rounds for point in self._points)
        return [step for step in self._steps if round_ < step.rounds or extra]

    def _estimate_s(self, steps: Sequence[Step], round_: int) -> float:
        return sum(self._took_s.get(step.id, guess_s(step, round_)) for step in steps)

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
        if not self._in_round(round_) or (profile.rounds_most is not None and round_ >= profile.rounds_most):
            return False
        return round_ < profile.rounds_least or until_s <= profile.budget_s

    def _run(self, step: Step, round_: int) -> None:
        """One child; a failure is noted and the others go on."""
        plan = self._plan
        command = command_of(step, round_, self.folder, seed=plan.seed, data_dir=plan.data_dir, command=self._command)
        began = time.monotonic()
        with _kept_whole(self.folder.pyperf(step.suite)), tempfile.TemporaryFile() as log:
            status = run_child(command, log)
            said = last_words(log)
        self._took_s[step.id] = time.monotonic() - began
        self._ledger.ended(step, round_, status, said)


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
