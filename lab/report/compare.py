"""Two runs, or the configurations of one, side by side: ratios with intervals, and verdicts that may fail a build.

Among many comparisons some intervals miss by chance, so better and worse must also survive Holm's adjustment over the
whole table: identical systems turn the exit status red in at most one comparison of runs in twenty.
"""

from collections.abc import Callable, Sequence

import msgspec

from lab.bench.record import RecordError, TrialRecord
from lab.report.matching import AXES, Pair, check_machines, match, pairs_along
from lab.report.parts import Parts, differing_machines, parts_of
from lab.report.points import FailoverPoint, Point, group_failovers, group_trials, load_of
from lab.report.reading import Run
from lab.report.statistics import (
    Effect,
    Sample,
    Verdict,
    estimate,
    holm,
    judge,
    median_estimate,
    median_ratio,
    ratio,
)
from lab.report.style import duration, si
from lab.report.wording import signed, signed_range


class CompareRow(msgspec.Struct, frozen=True):
    """One metric of one configuration; `effect.ratio` is B / A.  `a`, `b` in the metric's unit."""

    configuration: str
    metric: str
    unit: str  # operations/s, ns, us or ms
    a: float
    b: float
    effect: Effect
    higher_is_better: bool
    p_adjusted: float | None
    verdict: Verdict

    @property
    def cells(self) -> list[str]:
        """Configuration, metric, A, B, difference, verdict."""
        return [self.configuration, self.metric, self._said(self.a), self._said(self.b), self._difference(),
                str(self.verdict)]  # fmt: skip

    def _said(self, value: float) -> str:
        if self.unit == "operations/s":
            return f"{si(value)}/s"
        return duration(value * {"ns": 1e-3, "us": 1, "ms": 1_000}[self.unit])

    def _difference(self) -> str:
        span = "no interval" if self.effect.low is None else signed_range(self.effect)
        return f"{signed(self.effect)} ({span}, n = {self.effect.n})"


class Comparison(msgspec.Struct, frozen=True):
    """`regressions`: what became worse from A to B; configurations of one run are no regressions of each other.

    `parts` of a server are judged among themselves and are no regressions: they say where to look, clients decide.
    """

    header: list[str]
    rows: list[CompareRow]
    notes: list[str]
    regressions: int
    parts: list[CompareRow] = []

    @property
    def lines(self) -> list[str]:
        """The tables as plain text, then the notes."""
        table = [self.header, *(row.cells for row in (*self.rows, *self.parts))]
        widths = [max(len(line[i]) for line in table) for i in range(len(self.header))]
        body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        return [*(line.rstrip() for line in body), *self.notes]


def compare_runs(a: Run, b: Run, *, force: bool = False) -> Comparison:
    """B against A.  Raises RecordError if machines or settings differ (unless `force`) or nothing is in both."""
    notes = check_machines({a.path.name: a, b.path.name: b}, force=force)
    pairs: list[Pair] = []
    matches = [match(group_trials(a.trials), group_trials(b.trials)),
               match(group_failovers(a.failovers), group_failovers(b.failovers))]  # fmt: skip
    for found, mismatches, alone in matches:
        if mismatches and not force:
            raise RecordError(f"compare: {mismatches[0]}; --force compares them anyway")
        pairs += found
        notes += [f"compared although {mismatch}" for mismatch in mismatches]
        notes += alone
    parts = _parts_of_runs(a, b, notes, force=force)
    if not pairs and not parts:
        raise RecordError(f"compare: {a.path} and {b.path} share no verified configuration")
    rows = _judged([row for pair in pairs for row in _rows(pair, paired=False)])
    worse = sum(row.verdict.word == "worse" for row in rows)
    return Comparison(["configuration", "metric", "A", "B", "B against A (95 %)", "verdict"], rows,
                      [*_summary(rows), *_summary(parts, "parts"), *notes], worse, parts)  # fmt: skip


def _parts_of_runs(a: Run, b: Run, notes: list[str], *, force: bool) -> list[CompareRow]:
    then, now = parts_of(a), parts_of(b)
    if then is None or now is None:
        return []
    if problem := differing_machines(then, now):
        if not force:
            raise RecordError(f"compare: parts: {problem}: their numbers do not compare; --force compares them anyway")
        notes.append(f"compared although parts: {problem}")
    return compare_parts(then, now)


