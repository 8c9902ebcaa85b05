"""Read throughput by servers, and the read/write mix (zab.md 12, B-2, B-4)."""

import msgspec

from lab.bench.record import Settings
from lab.report.points import (
    Point,
    baseline_of,
    common,
    distinguish,
    families,
    family,
    group_trials,
    growth_of,
    is_read,
    servers,
    shape,
)
from lab.report.reading import Run
from lab.report.statistics import Effect, Estimate, Sample, estimate, ratio, slope


class ReadRow(msgspec.Struct, frozen=True):
    """Reads per second of one ensemble; `cpu_share` is the budget of each server in CPUs, None without a budget."""

    growth: str
    shape: str
    voters: int
    observers: int
    servers: int
    reads_per_s: float
    reads_low: float | None
    reads_high: float | None
    n: int
    relative: float
    relative_low: float | None
    relative_high: float | None
    p: float | None
    baseline: str
    cpu_share: float | None
    mechanism: str
    source: str  # reads: measured for this; mix: the mix at reads only
    host_busy: float  # share of all CPUs that servers and clients used, the highest of the trials
    load: str
    client_limited: bool

    @property
    def effect(self) -> Effect:
        return Effect(self.relative, self.relative_low, self.relative_high, self.n, self.p)


class ReadSlope(msgspec.Struct, frozen=True):
    """Reads per second that each added server brought."""

    growth: str
    per_server: Estimate
    shapes: list[str]


class MixRow(msgspec.Struct, frozen=True):
    """Operations per second of one ensemble at one share of reads."""

    configuration: str
    shape: str
    voters: int
    observers: int
    reads: float
    ops_per_s: float
    ops_low: float | None
    ops_high: float | None
    n: int
    cpu_share: float | None
    load: str
    client_limited: bool


class MixEffect(msgspec.Struct, frozen=True):
    """One ensemble against the baseline at the same share of reads."""

    shape: str
    baseline: str
    reads: float
    effect: Effect


def read_rows(run: Run) -> list[ReadRow]:
    """From reads alone; where a profile has none, from the mix at reads only."""
    points = _read_points(run)
    if not points:
        return []
    baseline, load = baseline_of(points), common([point.settings for point in points])
    return [_read_row(point, baseline, load) for point in points]


def read_slopes(run: Run) -> list[ReadSlope]:
    points = _read_points(run)
    found = []
    for growth in ("voters", "observers") if points else ():
        baseline = baseline_of(points)
        line = [p for p in points if p is baseline or growth_of(p.settings, baseline.settings) == growth]
        fit = slope([(getattr(p.settings, growth), _reads(p)) for p in line])
        if fit is not None:
            found.append(ReadSlope(growth, fit, [shape(p.settings) for p in line]))
    return found


def reads_at_equal_totals(run: Run) -> list[tuple[str, str, Effect]]:
    """(mixed shape, voters-only shape, mixed / voters only) for every total that has both."""
    points = _read_points(run)
    alone = {p.settings.voters: p for p in points if p.settings.observers == 0}
    pairs = [(p, alone.get(servers(p.settings))) for p in points if p.settings.observers]
    return [(shape(p.settings), shape(q.settings), ratio(_reads(p), _reads(q))) for p, q in pairs if q is not None]


def mix_rows(run: Run) -> list[MixRow]:
    points = _mix_points(run)
    if not points:
        return []
    names = distinguish([_but_reads(p.settings) for p in points], also=["voters"])
    load = common([p.settings for p in points])
    return [_mix_row(point, name, load) for point, name in zip(points, names, strict=True)]


def mix_effects(run: Run) -> list[MixEffect]:
    """Every ensemble of the mix against the baseline where both ran the same share of reads."""
    found = []
    for here in families(_mix_points(run)):
        baseline = baseline_of(here)
        for point in here:
            if point is not baseline:
                effect = ratio(_ops(point), _ops(baseline))
                reads = point.settings.reads
                found.append(MixEffect(shape(point.settings), shape(baseline.settings), reads, effect))
    return sorted(found, key=lambda mix: (mix.shape, mix.reads))


def _read_points(run: Run) -> list[Point]:
    """Reads only, of one family: with a CPU budget if any has one."""
    points = [p for p in group_trials(run.trials) if is_read(p) and p.settings.reads == 1]
    chosen = [p for p in points if p.settings.cpu_share] or points
    return next(iter(families(chosen)), [])


def _mix_points(run: Run) -> list[Point]:
    """The ensembles that were measured at two or more shares of reads."""
    points = [p for p in group_trials(run.trials) if is_read(p)]
    ratios: dict[Settings, int] = {}
    for point in points:
        ratios[_but_reads(point.settings)] = ratios.get(_but_reads(point.settings), 0) + 1
    return [point for point in points if ratios[_but_reads(point.settings)] > 1]


def _reads(point: Point) -> Sample:
    return point.sample(lambda trial: trial.reads_per_s)


def _ops(point: Point) -> Sample:
    return point.sample(lambda trial: trial.ops_per_s)


def _but_reads(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, reads=0.0, outstanding=family(settings).outstanding)


def _source(point: Point) -> str:
    from_mix = all(trial.pyperf is not None and trial.pyperf.benchmark.startswith("mix/") for trial in point.trials)
    return "mix" if from_mix else "reads"


def _host_busy(point: Point) -> float:
    return max(
        (sum(server.cpu_s for server in trial.servers) + trial.client_cpu_s) / (trial.seconds * trial.machine.cores)
        for trial in point.trials
    )


def _read_row(point: Point, baseline: Point, load: str) -> ReadRow:
    settings, reads = point.settings, estimate(_reads(point))
    effect = Effect(1.0, None, None, reads.n) if point is baseline else ratio(_reads(point), _reads(baseline))
    return ReadRow(
        growth=growth_of(settings, baseline.settings), shape=shape(settings), voters=settings.voters,
        observers=settings.observers, servers=servers(settings), reads_per_s=reads.value,
        reads_low=reads.low, reads_high=reads.high, n=reads.n, relative=effect.ratio, relative_low=effect.low,
        relative_high=effect.high, p=effect.p, baseline=shape(baseline.settings), cpu_share=settings.cpu_share,
        mechanism=point.trials[0].budget, source=_source(point), host_busy=_host_busy(point), load=load,
        client_limited=point.client_limited,
    )  # fmt: skip


def _mix_row(point: Point, name: str, load: str) -> MixRow:
    settings, ops = point.settings, estimate(_ops(point))
    return MixRow(
        configuration=name, shape=shape(settings), voters=settings.voters, observers=settings.observers,
        reads=settings.reads, ops_per_s=ops.value, ops_low=ops.low, ops_high=ops.high, n=ops.n,
        cpu_share=settings.cpu_share, load=load, client_limited=point.client_limited,
    )  # fmt: skip
