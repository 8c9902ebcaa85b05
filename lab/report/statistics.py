"""Intervals, effects and verdicts over process means (DESIGN 4).

The unit of repetition is the process: values of one process share its ensemble, so they are averaged first.
Throughput and latency are positive and their spread is relative, so means and ratios live on the log scale.
Everything is 95 % unless a confidence is given, and seeded: the same records give the same numbers.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 10  # processes; a t interval below
RESAMPLES = 5_000
MARGIN = 0.05  # "equivalent" means within 5 %
MEDIAN_FROM = 6  # the fewest values whose extremes bound the median at 95 %
LOG_REACH_MAX = 700.0  # a bound beyond exp(700), or its reciprocal, bounds nothing; near 710 floats end
_SEED = 20110627

Floats = NDArray[np.float64]


class Sample(msgspec.Struct, frozen=True):
    """Process means of one configuration.  `rounds[i]` is the round that process i ran in, None outside of rounds."""

    values: tuple[float, ...]
    rounds: tuple[int | None, ...]

    @property
    def logs(self) -> Floats:
        return np.log(np.asarray(self.values, dtype=np.float64))


class Estimate(msgspec.Struct, frozen=True):
    """A number with its interval; without one (`low` is None) it stands on too few, or too wild, values to have any."""

    value: float
    low: float | None
    high: float | None
    n: int


class Effect(msgspec.Struct, frozen=True):
    """One configuration as a multiple of another: 1 is no difference.  `p` tests that; None without an interval."""

    ratio: float
    low: float | None
    high: float | None
    n: int  # processes behind the smaller side, or pairs
    p: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """`word` is better, worse, equivalent or undecided; `more`: how many more processes would about decide it."""

    word: str
    more: int | None = None
    note: str = ""  # why undecided, where more processes are not the answer

    def __str__(self) -> str:
        if self.word == "equivalent":
            return f"equivalent (within {MARGIN:.0%})".replace("%", " %")
        if self.word == "undecided":
            more = f"needs about {self.more} more" if self.more else "too few to have an interval"
            return f"undecided ({self.note or more})"
        return self.word


def process_means(values: Sequence[tuple[int | None, float]]) -> Sample:
    """(round, value) pairs to one mean a process; a value without a round is a process of its own."""
    by_round: dict[int, list[float]] = {}
    means: list[tuple[int | None, float]] = []
    for number, value in values:
        if number is None:
            means.append((None, value))
        else:
            by_round.setdefault(number, []).append(value)
    means += [(number, math.fsum(by_round[number]) / len(by_round[number])) for number in sorted(by_round)]
    return Sample(tuple(value for _, value in means), tuple(number for number, _ in means))


def mean_interval(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Interval of the mean: Student's t below BOOTSTRAP_FROM values, studentised bootstrap from there.

    Studentised, because it kept its word where BCa did not: over 400 samples of 10 normal (exponential) values
    95 % intervals held the truth in 95 (95) % of cases, BCa's in 90 (89) %.
    """
    n = len(values)
    if n < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return mean, mean
    if n < BOOTSTRAP_FROM:
        reach = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * error
        return mean - reach, mean + reach
    low, high = _studentised_quantiles(values, mean, confidence)
    return mean - high * error, mean - low * error


def _studentised_quantiles(values: Floats, mean: float, confidence: float) -> tuple[float, float]:
    n = len(values)
    resampled = values[np.random.default_rng(_SEED).integers(0, n, (RESAMPLES, n))]
    errors = resampled.std(axis=1, ddof=1) / math.sqrt(n)
    kept = errors > 0  # a resample of one value n times has no t
    t = (resampled.mean(axis=1)[kept] - mean) / errors[kept]
    low, high = np.quantile(t, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def estimate(sample: Sample, confidence: float = CONFIDENCE) -> Estimate:
    """Geometric mean of the process means with its interval."""
    logs = sample.logs
    low, high = _bounds(mean_interval(logs, confidence)) or (None, None)
    return Estimate(math.exp(float(logs.mean())), low, high, len(logs))


def ratio(of: Sample, to: Sample, *, paired: bool = True, confidence: float = CONFIDENCE) -> Effect:
    """`of` relative to `to`: paired by round where both ran in the same two or more rounds, Welch's otherwise.

    Only samples of one run may be paired: round 3 of another run was another hour.
    """
    common = sorted({r for r in of.rounds if r is not None} & {r for r in to.rounds if r is not None})
    if paired and len(common) >= 2:
        left, right = dict(zip(of.rounds, of.logs, strict=True)), dict(zip(to.rounds, to.logs, strict=True))
        differences = np.array([left[r] - right[r] for r in common])
        return _effect(float(differences.mean()), mean_interval(differences, confidence), len(common),
                       _p_of_mean(differences))  # fmt: skip
    return _unpaired(of.logs, to.logs, confidence)


def _unpaired(of: Floats, to: Floats, confidence: float) -> Effect:
    difference, n = float(of.mean() - to.mean()), min(len(of), len(to))
    if n < 2:
        return _effect(difference, None, n, None)
    shares = np.array([of.var(ddof=1) / len(of), to.var(ddof=1) / len(to)])
    error = math.sqrt(float(shares.sum()))
    if error == 0:
        return _effect(difference, (difference, difference), n, 1.0 if difference == 0 else 0.0)
    freedom = float(shares.sum() ** 2 / (shares**2 / np.array([len(of) - 1, len(to) - 1])).sum())  # Satterthwaite
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return _effect(difference, (difference - reach, difference + reach), n, p)


def _p_of_mean(differences: Floats) -> float:
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    if error == 0:
        return 1.0 if differences.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(float(differences.mean())) / error, len(differences) - 1))


