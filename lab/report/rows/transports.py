"""How servers and clients are linked: shared memory against UDP, with large datagrams and sealed, load by load."""

import msgspec

from lab.bench.record import Settings
from lab.report.points import LINKS, USUAL, Point, linked, load_of, say, shared
from lab.report.reading import Run
from lab.report.rows.measured import cpu_us, kind_of, latency, operations, points_of, throughput
from lab.report.statistics import Effect, Sample, estimate, ratio

FAMILY = "transport"


class TransportRow(msgspec.Struct, frozen=True):
    """One kind of links at one load; `relative` is its throughput as a multiple of shared memory's, by round."""

    load: str
    links: str
    is_base: bool
    ops_per_s: float
    ops_low: float | None
    ops_high: float | None
    relative: float
    relative_low: float | None
    relative_high: float | None
    kind: str  # of operation, behind the latencies; microseconds
    p50: float
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    cpu_us: float  # of all servers and load processes for an operation
    cpu_low: float | None
    cpu_high: float | None
    n: int
    operations: int
    settings: str  # what all of them share
    client_limited: bool


class TransportEffect(msgspec.Struct, frozen=True):
    """A kind of links against shared memory at one load."""

    load: str
    links: str
    outstanding: int
    kind: str
    throughput: Effect
    p50: Effect
    p50_us: tuple[float, float]  # its own, and shared memory's
    cpu: Effect
    cpu_us: tuple[float, float]


def transport_rows(run: Run) -> list[TransportRow]:
    """Of the loads under which shared memory and something else were measured."""
    loads = _loads(run)
    said = shared([point.settings for _, points in loads for point in points]) if loads else ""
    return [_row(load, point, points[0], said) for load, points in loads for point in points]


def transport_effects(run: Run) -> list[TransportEffect]:
    return [_effect(load, point, base) for load, (base, *others) in _loads(run) for point in others]


def links_text(settings: Settings) -> str:
    """`UDP, datagrams of 60,000 bytes`."""
    if settings.transport == "shm":
        return "shared memory"
    more = [field for field in linked(settings) if field in LINKS and field != "transport"]
    return ", ".join(filter(None, (settings.transport.upper(), say(settings, more))))


def load_text(settings: Settings) -> str:
    """`writes via the leader, 256 outstanding`, `reads via all servers, 2 × 128 outstanding`."""
    what = "reads" if settings.reads == 1 else "writes" if settings.reads == 0 else say(settings, ["reads"])
    depth = f"{settings.clients} × " if settings.clients > 1 else ""
    return f"{what} {say(settings, ['attach'])}, {depth}{settings.outstanding:,} outstanding"


def _loads(run: Run) -> list[tuple[str, list[Point]]]:
    """(load, points) with shared memory first, writes before reads, many outstanding before few."""
    found: dict[Settings, list[Point]] = {}
    for point in points_of(run, FAMILY):
        bare = msgspec.structs.replace(point.settings, **{field: getattr(USUAL, field) for field in LINKS})
        found.setdefault(bare, []).append(point)
    return [
        (load_text(rest), points) for rest, points in sorted(found.items(), key=lambda item: _order(item[0]))
        if len(points) > 1 and points[0].settings.transport == USUAL.transport
    ]  # fmt: skip


def _order(settings: Settings) -> tuple[float, int]:
    return settings.reads, -load_of(settings)


def _cpu(point: Point) -> Sample:
    return point.sample(cpu_us)


def _row(load: str, point: Point, base: Point, said: str) -> TransportRow:
    ops, cpu = estimate(throughput(point)), estimate(_cpu(point))
    p50, p99 = estimate(latency(point, "p50")), estimate(latency(point, "p99"))
    relative = Effect(1.0, None, None, ops.n) if point is base else ratio(throughput(point), throughput(base))
    return TransportRow(
        load=load, links=links_text(point.settings), is_base=point is base,
        ops_per_s=ops.value, ops_low=ops.low, ops_high=ops.high,
        relative=relative.ratio, relative_low=relative.low, relative_high=relative.high,
        kind=kind_of(point), p50=p50.value, p50_low=p50.low, p50_high=p50.high,
        p99=p99.value, p99_low=p99.low, p99_high=p99.high, cpu_us=cpu.value, cpu_low=cpu.low, cpu_high=cpu.high,
        n=ops.n, operations=operations(point), settings=said, client_limited=point.client_limited,
    )  # fmt: skip


def _effect(load: str, point: Point, base: Point) -> TransportEffect:
    p50s, cpus = (latency(point, "p50"), latency(base, "p50")), (_cpu(point), _cpu(base))
    return TransportEffect(
        load=load, links=links_text(point.settings), outstanding=load_of(point.settings), kind=kind_of(point),
        throughput=ratio(throughput(point), throughput(base)), p50=ratio(*p50s), p50_us=_values(*p50s),
        cpu=ratio(*cpus), cpu_us=_values(*cpus),
    )  # fmt: skip


def _values(ours: Sample, base: Sample) -> tuple[float, float]:
    return estimate(ours).value, estimate(base).value
