"""Rows of the speed table: what was measured, round by round, and whether that reaches its bar."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from lab.bench.record import FailoverRecord, TrialRecord
from lab.report.bars import BARS, Bar, Limit, differing
from lab.report.reading import Run
from lab.report.statistics import MEDIAN_FROM, Estimate, Sample, estimate, median_estimate

REACHED, MISSED, UNDECIDED, UNMEASURED = "reached", "not reached", "undecided", "not measured"
ANOTHER_WORKLOAD = "not measured (another workload)"
P99_FROM = 100  # outages: a p99 of fewer is the greatest of them

Rounds = dict[int, float]  # by round
R = TypeVar("R")
M = TypeVar("M", TrialRecord, FailoverRecord)


class SpeedRow(msgspec.Struct, frozen=True):
    """`n` counts rounds, of outages the outages; ratios are medians of the `..._ratio_n` rounds that have both."""

    title: str
    unit: str
    bar: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    cpu_us_per_op: float | None  # of all servers and load processes
    reference: float | None
    reference_ratio: float | None
    reference_ratio_low: float | None
    reference_ratio_high: float | None
    reference_ratio_n: int
    outside: float | None
    outside_ratio: float | None
    outside_ratio_low: float | None
    outside_ratio_high: float | None
    outside_ratio_n: int
    outside_limited: bool  # its load process was at its limit, so it may do more
    hops_ratio: float | None  # as a multiple of four hops, one way each
    hops_ratio_low: float | None
    hops_ratio_high: float | None
    hops_ratio_n: int
    verdict: str
    because: str  # what the verdict hangs on, where it is not plain
    client_limited: bool
    source: str


class Judged(msgspec.Struct, frozen=True):
    word: str
    why: str


def speed_rows(run: Run) -> list[SpeedRow]:
    """A row a bar, measured or not; none in a run that ran nothing for any."""
    seen = Measured(run)
    rows = [seen.row(bar) for bar in BARS]
    return rows if any(row.value is not None or row.verdict == ANOTHER_WORKLOAD for row in rows) else []


class Measured:
    """What a run has of every point, reference and probe: verified records only, and those that fit their bars."""

    def __init__(self, run: Run) -> None:
        self._others: dict[str, list[str]] = {}  # by point: the settings in which records do not fit the bar
        self._trials = _by(self._fitting(run.trials), _point)
        self._failovers = _by(self._fitting(run.failovers), _point)
        self._references = _by((one for one in run.references if one.verified), lambda one: one.point)
        self._probes = _by((one for one in run.probes if one.verified), lambda one: one.probe)

    def _fitting(self, records: Iterable[M]) -> Iterator[M]:
        for record in records:
            if other := differing(_point(record), record.settings):
                self._others[_point(record)] = other
            else:
                yield record

    def row(self, bar: Bar) -> SpeedRow:
        rounds, centre = self._of(bar)
        reference = self._reference(bar)
        outside = self._figure(bar.outside, bar.figure) if bar.outside else {}
        hops = self._hops(bar)
        ratios = {
            "reference": median_of(ratio_of(rounds, reference)), "outside": median_of(ratio_of(rounds, outside)),
            "hops": median_of(ratio_of(rounds, hops)), "": centre,
        }  # fmt: skip
        judged = self._judge(bar, ratios)
        trials = self._trials.get(bar.measured_by, [])
        return SpeedRow(
            title=bar.title, unit=bar.unit, bar=bar.says, value=centre.value if centre else None,
            low=centre.low if centre else None, high=centre.high if centre else None, n=centre.n if centre else 0,
            cpu_us_per_op=_middle(cpu_us(trials)), reference=_middle(reference),
            **_ratio("reference", ratios["reference"]), outside=_middle(outside),
            **_ratio("outside", ratios["outside"]), **_ratio("hops", ratios["hops"]),
            verdict=judged.word, because=judged.why,
            client_limited=any(trial.client_limited for trial in trials),
            outside_limited=any(trial.client_limited for trial in self._trials.get(bar.outside, [])),
            source=bar.source,
        )  # fmt: skip

    def _of(self, bar: Bar) -> tuple[Rounds, Estimate | None]:
        if bar.figure in ("outage_ms", "outage_p99_ms"):
            outages = [ms for one in self._failovers.get(bar.measured_by, []) for ms in one.outage_ms]
            if not outages:
                return {}, None
            return {}, median_estimate(outages) if bar.figure == "outage_ms" else _p99(outages)
        rounds = self._figure(bar.measured_by, bar.figure)
        return rounds, median_of(rounds)

    def _figure(self, measured_by: str, figure: str) -> Rounds:
        if figure == "probe":
            return rounds_of(self._probes.get(measured_by, []), lambda probe: probe.round, lambda probe: probe.value)
        trials = self._trials.get(measured_by, [])
        return cpu_us(trials) if figure == "cpu_us" else rounds_of(trials, round_of, FIGURES[figure])

    def _reference(self, bar: Bar) -> Rounds:
        of = {"writes_per_s": "writes_per_s", "p50_us": "p50_us", "cpu_us": "cpu_us_per_write"}.get(bar.figure)
        records = self._references.get(bar.measured_by, []) if of else []
        return rounds_of(records, lambda one: one.round, lambda one: float(getattr(one, of or "")))

    def _hops(self, bar: Bar) -> Rounds:
        if not any(limit.of == "hops" for ways in bar.limits for limit in ways):
            return {}
        hops = self._probes.get(f"floor/hop/{bar.hop}", [])
        return {n: 4 * hop for n, hop in rounds_of(hops, lambda one: one.round, lambda one: one.value).items()}

    def _judge(self, bar: Bar, found: Mapping[str, Estimate | None]) -> Judged:
        if found[""] is None:
            other = self._others.get(bar.measured_by)
            return Judged(ANOTHER_WORKLOAD, f"other {', '.join(other)}") if other else Judged(UNMEASURED, "")
        if bar.figure == "outage_p99_ms":
            return _judge_p99(found[""], bar.limits[0][0].factor)
        return judge_all([judge_any([judge(limit, found[limit.of], bar.higher) for limit in ways])
                          for ways in bar.limits])  # fmt: skip


FIGURES: dict[str, Callable[[TrialRecord], float]] = {
    "writes_per_s": lambda trial: trial.writes_per_s,
    "ops_per_s": lambda trial: trial.ops_per_s,
    "p50_us": lambda trial: trial.latency_us["write"].p50,
}


def judge(limit: Limit, found: Estimate | None, higher: bool) -> Judged:
    """Reached or missed if the whole interval says so."""
    what = _WORDS[limit.of].format(limit.factor)
    if found is None:
        return Judged(UNMEASURED, f"{what}: nothing to compare with")
    if found.low is None or found.high is None:
        return Judged(UNDECIDED, f"{what}: n = {found.n}, no interval")
    worst, best = (found.low, found.high) if higher else (-found.high, -found.low)
    bound = limit.factor if higher else -limit.factor
    if worst >= bound:
        return Judged(REACHED, what)
    return Judged(MISSED if best < bound else UNDECIDED, what)


_WORDS = {"": "{:,.6g}", "reference": "{:g} × reference", "outside": "{:g} × outside", "hops": "{:g} × 4 hops"}


def judge_any(ways: list[Judged]) -> Judged:
    """One of them is enough; what is not known cannot be ruled out."""
    for word in (REACHED, UNDECIDED, UNMEASURED):
        if named := [way for way in ways if way.word == word]:
            return named[0]
    return ways[0]


def judge_all(parts: list[Judged]) -> Judged:
    """The worst of them; what was never compared leaves the others undecided, not missed."""
    for word in (MISSED, UNDECIDED):
        if named := [part for part in parts if part.word == word]:
            return Judged(word, named[0].why)
    if missing := [part for part in parts if part.word == UNMEASURED]:
        return Judged(UNDECIDED, missing[0].why)
    return Judged(REACHED, "")


def _judge_p99(found: Estimate | None, bound: float) -> Judged:
    """The bar is about the sample's p99; of fewer than 100 there is none."""
    assert found is not None
    if found.n < P99_FROM:
        return Judged(UNDECIDED, f"a p99 of {found.n} is the greatest of them, {P99_FROM} were asked for")
    return Judged(REACHED if found.value <= bound else MISSED, "of this sample")