def _effect(difference: float, found: tuple[float, float] | None, n: int, p: float | None) -> Effect:
    bounds = _bounds(found)
    low, high = bounds or (None, None)
    return Effect(math.exp(difference), low, high, n, p if bounds else None)


def _bounds(logs: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval of logs as one of values.  One that reaches beyond all numbers is none: nothing can be said by it."""
    if logs is None or max(map(abs, logs)) > LOG_REACH_MAX:
        return None
    return math.exp(logs[0]), math.exp(logs[1])


def median_estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Median with its distribution-free interval between order statistics; none below MEDIAN_FROM values."""
    ordered, n = np.sort(np.asarray(values, dtype=np.float64)), len(values)
    rank = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5)) if n >= MEDIAN_FROM else 0
    if rank < 1:  # the interval would reach past the extremes
        return Estimate(float(np.median(ordered)), None, None, n)
    return Estimate(float(np.median(ordered)), float(ordered[rank - 1]), float(ordered[n - rank]), n)


def median_ratio(of: Sequence[float], to: Sequence[float], confidence: float = CONFIDENCE) -> Effect:
    """Ratio of two medians, both populations resampled; the test is Mann and Whitney's."""
    a, b = np.asarray(of, dtype=np.float64), np.asarray(to, dtype=np.float64)
    value, n = float(np.median(a) / np.median(b)), min(len(a), len(b))
    if n < MEDIAN_FROM:
        return Effect(value, None, None, n)
    rng = np.random.default_rng(_SEED)
    tops = np.median(a[rng.integers(0, len(a), (RESAMPLES, len(a)))], axis=1)
    bottoms = np.median(b[rng.integers(0, len(b), (RESAMPLES, len(b)))], axis=1)
    low, high = np.quantile(tops / bottoms, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Effect(value, float(low), float(high), n, float(stats.mannwhitneyu(a, b).pvalue))


def slope(points: Sequence[tuple[float, Sample]]) -> Estimate | None:
    """Least-squares slope of the values over x, one fit a round, averaged with its interval over the rounds.

    Needs two different x.  Fitting each round by itself keeps drift between rounds out of the interval.
    """
    if len({x for x, _ in points}) < 2:
        return None
    shared = set.intersection(*({r for r in sample.rounds if r is not None} for _, sample in points))
    if len(shared) < 2:
        xs = np.array([x for x, sample in points for _ in sample.values])
        ys = np.array([value for _, sample in points for value in sample.values])
        return Estimate(_fit(xs, ys), None, None, min(len(sample.values) for _, sample in points))
    xs = np.array([x for x, _ in points])
    by_round = [dict(zip(sample.rounds, sample.values, strict=True)) for _, sample in points]
    slopes = np.array([_fit(xs, np.array([values[r] for values in by_round])) for r in sorted(shared)])
    found = mean_interval(slopes)
    low, high = found or (None, None)
    return Estimate(float(slopes.mean()), low, high, len(slopes))


def _fit(xs: Floats, ys: Floats) -> float:
    centred = xs - xs.mean()
    return float((centred * ys).sum() / (centred**2).sum())


def judge(effect: Effect, *, higher_is_better: bool, margin: float = MARGIN) -> Verdict:
    """Equivalent if the whole interval lies within the margin, better or worse if it excludes 1, else undecided."""
    if effect.low is None or effect.high is None:
        return Verdict("undecided")
    if effect.low >= 1 / (1 + margin) and effect.high <= 1 + margin:
        return Verdict("equivalent")
    if effect.low > 1 or effect.high < 1:
        return Verdict("better" if (effect.low > 1) == higher_is_better else "worse")
    return Verdict("undecided", _more_needed(effect, margin))


def _more_needed(effect: Effect, margin: float) -> int:
    """How many more processes: half-widths shrink with the root of n, the nearer of the two decisions is awaited."""
    assert effect.low is not None
    assert effect.high is not None
    half = (math.log(effect.high) - math.log(effect.low)) / 2
    difference, edge = abs(math.log(effect.ratio)), math.log(1 + margin)
    reach = max(difference, edge - difference)  # at least edge / 2
    return max(1, math.ceil(effect.n * (half / reach) ** 2) - effect.n)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjustment: among m tests a p below 0.05 after it keeps the chance of any false finding below 5 %."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = worst
    return adjusted
