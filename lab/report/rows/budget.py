"""The capacity budget: what the leader sends and computes for a write, measured and by the formula, shape by shape."""

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.optimize import nnls

from lab.bench.record import ServerUse, TrialRecord
from lab.report.budget import Write, sent_per_batch
from lab.report.points import Point, group_trials, load_of, shape, turned
from lab.report.reading import Run
from lab.report.statistics import estimate

SHAPES_LEAST = 3  # as many numbers as the line through the CPU times has, and one to be wrong about
OUTSTANDING = 256


class BudgetRow(msgspec.Struct, frozen=True):
    """One shape; `*_low`, `*_high`: 95 % intervals over processes, None where there is one."""

    shape: str
    voters: int
    observers: int
    n: int
    batch: float  # writes, by the acknowledgements of the quickest follower
    frames: float  # the leader's, for one of those
    frames_predicted: float
    bytes: float  # the leader's, for a write
    bytes_low: float | None
    bytes_high: float | None
    bytes_predicted: float
    cpu_us: float  # the leader's, for a write
    cpu_low: float | None
    cpu_high: float | None
    cpu_fitted: float | None  # a fixed part, one for each other voter and one for each observer; None: too few shapes


class Costs(msgspec.Struct, frozen=True):
    """The leader's CPU for a write, microseconds: `base` with nobody else."""

    base: float
    voter: float  # each other voter's
    observer: float


def budget_points(run: Run) -> list[Point]:
    """Buffered writes of one client at the leader, 256 outstanding, everything else as usual.

    Each shape once: of those that differ in their windows only, the one with most trials.
    """
    points = [
        point for point in group_trials(run.trials)
        if point.suite == "speed" and not turned(point.settings) and load_of(point.settings) == OUTSTANDING
        and (point.settings.target, point.settings.durability, point.settings.reads) == ("own", "buffered", 0.0)
        and (point.settings.attach, point.settings.clients, point.settings.rate) == ("leader", 1, None)
        and point.settings.cpu_share is None and all(_has_frames(trial) for trial in point.trials)
    ]  # fmt: skip
    most = {shape(point.settings): point for point in sorted(points, key=_trials)}
    return [point for point in points if point in most.values()]


def _trials(point: Point) -> int:
    return len(point.trials)


def budget_rows(run: Run) -> list[BudgetRow]:
    points = budget_points(run)
    rows = [_row(point) for point in points]
    costs = fitted(rows)
    if costs is None:
        return rows
    return [msgspec.structs.replace(row, cpu_fitted=cost_of(row.voters, row.observers, costs)) for row in rows]


def fitted(rows: Sequence[BudgetRow]) -> Costs | None:
    """Least squares over shapes, each part at least 0; None where the shapes cannot tell the parts apart."""
    design = np.array([(1.0, row.voters - 1, row.observers) for row in rows]).reshape(len(rows), 3)
    if len(rows) <= SHAPES_LEAST or np.linalg.matrix_rank(design) < 3:
        return None
    base, voter, observer = nnls(design, np.array([row.cpu_us for row in rows]))[0].tolist()
    return Costs(base, voter, observer)


def cost_of(voters: int, observers: int, costs: Costs) -> float:
    return costs.base + costs.voter * (voters - 1) + costs.observer * observers


def predicted(trial: TrialRecord) -> tuple[float, float, float]:
    """(writes a batch by the followers' acks, the leader's frames a batch, its bytes a write)."""
    settings, writes = trial.settings, trial.writes
    count = min(float(settings.outstanding), max(1.0, writes / acks_of(trial)))
    done = settings.keys + settings.warmup * trial.writes_per_s + writes / 2  # by the middle of the window
    write = Write(value_bytes=settings.value_bytes, cxid=round(done), version=round(done / settings.keys))
    sent = sent_per_batch(write, count, settings.voters, settings.observers)["leader"]
    return count, sent.frames, sent.bytes / count


def acks_of(trial: TrialRecord) -> int:
    """Batches, as far as anybody counted them: a follower that lags answers several at once, the quickest none."""
    return max(server.frames_sent for server in trial.servers if server.role == "follower")


def leader_of(trial: TrialRecord) -> ServerUse:
    return next(server for server in trial.servers if server.role == "leader")


def _has_frames(trial: TrialRecord) -> bool:
    """Whether it counted frames, which older records do not, and had the one leader that the formula is about."""
    roles = [server.role for server in trial.servers]
    return roles.count("leader") == 1 and "follower" in roles and all(
        server.frames_sent > 0 for server in trial.servers if server.role != "observer"
    )  # fmt: skip


def _row(point: Point) -> BudgetRow:
    settings = point.settings
    found = [predicted(trial) for trial in point.trials]
    batch, frames_predicted, bytes_predicted = (sum(column) / len(found) for column in zip(*found, strict=True))
    bytes_, cpu = (
        estimate(point.sample(value)) for value in (
            lambda trial: leader_of(trial).bytes_sent / trial.writes,
            lambda trial: 1e6 * leader_of(trial).cpu_s / trial.writes,
        )
    )  # fmt: skip
    frames = [leader_of(trial).frames_sent / acks_of(trial) for trial in point.trials]
    return BudgetRow(
        shape(settings),
        settings.voters, settings.observers, bytes_.n, batch, sum(frames) / len(frames), frames_predicted,
        bytes_.value, bytes_.low, bytes_.high, bytes_predicted, cpu.value, cpu.low, cpu.high, None,
    )  # fmt: skip