def _p99(values: list[float]) -> Estimate:
    return Estimate(float(np.quantile(values, 0.99)), None, None, len(values))


def median_of(rounds: Rounds) -> Estimate | None:
    """Median with its interval: between order statistics from 6 rounds on, Student's t on the logarithms below.

    The latter is the geometric mean's; where the median lies outside of it, the interval is stretched to hold it.
    """
    values = list(rounds.values())
    if not values:
        return None
    middle = float(np.median(values))
    if len(values) >= MEDIAN_FROM:
        return median_estimate(values)
    if len(values) < 2 or min(values) <= 0:
        return Estimate(middle, None, None, len(values))
    mean = estimate(Sample(tuple(values), tuple(rounds)))
    if mean.low is None or mean.high is None:
        return Estimate(middle, None, None, len(values))
    return Estimate(middle, min(mean.low, middle), max(mean.high, middle), len(values))


def ratio_of(ours: Rounds, other: Rounds) -> Rounds:
    """Round by round, where both were measured."""
    return {number: ours[number] / other[number] for number in sorted(ours.keys() & other.keys()) if other[number] > 0}


def cpu_us(trials: Iterable[TrialRecord]) -> Rounds:
    """CPU of all servers and load processes per operation."""
    return rounds_of(trials, round_of, _cpu_us)


def _cpu_us(trial: TrialRecord) -> float:
    cpu_s = sum(server.cpu_s for server in trial.servers) + trial.client_cpu_s
    return 1e6 * cpu_s / max(1, trial.reads + trial.writes)


def round_of(trial: TrialRecord) -> int:
    return trial.pyperf.round if trial.pyperf else -1


def rounds_of(records: Iterable[R], round_: Callable[[R], int], value: Callable[[R], float]) -> Rounds:
    """One mean a round."""
    found: dict[int, list[float]] = {}
    for record in records:
        found.setdefault(round_(record), []).append(value(record))
    return {number: math.fsum(values) / len(values) for number, values in sorted(found.items())}


def _point(record: TrialRecord | FailoverRecord) -> str:
    return record.pyperf.benchmark if record.pyperf else ""


def _by(records: Iterable[R], key: Callable[[R], str]) -> dict[str, list[R]]:
    found: dict[str, list[R]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def _middle(rounds: Rounds) -> float | None:
    return float(np.median(list(rounds.values()))) if rounds else None


def _ratio(name: str, found: Estimate | None) -> dict[str, Any]:
    value, low, high, n = (found.value, found.low, found.high, found.n) if found else (None, None, None, 0)
    return {f"{name}_ratio": value, f"{name}_ratio_low": low, f"{name}_ratio_high": high, f"{name}_ratio_n": n}
