"""A reference pipeline: a script of somebody's that shows how fast replicated writes can be here, run beside ours.

The script is called as `python FILE OUTSTANDING [--fsync] --followers N --seconds S` and prints one line of JSON with
at least `writes_per_s`, `p50_us` and `cpu_us_per_write`; if it has `digests_agree`, that must be true.  The driver runs
it right beside every bar that it can be held against, in every round, so that both see the machine in one mood.
"""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab.bench.lifeline import die_with_parent, interruptible
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.point import Job, Point
from lab.bench.record_probe import ReferenceRecord
from lab.bench.results import RunFolder, append_record, now_text
from lab.bench.warden import run_warded

DEFAULT_DATA_DIR = Path("/var/tmp")
OVERHEAD_S = 1.0  # of its start and its end
ATTEMPTS = 3  # at a run whose replicas agree


class Said(msgspec.Struct, frozen=True):
    """What is read of the script's line; it may say more."""

    writes_per_s: float
    p50_us: float
    cpu_us_per_write: float
    digests_agree: bool = True


class BrokenReferenceError(RuntimeError):
    """The script did not do what a reference has to: one line."""


def reference_jobs(points: Sequence[Point], script: Path) -> tuple[Job, ...]:
    """One beside each bar that such a pipeline can be held against: writes of voters alone, by one client."""
    return tuple(
        Job(
            id=f"reference/{point.id.removeprefix('bar/')}", suite=point.suite, module="lab.bench.reference",
            arguments=(str(script.resolve()), point.id, *arguments_of(point)), rounds=point.rounds,
            seconds=point.settings.seconds + OVERHEAD_S, beside=point.id,
        )
        for point in points
        if _is_comparable(point)
    )  # fmt: skip


def _is_comparable(point: Point) -> bool:
    settings = point.settings
    return (
        point.id.startswith("bar/writes/") and settings.target == "own" and settings.observers == 0
        and settings.clients == 1 and settings.durability in ("fsync", "buffered") and settings.value_bytes == 100
    )  # fmt: skip


def arguments_of(point: Point) -> tuple[str, ...]:
    settings = point.settings
    fsync = ("--fsync",) if settings.durability == "fsync" else ()
    return (str(settings.outstanding), *fsync, "--followers", str(settings.voters - 1),
            "--seconds", f"{settings.seconds:g}")  # fmt: skip


def run_reference(script: Path, arguments: Sequence[str], data_dir: Path) -> Said:
    """Run it in a folder of its own, where it may leave files; what it started ends.  Raises BrokenReferenceError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    seconds = float(arguments[arguments.index("--seconds") + 1])
    try:
        done = run_warded([sys.executable, str(script), *arguments], data_dir, 5 * seconds + 60)
    except subprocess.TimeoutExpired as error:
        raise BrokenReferenceError(f"{script.name}: still running after {error.timeout:g} s") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        words = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise BrokenReferenceError(f"{script.name}: exit status {done.returncode}: {words}")
    try:
        return msgspec.json.decode(lines[-1], type=Said)
    except msgspec.DecodeError as error:
        raise BrokenReferenceError(f"{script.name}: its line is not what a reference prints: {error}") from error


def main() -> None:
    parser = ArgumentParser(description="Run a reference pipeline once, beside a point.")
    parser.add_argument("script", type=Path)
    parser.add_argument("point")
    parser.add_argument("outstanding")
    parser.add_argument("--fsync", action="store_true")
    parser.add_argument("--followers", default="2")
    parser.add_argument("--seconds", default="3")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR)
    parser.add_argument("--parent", type=int)
    options = parser.parse_args()
    if options.parent is not None:
        die_with_parent(options.parent)
    try:
        with interruptible():
            _measure(options)
    except (BrokenReferenceError, OSError) as error:
        sys.stderr.write(f"lab: {error}\n")
        sys.exit(2)


def _measure(options: Namespace) -> None:
    fsync = ["--fsync"] if options.fsync else []
    arguments = [options.outstanding, *fsync, "--followers", options.followers, "--seconds", options.seconds]
    machine, started_at = describe_machine(options.data_dir), now_text()
    for _ in range(ATTEMPTS):
        said = run_reference(options.script.resolve(), arguments, options.data_dir)
        if said.digests_agree:
            break
    commit, dirty = describe_commit()
    record = ReferenceRecord(
        point=options.point, script=options.script.name, arguments=arguments, writes_per_s=said.writes_per_s,
        p50_us=said.p50_us, cpu_us_per_write=said.cpu_us_per_write, verified=said.digests_agree, round=options.round,
        started_at=started_at, machine=machine, commit=commit, dirty=dirty,
    )  # fmt: skip
    if options.folder is not None:
        append_record(RunFolder(options.folder).references, record)
    if not said.digests_agree:  # not ours to mend: the table has the other rounds, and says that this one is left out
        sys.stdout.write(f"left out: its replicas differed {ATTEMPTS} times\n")
        return
    sys.stdout.write(f"{said.writes_per_s:,.0f} writes/s, p50 {said.p50_us:,.0f} us, "
                     f"{said.cpu_us_per_write:.3g} us of CPU a write\n")  # fmt: skip


if __name__ == "__main__":
    main()
