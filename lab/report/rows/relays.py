"""What relaying saves the leader: what it sends and computes for a write, by how many followers serve the observers."""

from collections.abc import Callable

import msgspec

from lab.bench.record import Settings, TrialRecord
from lab.report.points import Point, common, group_trials, shape
from lab.report.reading import Run
from lab.report.statistics import Effect, Estimate, Sample, estimate, ratio

PREFIX = "knob/relays/"


class RelayRow(msgspec.Struct, frozen=True):
    """One ensemble with so many relays; bytes are sent, `follower` is the one that sent most, or computed most."""

    shape: str
    relays: int
    leader_bytes: float  # per write, as all that follows
    leader_bytes_low: float | None
    leader_bytes_high: float | None
    leader_bytes_expected: float  # by counting copies, from those without relays
    leader_copies: int  # of a write that it sends
    follower_bytes: float
    leader_cpu_us: float
    leader_cpu_low: float | None
    leader_cpu_high: float | None
    follower_cpu_us: float
    follower_cpu_low: float | None
    follower_cpu_high: float | None
    writes_per_s: float
    writes_low: float | None
    writes_high: float | None
    n: int
    writes: int
    load: str
    client_limited: bool


class RelayEffect(msgspec.Struct, frozen=True):
    """So many relays against none, in one ensemble."""

    row: RelayRow
    without: RelayRow
    leader_cpu: Effect
    throughput: Effect


def relay_rows(run: Run) -> list[RelayRow]:
    """Of the ensembles that were measured without relays, and with some."""
    return [row for effect_rows in _by_shape(run).values() for row, _ in effect_rows]


def relay_effects(run: Run) -> list[RelayEffect]:
    found = []
    for (without, base), *others in _by_shape(run).values():
        for row, point in others:
            cpu = ratio(point.sample(_leader_cpu_us), base.sample(_leader_cpu_us))
            found.append(RelayEffect(row, without, cpu, ratio(point.sample(_writes), base.sample(_writes))))
    return found


def copies(settings: Settings) -> int:
    """How often the leader sends a write: to every other voter, and to the observers that nobody relays to."""
    return settings.voters - 1 + (0 if settings.relays else settings.observers)


def _by_shape(run: Run) -> dict[str, list[tuple[RelayRow, Point]]]:
    """The first row of each is the one without relays."""
    points = [
        point for point in group_trials(_trials(run)) if all(_leader_cpu_us(trial) > 0 for trial in point.trials)
    ]  # fmt: skip
    load = common([point.settings for point in points]) if points else ""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(shape(point.settings), []).append(point)
    rows = {}
    for name, several in found.items():
        several.sort(key=lambda point: point.settings.relays)
        if len(several) > 1 and several[0].settings.relays == 0:
            rows[name] = [(_row(point, several[0], load), point) for point in several]
    return rows


def _trials(run: Run) -> list[TrialRecord]:
    return [trial for trial in run.trials if trial.pyperf and trial.pyperf.benchmark.startswith(PREFIX)]


def _row(point: Point, base: Point, load: str) -> RelayRow:
    settings = point.settings
    sent, cpu, writes = _of(point, _leader_bytes), _of(point, _leader_cpu_us), _of(point, _writes)
    most = _of(point, lambda trial: _most(trial, "cpu_s", 1e6))
    return RelayRow(
        shape=shape(settings), relays=settings.relays,
        leader_bytes=sent.value, leader_bytes_low=sent.low, leader_bytes_high=sent.high,
        leader_bytes_expected=_of(base, _leader_bytes).value * copies(settings) / copies(base.settings),
        leader_copies=copies(settings), follower_bytes=_mean(point, lambda trial: _most(trial, "bytes_sent")),
        leader_cpu_us=cpu.value, leader_cpu_low=cpu.low, leader_cpu_high=cpu.high,
        follower_cpu_us=most.value, follower_cpu_low=most.low, follower_cpu_high=most.high,
        writes_per_s=writes.value, writes_low=writes.low, writes_high=writes.high,
        n=writes.n, writes=sum(trial.writes for trial in point.trials), load=load, client_limited=point.client_limited,
    )  # fmt: skip


def _of(point: Point, value: Callable[[TrialRecord], float]) -> Estimate:
    sample: Sample = point.sample(value)
    return estimate(sample)


def _mean(point: Point, value: Callable[[TrialRecord], float]) -> float:
    """Arithmetic, for what may be 0."""
    return sum(map(value, point.trials)) / len(point.trials)


def _writes(trial: TrialRecord) -> float:
    return trial.writes_per_s


def _leader_bytes(trial: TrialRecord) -> float:
    return sum(server.bytes_sent for server in trial.servers if server.role == "leader") / max(1, trial.writes)


def _leader_cpu_us(trial: TrialRecord) -> float:
    return 1e6 * sum(server.cpu_s for server in trial.servers if server.role == "leader") / max(1, trial.writes)


def _most(trial: TrialRecord, field: str, unit: float = 1.0) -> float:
    """Of all followers, per write."""
    found = [getattr(server, field) for server in trial.servers if server.role == "follower"]
    return unit * max(found, default=0) / max(1, trial.writes)
