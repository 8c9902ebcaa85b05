"""Latency against throughput: what writes wait at an offered rate, and with a fixed number outstanding."""

import msgspec

from lab.bench.record import Settings
from lab.report.points import Point, distinguish, group_trials
from lab.report.reading import Run
from lab.report.statistics import estimate

SUITE = "speed"


class CurveRow(msgspec.Struct, frozen=True):
    """One rate, or one number outstanding, of one configuration; microseconds, intervals over processes."""

    configuration: str
    loop: str  # open or closed
    offered_per_s: float | None
    outstanding: int | None
    achieved_per_s: float
    achieved_low: float | None
    achieved_high: float | None
    p50: float
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    service_p99: float | None  # open loop: from the actual sending
    lag_p99: float | None  # open loop: how late the generator was
    not_kept: int  # processes in which the rate was not kept
    late: int  # processes in which the generator was late
    n: int
    samples: int
    seconds: float
    value_bytes: int

    @property
    def steady(self) -> bool:
        """Whether most of its processes measured the system at that rate, and nothing else."""
        return 2 * max(self.not_kept, self.late) < self.n


def curve_rows(run: Run) -> list[CurveRow]:
    """Configurations in the order of their size, each with its rates and then with its closed loop."""
    points = [point for point in group_trials(run.trials) if _is_of_writes(point)]
    keys = list(dict.fromkeys(_configuration(point.settings) for point in points if point.settings.rate is not None))
    names = distinguish(keys, also=["voters", "durability"])
    rows = []
    for key, name in zip(keys, names, strict=True):
        own = [point for point in points if _configuration(point.settings) == key]
        rates = sorted((point for point in own if point.settings.rate is not None), key=lambda p: p.settings.rate or 0)
        rows += [_row(point, name) for point in (*rates, *_closed(own))]
    return rows


def _is_of_writes(point: Point) -> bool:
    settings = point.settings
    return (
        point.suite == SUITE and settings.reads == 0 and settings.cpu_share is None
        and all("write" in trial.latency_us for trial in point.trials)
    )  # fmt: skip


def _closed(points: list[Point]) -> list[Point]:
    """The closed loop of a configuration: of several windows for one number outstanding the longest."""
    found: dict[int, Point] = {}
    for point in sorted(points, key=lambda point: point.settings.seconds):
        if point.settings.rate is None:
            found[point.settings.outstanding] = point
    return [found[outstanding] for outstanding in sorted(found)]


def _configuration(settings: Settings) -> Settings:
    """What is measured, less how it is loaded."""
    usual = Settings()
    return msgspec.structs.replace(
        settings, rate=None, arrivals=usual.arrivals, outstanding=usual.outstanding, seconds=usual.seconds,
        warmup=usual.warmup,
    )  # fmt: skip


def _row(point: Point, name: str) -> CurveRow:
    settings, trials = point.settings, point.trials
    achieved = estimate(point.sample(lambda trial: trial.writes_per_s))
    p50 = estimate(point.sample(lambda trial: trial.latency_us["write"].p50))
    p99 = estimate(point.sample(lambda trial: trial.latency_us["write"].p99))
    loops = [trial.open_loop for trial in trials if trial.open_loop is not None]
    is_open = bool(loops)
    return CurveRow(
        configuration=name, loop="open" if is_open else "closed", offered_per_s=settings.rate,
        outstanding=None if is_open else settings.outstanding * settings.clients,
        achieved_per_s=achieved.value, achieved_low=achieved.low, achieved_high=achieved.high,
        p50=p50.value, p50_low=p50.low, p50_high=p50.high, p99=p99.value, p99_low=p99.low, p99_high=p99.high,
        service_p99=_mean([loop.service_us["write"].p99 for loop in loops]),
        lag_p99=_mean([loop.lag_us.p99 for loop in loops if loop.lag_us is not None]),
        not_kept=sum(loop.caught_up or not loop.reached for loop in loops),
        late=sum(loop.generator_late for loop in loops),
        n=achieved.n, samples=sum(trial.writes for trial in trials), seconds=settings.seconds,
        value_bytes=settings.value_bytes,
    )  # fmt: skip


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