def compare_parts(then: Parts, now: Parts) -> list[CompareRow]:
    """The parts that both have, judged among themselves; runs are other hours, so nothing is paired."""
    both = [(then.parts[name], part) for name, part in now.parts.items() if name in then.parts]
    return _judged([
        CompareRow(part.name, f"CPU per {part.per}", "ns", estimate(old.sample).value, estimate(part.sample).value,
                   ratio(part.sample, old.sample, paired=False), False, None, Verdict("undecided"))
        for old, part in both
    ])  # fmt: skip


def compare_by(run: Run, axis: str, *, force: bool = False) -> Comparison:
    """Configurations of one run that differ along `axis` alone, each against the first of them."""
    if axis not in AXES:
        raise RecordError(f"--by: {axis!r}, allowed: {', '.join(AXES)}")
    notes = check_machines({run.path.name: run}, force=force)
    pairs = [*pairs_along(group_trials(run.trials), axis), *pairs_along(group_failovers(run.failovers), axis)]
    if not pairs:
        raise RecordError(f"compare: {run.path} has no two configurations that differ in {axis} alone")
    rows = _judged([row for pair in pairs for row in _rows(pair, paired=True)])
    header = ["configuration", "metric", "first", "second", "second against first (95 %)", "verdict"]
    return Comparison(header, rows, [*_summary(rows), *notes], 0)


def _rows(pair: Pair, *, paired: bool) -> list[CompareRow]:
    """Unjudged rows of every metric that both sides have."""
    if isinstance(pair.a, FailoverPoint) and isinstance(pair.b, FailoverPoint):
        a, b = pair.a.outages_ms, pair.b.outages_ms
        return [CompareRow(pair.name, "outage, median", "ms", median_estimate(a).value, median_estimate(b).value,
                           median_ratio(b, a), False, None, Verdict("undecided"))]  # fmt: skip
    assert isinstance(pair.a, Point)
    assert isinstance(pair.b, Point)
    rows = []
    for metric, unit, higher, value in _metrics(pair.a, pair.b):
        samples: tuple[Sample, Sample] = (pair.a.sample(value), pair.b.sample(value))
        if all(number > 0 for sample in samples for number in sample.values):
            effect = ratio(samples[1], samples[0], paired=paired)
            rows.append(CompareRow(pair.name, metric, unit, estimate(samples[0]).value, estimate(samples[1]).value,
                                   effect, higher, None, Verdict("undecided")))  # fmt: skip
    return rows


def _metrics(a: Point, b: Point) -> list[tuple[str, str, bool, Callable[[TrialRecord], float]]]:
    """(metric, unit, higher is better, value): throughput under load, latency of single operations and tails.

    Under a CPU budget throughput only; with one outstanding the median says what the throughput would.
    """
    trials = [*a.trials, *b.trials]
    kinds = [kind for kind in ("write", "read") if all(kind in trial.latency_us for trial in trials)]
    found: list[tuple[str, str, bool, Callable[[TrialRecord], float]]] = []
    single = load_of(a.settings) == 1 == load_of(b.settings)
    if not single:
        found.append(("throughput", "operations/s", True, lambda trial: trial.ops_per_s))
    if a.settings.cpu_share is None and b.settings.cpu_share is None:
        for kind in kinds:
            if single:
                found.append((f"{kind} p50", "us", False, lambda trial, kind=kind: trial.latency_us[kind].p50))  # type: ignore[misc]
            found.append((f"{kind} p99", "us", False, lambda trial, kind=kind: trial.latency_us[kind].p99))  # type: ignore[misc]
    return found


def _judged(rows: Sequence[CompareRow]) -> list[CompareRow]:
    tested = [i for i, row in enumerate(rows) if row.effect.p is not None]
    adjusted = dict(zip(tested, holm([rows[i].effect.p or 0.0 for i in tested]), strict=True))
    judged = []
    for i, row in enumerate(rows):
        verdict, p = judge(row.effect, higher_is_better=row.higher_is_better), adjusted.get(i)
        if verdict.word in ("better", "worse") and (p is None or p >= 0.05):
            verdict = Verdict("undecided", note=f"may be chance among {len(tested)} comparisons")
        judged.append(msgspec.structs.replace(row, verdict=verdict, p_adjusted=p))
    return judged


def _summary(rows: Sequence[CompareRow], of: str = "") -> list[str]:
    if not rows:
        return []
    words = ("better", "worse", "equivalent", "undecided")
    counts = ", ".join(f"{sum(row.verdict.word == word for row in rows)} {word}" for word in words)
    whole = f"better and worse hold for the table as a whole (Holm over {len(rows)} comparisons)"
    return [f"{of}: {counts}; {whole}" if of else f"{counts}; {whole}"]
