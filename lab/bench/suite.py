"""What the pyperf suites share: options, points, and the time function that is a verified trial (DESIGN 4).

pyperf starts this twice: as manager, which starts workers and merges what they say, and as worker, which measures.  The
worker brings an ensemble up, warms it, measures, verifies, tears it down, and appends its record beside pyperf's value.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyperf

from lab.bench.grid import find_point, ids_of, profile
from lab.bench.lifeline import die_with_parent, interruptible
from lab.bench.limits import SettingsError, check_settings
from lab.bench.point import LOOPS, Point
from lab.bench.record import FailoverRecord, PyperfLink, Record, RecordError, Settings, TrialRecord
from lab.bench.results import append_record
from lab.targets.target import TargetError
from workloads import WorkloadError

MODULES = {
    "election": "lab.bench.election",
    "write-latency": "lab.bench.write_latency",
    "read-scaling": "lab.bench.read_scaling",
    "speed": "lab.bench.speed",
    "network": "lab.bench.network",
}
FORWARDED = ("point", "records", "round", "data_dir")  # options that pyperf's manager hands to its workers

Measure = Callable[[Settings, str, PyperfLink, Path | None], Record]  # settings, suite, link, data folder


class Unverified(RuntimeError):
    """The measurement failed its checks: its record is kept and marked, pyperf gets no value."""


class Measurement:
    """pyperf's time function of one point: every call returns the seconds that `loops` operations took.

    The window is timed and its operations counted, so a value is window x loops / operations.  Under a fault the first
    call measures all failovers of this worker on one ensemble, and each call hands out one outage, `loops` times.
    """

    def __init__(
        self, point: Point, measure: Measure, *, values: int, round_: int, records: Path | None, data_dir: Path | None
    ) -> None:
        self._point = point
        self._measure = measure
        self._values = values
        self._round = round_
        self._records = records
        self._data_dir = data_dir
        self._calls = 0
        self._outages_s: list[float] = []

    def __call__(self, loops: int) -> float:
        value, self._calls = self._calls, self._calls + 1
        if self._point.settings.fault is None:
            record = self._run(self._point.settings, value)
            assert isinstance(record, TrialRecord)
            return loops / record.ops_per_s
        if not self._outages_s:
            record = self._run(msgspec.structs.replace(self._point.settings, repeats=self._values), value)
            assert isinstance(record, FailoverRecord)
            self._outages_s = [outage / 1e3 for outage in reversed(record.outage_ms)]
        return self._outages_s.pop() * loops

    def _run(self, settings: Settings, value: int) -> Record:
        link = PyperfLink(benchmark=self._point.id, round=self._round, value=value)
        record = self._measure(settings, self._point.suite, link, self._data_dir)
        if self._records is not None:
            append_record(self._records, record)
        if not record.verified:
            first = record.checks.findings[0] if record.checks.findings else "without a finding"
            raise Unverified(f"{self._point.id}: verification failed: {first}")
        if isinstance(record, TrialRecord) and not record.ops_per_s > 0:
            raise Unverified(f"{self._point.id}: no operation was completed in {record.seconds:.2f} s")
        return record


def measure_point(settings: Settings, suite: str, link: PyperfLink, data_dir: Path | None) -> Record:
    """A trial or, where a fault is asked for, a failover on a fresh ensemble of OS processes."""
    from lab.bench.failover import failover
    from lab.bench.trial import trial

    if settings.fault is not None:
        return failover(settings, suite=suite, data_dir=data_dir, link=link)
    return trial(settings, suite=suite, data_dir=data_dir, link=link)


def run_suite(suite: str, measure: Measure = measure_point, program_args: Sequence[str] | None = None) -> None:
    """The `main` of a suite module; reads sys.argv."""
    runner = pyperf.Runner(
        values=3 if suite == "election" else 1,
        processes=3,
        warmups=0,
        loops=LOOPS[suite],
        program_args=tuple(program_args or ("-m", MODULES[suite])),
        add_cmdline_args=_forward,
    )
    _add_options(runner.argparser)
    args = runner.parse_args()
    if args.parent is not None:
        die_with_parent(args.parent)
    try:
        with interruptible():
            for point in _points(suite, args):
                function = Measurement(
                    point, measure, values=args.values, round_=args.round, records=args.records, data_dir=args.data_dir
                )
                _bench(runner, point, function, worker=args.worker)
    except (Unverified, SettingsError, RecordError, WorkloadError, TargetError, OSError) as error:
        sys.stderr.write(f"lab: {error}\n")
        sys.exit(1 if isinstance(error, Unverified) else 2)  # as the commands do


def _bench(runner: Any, point: Point, function: Measurement, *, worker: bool) -> None:
    try:
        runner.bench_time_func(point.id, function)
    except RuntimeError:
        if worker:
            raise
        sys.exit(1)  # pyperf's manager: a worker failed, and has said why


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--point", metavar="ID", help="measure this point of the grid (default: the smoke set)")
    parser.add_argument("--records", metavar="PATH", type=Path, help="append a trial record per measurement here")
    parser.add_argument("--round", metavar="N", type=int, default=0, help="noted in the records")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], help="override a setting")
    parser.add_argument("--data-dir", metavar="DIR", type=Path, help="where servers keep their data")
    parser.add_argument("--parent", metavar="PID", type=int, help=argparse.SUPPRESS)


def _forward(command: list[str], args: argparse.Namespace) -> None:
    """pyperf's hook: append to the worker's command line what the manager was given."""
    for name in FORWARDED:
        value = getattr(args, name)
        if value is not None:
            command += ["--" + name.replace("_", "-"), str(value)]
    for pair in args.set:
        command += ["--set", pair]
    command += ["--parent", str(os.getpid())]


def _points(suite: str, args: argparse.Namespace) -> list[Point]:
    if args.point is None:
        points = list(profile("smoke", (suite,)).points)
    else:
        point = find_point(args.point)
        if point is None or point.suite != suite:
            raise SettingsError(
                f"--point: {args.point!r} is not in the {suite} suite, allowed: {', '.join(ids_of(suite))}"
            )
        points = [point]
    return [msgspec.structs.replace(point, settings=override(point.settings, args.set)) for point in points]


def override(settings: Settings, pairs: Sequence[str]) -> Settings:
    """The settings with FIELD=VALUE pairs applied, checked."""
    plain = msgspec.to_builtins(settings)
    for pair in pairs:
        field, equals, value = pair.partition("=")
        if field not in plain or not equals:
            raise SettingsError(f"--set: {pair!r}, allowed: FIELD=VALUE with a field of {', '.join(plain)}")
        plain[field] = value
    try:
        return check_settings(msgspec.convert(plain, Settings, strict=False))
    except msgspec.ValidationError as error:
        raise SettingsError(f"--set: {' '.join(pairs)}: {error}") from error


def difference(settings: Settings, base: Settings) -> list[str]:
    """The pairs that `override` needs to make `settings` out of `base`."""
    plain, other = msgspec.to_builtins(settings), msgspec.to_builtins(base)
    return [f"{field}={_text(plain[field])}" for field in plain if plain[field] != other[field]]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
