"""Our ensemble and systems that others built under the same load, in the same rounds (points `peer/TARGET/LOAD`)."""

import msgspec

from lab.report.points import DISTANCES, Point, group_trials, load_of
from lab.report.reading import Run
from lab.report.statistics import Effect, Sample, estimate, ratio

FAMILY = "peer"
OURS = "own"
ALIKE = (*DISTANCES, "network_digest", "tick_ms")  # settings of both, or what differs is not who was measured


class PeerRow(msgspec.Struct, frozen=True):
    """One target under one load; `times` is its throughput as a multiple of the other system's, paired by round."""

    load: str
    kind: str  # read or write
    target: str
    version: str
    ops_per_s: float
    ops_low: float | None
    ops_high: float | None
    p50: float  # microseconds, of all operations of the kind
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    servers_cpu_us_per_op: float  # all servers together
    warmup_s: float
    client_limited: bool
    n: int


class PeerEffect(msgspec.Struct, frozen=True):
    """Ours as a multiple of the other system under one load: more is better of operations, less of latency."""

    load: str
    kind: str
    target: str
    version: str
    throughput: Effect
    p50: Effect
    ours_us: float
    theirs_us: float
    ours_limited: bool  # its load processes were at their limit, so it may do more
    theirs_limited: bool


def peer_rows(run: Run) -> list[PeerRow]:
    """Those loads under which ours and another system were measured; deep loads first, ours before the others."""
    return [_row(point) for several in _loads(run) for point in several]


def peer_effects(run: Run) -> list[PeerEffect]:
    return [
        PeerEffect(
            load=_load(ours), kind=_kind(ours), target=theirs.settings.target, version=theirs.trials[0].target_version,
            throughput=ratio(_ops(ours), _ops(theirs)), p50=ratio(_latency(ours, "p50"), _latency(theirs, "p50")),
            ours_us=estimate(_latency(ours, "p50")).value, theirs_us=estimate(_latency(theirs, "p50")).value,
            ours_limited=ours.client_limited, theirs_limited=theirs.client_limited,
        )
        for ours, *others in _loads(run)
        for theirs in others
    ]  # fmt: skip


def _loads(run: Run) -> list[list[Point]]:
    """Per load the points, ours first."""
    by_load: dict[tuple[object, ...], list[Point]] = {}
    mine = [trial for trial in run.trials if trial.pyperf and trial.pyperf.benchmark.startswith(f"{FAMILY}/")]
    for point in group_trials(mine):
        link = point.trials[0].pyperf
        assert link is not None
        alike = (getattr(point.settings, field) for field in ALIKE)
        by_load.setdefault((link.benchmark.split("/", 2)[2], *alike), []).append(point)
    found = [sorted(points, key=lambda point: (point.settings.target != OURS, point.settings.target))
             for points in by_load.values()]  # fmt: skip
    found = [points for points in found if points[0].settings.target == OURS and len(points) > 1]
    return sorted(found, key=lambda points: (points[0].settings.reads, -load_of(points[0].settings)))


def _kind(point: Point) -> str:
    return "read" if point.settings.reads == 1.0 else "write"


def _load(point: Point) -> str:
    settings = point.settings
    return f"{_kind(point)}s, {settings.clients} × {settings.outstanding} outstanding"


def _ops(point: Point) -> Sample:
    return point.sample(lambda trial: trial.ops_per_s)


def _latency(point: Point, field: str) -> Sample:
    kind = _kind(point)
    return point.sample(lambda trial: float(getattr(trial.latency_us[kind], field)))


def _row(point: Point) -> PeerRow:
    ops, p50, p99 = (estimate(sample) for sample in (_ops(point), _latency(point, "p50"), _latency(point, "p99")))
    done = sum(trial.reads + trial.writes for trial in point.trials)
    cpu_s = sum(server.cpu_s for trial in point.trials for server in trial.servers)
    return PeerRow(
        load=_load(point), kind=_kind(point), target=point.settings.target, version=point.trials[0].target_version,
        ops_per_s=ops.value, ops_low=ops.low, ops_high=ops.high, p50=p50.value, p50_low=p50.low, p50_high=p50.high,
        p99=p99.value, p99_low=p99.low, p99_high=p99.high, servers_cpu_us_per_op=1e6 * cpu_s / max(1, done),
        warmup_s=point.settings.warmup, client_limited=point.client_limited, n=ops.n,
    )  # fmt: skip
