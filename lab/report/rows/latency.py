"""Latency of single writes: percentiles by configuration and the whole spectrum from the HdrHistograms."""

import msgspec
import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from lab.bench.record import RecordError, Settings, TrialRecord
from lab.report.points import Point, common, distinguish, group_trials, is_write_latency, shape
from lab.report.reading import Run
from lab.report.statistics import Effect, estimate, ratio

POINTS_PER_DECADE = 12
SAMPLES_BEYOND = 5  # the spectrum ends where fewer samples than this lie above


class LatencyRow(msgspec.Struct, frozen=True):
    """Microseconds of one configuration, one write outstanding; intervals over processes."""

    configuration: str
    shape: str
    voters: int
    observers: int
    durability: str
    attach: str
    p50: float
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    n: int
    samples: int
    load: str


class SpectrumRow(msgspec.Struct, frozen=True):
    """Latency that a share `q` of writes stayed within; `low`, `high`: the fastest and slowest process."""

    configuration: str
    q: float
    one_in: float  # 1 / (1 - q)
    latency_us: float
    low: float | None
    high: float | None
    n: int
    samples: int
    load: str


class LatencyEffect(msgspec.Struct, frozen=True):
    """Median write latency of one configuration relative to another that differs in one thing."""

    differs_in: str  # ensemble, durability or attach
    settings: Settings
    baseline: Settings
    p50: float
    baseline_p50: float
    effect: Effect


def latency_rows(run: Run) -> list[LatencyRow]:
    points, names = _named(run)
    rows = []
    for point, name in zip(points, names, strict=True):
        p50, p99 = (
            estimate(point.sample(lambda trial: trial.latency_us["write"].p50)),
            estimate(point.sample(lambda trial: trial.latency_us["write"].p99)),
        )
        settings, samples = point.settings, sum(trial.writes for trial in point.trials)
        rows.append(LatencyRow(
            configuration=name, shape=shape(settings), voters=settings.voters, observers=settings.observers,
            durability=settings.durability, attach=settings.attach, p50=p50.value, p50_low=p50.low, p50_high=p50.high,
            p99=p99.value, p99_low=p99.low, p99_high=p99.high, n=p50.n, samples=samples,
            load=common([p.settings for p in points]),
        ))  # fmt: skip
    return rows


def spectrum_rows(run: Run) -> list[SpectrumRow]:
    points, names = _named(run)
    load = common([point.settings for point in points]) if points else ""
    return [row for point, name in zip(points, names, strict=True) for row in _spectrum(point, name, load)]


def latency_effects(run: Run) -> list[LatencyEffect]:
    """Pairs that differ in one thing: durability, attachment, or the ensemble."""
    points, _ = _named(run)
    found = []
    for i, baseline in enumerate(points):
        for point in points[i + 1 :]:
            if differs_in := _one_difference(point.settings, baseline.settings):
                p50, base = (p.sample(lambda trial: trial.latency_us["write"].p50) for p in (point, baseline))
                found.append(LatencyEffect(differs_in, point.settings, baseline.settings, estimate(p50).value,
                                           estimate(base).value, ratio(p50, base)))  # fmt: skip
    return found


def _named(run: Run) -> tuple[list[Point], list[str]]:
    points = [p for p in group_trials(run.trials) if is_write_latency(p) and _has_latency(p)]
    return points, distinguish([p.settings for p in points], also=["voters", "durability"])


def _has_latency(point: Point) -> bool:
    return all("write" in trial.latency_us and "write" in trial.histogram for trial in point.trials)


def _one_difference(settings: Settings, other: Settings) -> str:
    differing = {f for f in Settings.__struct_fields__ if getattr(settings, f) != getattr(other, f)}
    if differing <= {"voters", "observers"}:
        return "ensemble"
    if differing == {"attach", "observers"} and settings.attach == "observers":
        return "attach"  # the ensemble has to differ, too: without observers nobody attaches to them
    return differing.pop() if len(differing) == 1 and differing <= {"durability", "attach"} else ""


def _spectrum(point: Point, name: str, load: str) -> list[SpectrumRow]:
    by_process: dict[int, Population] = {}
    for i, trial in enumerate(point.trials):
        process = trial.pyperf.round if trial.pyperf else -1 - i
        population = Population.of(trial, "write")
        by_process[process] = by_process[process].merged(population) if process in by_process else population
    processes = list(by_process.values())
    merged = processes[0]
    for population in processes[1:]:
        merged = merged.merged(population)
    one_in = _one_in(merged.total)
    each = np.array([population.quantiles(1 - 1 / one_in) for population in processes])
    several = len(processes) > 1
    lows, highs = each.min(axis=0), each.max(axis=0)
    return [
        SpectrumRow(name, 1 - 1 / x, x, us, low if several else None, high if several else None, len(processes),
                    merged.total, load)
        for x, us, low, high in zip(one_in.tolist(), merged.quantiles(1 - 1 / one_in).tolist(), lows.tolist(),
                                    highs.tolist(), strict=True)
    ]  # fmt: skip


def _one_in(samples: int) -> NDArray[np.float64]:
    """1/(1-q) on a logarithmic grid from the minimum (1) to where SAMPLES_BEYOND samples are left above."""
    last = max(2.0, samples / SAMPLES_BEYOND)
    return np.logspace(0, np.log10(last), max(8, round(POINTS_PER_DECADE * np.log10(last))))


class Population(msgspec.Struct, frozen=True):
    """A decoded histogram: how many samples were at each latency, microseconds, ascending."""

    latencies_us: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @classmethod
    def of(cls, trial: TrialRecord, kind: str) -> "Population":
        """Raises RecordError if the record's histogram is not a HdrHistogram."""
        try:
            decoded = HdrHistogram.decode(trial.histogram[kind])
        except Exception as error:  # whatever its input makes it stumble over
            where = f"trial of {trial.started_at}: field 'histogram.{kind}'"
            raise RecordError(f"{where}: not an HdrHistogram V2 ({error})") from error
        counts = np.ctypeslib.as_array(decoded.counts).astype(np.int64)
        indices = np.flatnonzero(counts)  # a few hundred of 27,000: only these are turned into values
        values = np.array([decoded.get_value_from_index(int(i)) for i in indices], dtype=np.float64)
        return cls(values / 1_000, counts[indices])

    def merged(self, other: "Population") -> "Population":
        latencies = np.concatenate([self.latencies_us, other.latencies_us])
        values, where = np.unique(latencies, return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        return Population(values, counts)

    def quantiles(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Smallest latency that at least this share of the samples stayed within."""
        reached = np.cumsum(self.counts)
        wanted = np.clip(np.ceil(shares * reached[-1]), 1, None)
        found: NDArray[np.float64] = self.latencies_us[np.searchsorted(reached, wanted)]
        return found
