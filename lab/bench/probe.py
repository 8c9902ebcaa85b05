"""What the jobs of a run share: their options, how a record of samples is made, and where it goes.

A job is a module with a function that measures and yields probes; `run_job` is its `main`.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from lab.bench.lifeline import die_with_parent, interruptible
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.record_probe import ProbeRecord
from lab.bench.results import RunFolder, append_record, now_text
from lab.targets.target import TargetError

P99_FROM = 100  # samples
INTERVAL_FROM = 6  # the fewest whose extremes bound the median at 95 %
DEFAULT_DATA_DIR = Path("/var/tmp")


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one thing; `findings` are what was wrong with it, and make it count for nothing."""

    name: str
    unit: str
    samples: Sequence[float]
    facts: dict[str, float] = {}
    findings: list[str] = []


class Where(msgspec.Struct, frozen=True):
    """What a job is told: its round, and the folder where data go; None: where they usually do."""

    round: int
    data_dir: Path | None


def run_job(measure: Callable[[Where, list[str]], Iterable[Probe]], description: str) -> None:
    """The `main` of a job's module; reads sys.argv, hands on positional arguments."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("what", nargs="*", help="which of its measurements  [default: all]")
    parser.add_argument("--folder", type=Path, help="the run's: append records there")
    parser.add_argument("--round", type=int, default=0, help="noted in the records")
    parser.add_argument("--data-dir", type=Path, help=f"where measured files go  [default: {DEFAULT_DATA_DIR}]")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parent is not None:
        die_with_parent(options.parent)
    try:
        with interruptible():
            said = [_keep(probe, options) for probe in measure(Where(options.round, options.data_dir), options.what)]
    except (TargetError, OSError, ValueError) as error:
        sys.stderr.write(f"lab: {error}\n")
        sys.exit(2)
    sys.stdout.write("; ".join(line for line, _ in said) + "\n")
    if wrong := [line for line, right in said if not right]:
        sys.stderr.write(f"lab: {wrong[0]}\n")
        sys.exit(1)


def _keep(probe: Probe, options: argparse.Namespace) -> tuple[str, bool]:
    """Append its record; what a person who watches is told, and whether it counts."""
    record = record_of(probe, options.round, options.data_dir or DEFAULT_DATA_DIR)
    if options.folder is not None:
        append_record(RunFolder(options.folder).probes, record)
    wrong = "" if record.verified else f" NOT VERIFIED: {record.findings[0]}"
    return f"{record.probe} {record.value:,.4g} {record.unit}{wrong}", record.verified


def record_of(probe: Probe, round_: int, data_dir: Path) -> ProbeRecord:
    ordered = sorted(probe.samples)
    if not ordered:
        raise ValueError(f"{probe.name}: nothing was measured")
    bounds = median_bounds(len(ordered))
    commit, dirty = describe_commit()
    return ProbeRecord(
        probe=probe.name,
        unit=probe.unit,
        value=quantile(ordered, 0.5),
        low=None if bounds is None else ordered[bounds[0]],
        high=None if bounds is None else ordered[bounds[1]],
        n=len(ordered),
        p99=quantile(ordered, 0.99) if len(ordered) >= P99_FROM else None,
        facts=probe.facts,
        verified=not probe.findings,
        findings=probe.findings,
        round=round_,
        started_at=now_text(),
        machine=describe_machine(data_dir),
        commit=commit,
        dirty=dirty,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest of ascending values, as numpy has it."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def median_bounds(n: int) -> tuple[int, int] | None:
    """Places of the ascending values between which the median lies at 95 %: exact, by the binomial of 1/2."""
    if n < INTERVAL_FROM:
        return None
    if n > 1000:  # the normal's limit is exact to a place by then
        low = int(n / 2 - 1.96 * math.sqrt(n) / 2)
        return low, n - 1 - low
    below, rank = 0.0, 0
    while (below := below + math.comb(n, rank) / 2**n) <= 0.025:
        rank += 1
    return rank - 1, n - rank
