"""What the rows of the suite `network` have in common: their points, and a value with its interval in a few columns."""

from lab.bench.record import TrialRecord
from lab.report.points import Point, group_trials
from lab.report.reading import Run
from lab.report.statistics import Sample

SUITE = "network"


def points_of(run: Run, family: str) -> list[Point]:
    """Of the points `family/...` of the suite, where every trial has what rows are made of."""
    chosen = [trial for trial in run.trials if trial.suite == SUITE and benchmark(trial)[0] == family]
    return [point for point in group_trials(chosen) if all(map(_is_whole, point.trials))]


def benchmark(trial: TrialRecord) -> list[str]:
    """The parts of its point's id."""
    return (trial.pyperf.benchmark if trial.pyperf else "").split("/")


def kind_of(point: Point) -> str:
    """Of most of its operations."""
    return "read" if point.settings.reads > 0.5 else "write"


def _is_whole(trial: TrialRecord) -> bool:
    return ("read" if trial.settings.reads > 0.5 else "write") in trial.latency_us and cpu_us(trial) > 0


def latency(point: Point, field: str) -> Sample:
    """p50, p99 and so on of that kind, microseconds."""
    kind = kind_of(point)
    return point.sample(lambda trial: getattr(trial.latency_us[kind], field))


def throughput(point: Point) -> Sample:
    return point.sample(lambda trial: trial.ops_per_s)


def cpu_us(trial: TrialRecord) -> float:
    """CPU of all servers and load processes for an operation."""
    used_s = trial.client_cpu_s + sum(server.cpu_s for server in trial.servers)
    return 1e6 * used_s / max(1, trial.reads + trial.writes)


def operations(point: Point) -> int:
    return sum(trial.reads + trial.writes for trial in point.trials)
