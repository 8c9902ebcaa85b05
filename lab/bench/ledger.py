"""What a run has come to so far: its folder, its failures, and `run.json`, which says so at any time."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from lab.bench.machine import describe_commit, describe_machine
from lab.bench.plan import Plan, Step
from lab.bench.point import SUITES, Job
from lab.bench.progress import Reporter
from lab.bench.record import FailoverRecord, Record, RunInfo, TrialRecord
from lab.bench.results import RunFolder, append_hlog, now_text, read_new_records
from lab.targets.target import TargetError

FAILURES_AT_START_MAX = 3  # as many in a row, before anything was measured, end the run


class Ledger:
    """Told of every step that has ended."""

    def __init__(self, plan: Plan, folder: RunFolder, reporter: Reporter) -> None:
        self.folder = folder
        self._reporter = reporter
        self._measured = 0
        self._offset = 0  # of trials.jsonl, up to which records were seen
        suites = [suite for suite in SUITES if any(point.suite == suite for point in plan.profile.points)]
        commit, dirty = describe_commit()
        self.info = RunInfo(
            name=folder.path.name, profile=plan.profile.name, only=list(plan.only), argv=list(plan.argv),
            started_at=now_text(), finished_at="", machine=describe_machine(plan.data_dir or Path("/var/tmp")),
            commit=commit, dirty=dirty, seed=plan.seed, rounds=dict.fromkeys(suites, 0), finished=False,
        )  # fmt: skip

    def update(self, **changes: object) -> None:
        self.info = msgspec.structs.replace(self.info, **changes)
        self.folder.write_info(self.info)

    def ended(self, step: Step, round_: int, status: int, said: str) -> None:
        """A step's child has ended.  Raises TargetError if nothing can be measured at all."""
        records, self._offset = read_new_records(self.folder.trials, self._offset)
        for record in records:
            self._keep(step, record)
        if status != 0:
            self.fail(f"{step.id}, round {round_ + 1}: {said or f'it ended with status {status}'}")
        else:
            self._measured += 1
            if isinstance(step, Job):
                self._reporter.note(f"{step.id}: {said}")

    def fail(self, line: str) -> None:
        """Note a failure; the others go on.  Raises TargetError if nothing can be measured at all."""
        self.update(failures=[*self.info.failures, line])
        self._reporter.note(f"FAILED {line}")
        failures = len(self.info.failures)
        if not self._measured and failures >= FAILURES_AT_START_MAX:
            raise TargetError(f"the first {failures} measurements failed, so the rest was left out: {line}")

    def round_done(self, steps: Sequence[Step]) -> None:
        done = {step.suite for step in steps}
        self.update(rounds={suite: n + (suite in done) for suite, n in self.info.rounds.items()})

    def finish(self) -> None:
        self.folder.forget_private()
        self.update(finished=True, finished_at=now_text())

    def _keep(self, step: Step, record: Record) -> None:
        if isinstance(record, TrialRecord):
            append_hlog(self.folder.hlog(step.id), record)
        self._reporter.note(f"{step.id}: {in_words(record)}")


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


def last_words(log: IO[bytes]) -> str:
    """Of a failed child's output: its `lab:` line or, without one, the last line."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    ours = [line.removeprefix("lab: ") for line in lines if line.startswith("lab: ")]
    return ours[-1] if ours else lines[-1] if lines else ""
