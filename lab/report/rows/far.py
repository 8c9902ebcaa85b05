"""Clients in another region than the voters: what an observer near them brings, against a voter there and nobody."""

from collections.abc import Callable, Iterable

import msgspec

from lab.bench.record import TrialRecord
from lab.networks import Layout
from lab.report.points import Point, load_of, shared
from lab.report.reading import Run
from lab.report.rows.distance import layout_of, leader_of, leader_site
from lab.report.rows.measured import benchmark, latency, operations, points_of, throughput
from lab.report.rows.writes import leader_bytes
from lab.report.statistics import Effect, Sample, estimate, ratio

FAMILY = "far"
BASE = "leader"  # what the others are held against
WAYS = ("leader", "observer", "voter")  # whom far clients are attached to


class Metric(msgspec.Struct, frozen=True):
    """One thing that is asked of each way, in the trials `far/WAY/LOAD`."""

    name: str
    load: str
    unit: str  # us, /s or bytes
    sample: Callable[[Point], Sample]
    floor_ms: Callable[[Layout, int, int], float] | None = None  # by the network; of server and leader


METRICS = (
    Metric("far reads, p50", "reads/1", "us", lambda point: latency(point, "p50"),
           lambda layout, server, _: layout.read_ms(0, server)),
    Metric("far reads/s", "reads/256", "/s", throughput),
    Metric("far writes, p50", "writes/1", "us", lambda point: latency(point, "p50"),
           lambda layout, server, leader: layout.write_ms(0, server, leader)),
    Metric("near writes, p50", "near/1", "us", lambda point: latency(point, "p50"),
           lambda layout, server, leader: layout.write_ms(0, server, leader)),
    Metric("near writes/s", "near/256", "/s", throughput),
    Metric("leader's bytes for a near write", "near/256", "bytes",
           lambda point: point.sample(lambda trial: leader_bytes(trial) / max(1, trial.writes))),
)  # fmt: skip


class FarRow(msgspec.Struct, frozen=True):
    """One metric of one way; `relative` is its value as a multiple of that of clients attached to the leader."""

    metric: str
    way: str
    shape: str
    unit: str
    value: float
    low: float | None
    high: float | None
    relative: float
    relative_low: float | None
    relative_high: float | None
    floor_us: float | None  # of a latency; None: not known
    outstanding: int
    n: int
    operations: int
    far_site: str
    near_sites: str
    elsewhere: int  # trials of all ways that are left out, for another site than the last voter's led
    settings: str

    @property
    def effect(self) -> Effect:
        return Effect(self.relative, self.relative_low, self.relative_high, self.n)


def far_rows(run: Run) -> list[FarRow]:
    """Metric by metric, of those that were measured with the leader and another way."""
    every = points_of(run, FAMILY)
    points = [kept for point in every if (kept := _as_asked(point)).trials]
    elsewhere = _trials(every) - _trials(points)
    by_id = {tuple(benchmark(point.trials[0])): point for point in points}
    said = shared([point.settings for point in points]) if points else ""
    far_site, near_sites = _sites(points)
    rows = []
    for metric in METRICS:
        found = {way: point for way in WAYS if (point := by_id.get((FAMILY, way, *metric.load.split("/"))))}
        if BASE in found and len(found) > 1:
            rows += [_row(metric, way, point, found[BASE], said, far_site, near_sites) for way, point in found.items()]
    return [msgspec.structs.replace(row, elsewhere=elsewhere) for row in rows]


def far_left_out(run: Run) -> tuple[int, int]:
    """Trials that another site led than the one asked for, and all trials."""
    every = points_of(run, FAMILY)
    return _trials(every) - _trials(map(_as_asked, every)), _trials(every)


def _trials(points: Iterable[Point]) -> int:
    return sum(len(point.trials) for point in points)


def _as_asked(point: Point) -> Point:
    """Less the trials that were not led where near clients stand: at the last voter's site, for that leads if it can.

    With a voter in the far region that may be the leader, and every way is another one then.
    """
    kept = [trial for trial in point.trials if leader_site(trial) == trial.sites.get(f"server {trial.voters}", "")]
    return msgspec.structs.replace(point, trials=tuple(kept))


def _sites(points: Iterable[Point]) -> tuple[str, str]:
    """Where far clients stand, and voters."""
    for point in points:
        layout = layout_of(point.settings)
        if layout is not None and benchmark(point.trials[0])[1:3] == [BASE, "reads"]:
            return layout.client_site(0), ", ".join(dict.fromkeys(layout.network.voters))
    return "another region", "one region"


def _row(metric: Metric, way: str, point: Point, base: Point, said: str, far_site: str, near_sites: str) -> FarRow:
    ours, settings = metric.sample(point), point.settings
    found = estimate(ours)
    relative = Effect(1.0, None, None, found.n) if point is base else ratio(ours, metric.sample(base))
    return FarRow(
        metric=metric.name, way=way, shape=f"{settings.voters}+{settings.observers}", unit=metric.unit,
        value=found.value, low=found.low, high=found.high, relative=relative.ratio, relative_low=relative.low,
        relative_high=relative.high, floor_us=_floor_us(metric, point), outstanding=load_of(settings), n=found.n,
        operations=operations(point), far_site=far_site, near_sites=near_sites, elsewhere=0, settings=said,
    )  # fmt: skip


def _floor_us(metric: Metric, point: Point) -> float | None:
    layout, trial = layout_of(point.settings), point.trials[0]
    leader = leader_of(trial)
    if layout is None or leader is None or metric.floor_ms is None:
        return None
    [server, *others] = _attached(layout, trial, leader)
    return None if others else 1_000 * metric.floor_ms(layout, server, leader)


def _attached(layout: Layout, trial: TrialRecord, leader: int) -> list[int]:
    """The servers that its client had a session to."""
    match trial.settings.attach:
        case "leader":
            return [leader]
        case "nearest":
            return layout.nearest(0, [server.id for server in trial.servers])
        case attach:
            role = {"followers": "follower", "observers": "observer"}.get(attach)
            return [server.id for server in trial.servers if role in (None, server.role)]
