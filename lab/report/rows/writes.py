"""Write throughput by ensemble, relative to the 3-voter one: what observers and voters cost (zab.md 12, B-1, B-3)."""

from collections.abc import Callable

import msgspec

from lab.bench.record import TrialRecord
from lab.report.points import (
    Point,
    baseline_of,
    common,
    distinguish,
    families,
    family,
    group_trials,
    growth_of,
    is_write_throughput,
    servers,
    shape,
)
from lab.report.reading import Run
from lab.report.statistics import Effect, Estimate, Sample, estimate, ratio, slope


class WriteRow(msgspec.Struct, frozen=True):
    """One ensemble; `relative` is its throughput as a multiple of the baseline's, paired by round."""

    panel: str  # what tells this panel from the others, e.g. buffered
    growth: str  # voters, observers or both: how it differs from the baseline
    shape: str
    voters: int
    observers: int
    servers: int
    writes_per_s: float
    writes_low: float | None
    writes_high: float | None
    relative: float
    relative_low: float | None
    relative_high: float | None
    p: float | None
    n: int
    baseline: str
    load: str
    client_limited: bool
    leader_bytes_per_write: float  # sent
    servers_cpu_us_per_write: float  # all servers together

    @property
    def effect(self) -> Effect:
        return Effect(self.relative, self.relative_low, self.relative_high, self.n, self.p)


class WriteSlope(msgspec.Struct, frozen=True):
    """Microseconds that each added server costs a write, from the ensembles that differ in `growth` alone."""

    panel: str
    growth: str  # voters or observers
    us_per_write: Estimate
    baseline_us: float
    shapes: list[str]


class EqualTotals(msgspec.Struct, frozen=True):
    """The same number of servers: voters and observers against voters alone."""

    panel: str
    mixed: str
    voters_only: str
    servers: int
    effect: Effect  # mixed / voters only


def write_rows(run: Run) -> list[WriteRow]:
    panels = _panels(run)
    load = common([point.settings for _, points in panels for point in points]) if panels else ""
    return [row for panel, points in panels for row in _rows_of_panel(panel, points, load)]


def write_slopes(run: Run) -> list[WriteSlope]:
    """One slope per panel and kind of growth that has at least two ensembles."""
    found = []
    for panel, points in _panels(run):
        baseline = baseline_of(points)
        baseline_us = 1e6 / estimate(_writes(baseline)).value
        for growth in ("voters", "observers"):
            line = [p for p in points if p is baseline or growth_of(p.settings, baseline.settings) == growth]
            fit = slope([(getattr(p.settings, growth), _us_per_write(p)) for p in line])
            if fit is not None:
                found.append(WriteSlope(panel, growth, fit, baseline_us, [shape(p.settings) for p in line]))
    return found


def equal_totals(run: Run) -> list[EqualTotals]:
    found = []
    for panel, points in _panels(run):
        alone = {p.settings.voters: p for p in points if p.settings.observers == 0}
        for mixed in points:
            other = alone.get(servers(mixed.settings))
            if mixed.settings.observers and other:
                effect = ratio(_writes(mixed), _writes(other))
                total = servers(mixed.settings)
                found.append(EqualTotals(panel, shape(mixed.settings), shape(other.settings), total, effect))
    return found


def _panels(run: Run) -> list[tuple[str, list[Point]]]:
    """Points that differ in their ensemble alone, per durability, transport and so on."""
    panels = families(filter(is_write_throughput, group_trials(run.trials)))
    names = distinguish([family(points[0].settings) for points in panels], also=["durability"])
    return sorted(zip(names, panels, strict=True), key=lambda panel: (-len(panel[1]), panel[0]))


def _writes(point: Point) -> Sample:
    return point.sample(lambda trial: trial.writes_per_s)


def _us_per_write(point: Point) -> Sample:
    return point.sample(lambda trial: 1e6 / trial.writes_per_s)


def leader_bytes(trial: TrialRecord) -> float:
    return sum(server.bytes_sent for server in trial.servers if server.role == "leader")


def _per_write(point: Point, total: Callable[[TrialRecord], float]) -> float:
    """Over all trials of a point; 0 where a target does not say."""
    return sum(total(trial) for trial in point.trials) / max(1, sum(trial.writes for trial in point.trials))


def _rows_of_panel(panel: str, points: list[Point], load: str) -> list[WriteRow]:
    baseline = baseline_of(points)
    rows = []
    for point in points:
        settings, writes = point.settings, estimate(_writes(point))
        effect = Effect(1.0, None, None, writes.n) if point is baseline else ratio(_writes(point), _writes(baseline))
        rows.append(WriteRow(
            panel=panel, growth=growth_of(settings, baseline.settings), shape=shape(settings), voters=settings.voters,
            observers=settings.observers, servers=servers(settings), writes_per_s=writes.value,
            writes_low=writes.low, writes_high=writes.high, relative=effect.ratio, relative_low=effect.low,
            relative_high=effect.high, p=effect.p, n=effect.n, baseline=shape(baseline.settings), load=load,
            client_limited=point.client_limited, leader_bytes_per_write=_per_write(point, leader_bytes),
            servers_cpu_us_per_write=_per_write(point, lambda trial: 1e6 * sum(s.cpu_s for s in trial.servers)),
        ))  # fmt: skip
    return rows
