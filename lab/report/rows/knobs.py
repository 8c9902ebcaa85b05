"""What turning one knob does to throughput, latency and CPU, at each load at which it was turned.

The points are `knob/NAME/...`, and `knob/usual/...` for those that the values of several knobs are held against.
"""

from collections.abc import Callable, Sequence

import msgspec

from lab.bench.record import Settings, TrialRecord
from lab.report.points import Point, group_trials, load_of, order_of, shared
from lab.report.reading import Run
from lab.report.statistics import Effect, Sample, estimate, ratio

PREFIX, USUAL = "knob", "usual"
MODES = {(1, 1): "the textbook's blocking mode", (0, 1): "ZooKeeper's pipeline"}
WAITS = ("blocking", "adaptive", "spin")
PLACEMENTS = ("free", "together", "spread", "leader-client", "leader-alone")


class Knob(msgspec.Struct, frozen=True):
    """One thing to turn.  Values of one `line` are drawn as a line of their own."""

    name: str  # as in the ids of its points
    fields: tuple[str, ...]  # of Settings
    value: Callable[[Settings], str]
    place: Callable[[Settings], float]  # of a value among the others
    is_usual: Callable[[Settings], bool]  # the value that the others are held against
    line: Callable[[Settings], tuple[int, str]] = lambda _: (0, "")  # its place among the lines, and its name
    called: Callable[[Settings], str] = lambda _: ""  # what the field calls a value
    alone: bool = False  # its points are held against each other only, not against `knob/usual/...`


def _batches(settings: Settings) -> str:
    most = settings.max_outstanding
    return f"{most} {'batch' if most == 1 else 'batches'} at a time" if most else "any number of batches"


def _batch(settings: Settings) -> tuple[int, str]:
    most = settings.batch_txns_max
    return most, f"up to {most:,} writes a batch" if most > 1 else "one write a batch"


def _serving(settings: Settings) -> str:
    return f"clients at {_at(settings)}" if settings.leader_serves else "leader serves nobody"


def _at(settings: Settings) -> str:
    return "all servers" if settings.attach == "all" else settings.attach


KNOBS = {
    knob.name: knob
    for knob in (
        Knob(
            "pipeline", ("max_outstanding", "batch_txns_max"), _batches, lambda s: s.max_outstanding or 1 << 30,
            lambda s: (s.max_outstanding, s.batch_txns_max) == (0, Settings().batch_txns_max), _batch,
            called=lambda s: MODES.get((s.max_outstanding, s.batch_txns_max), ""),
        ),
        Knob(
            "durability", ("durability",), lambda s: s.durability,
            lambda s: ("memory", "buffered", "fsync").index(s.durability), lambda s: s.durability == "fsync",
        ),
        Knob(
            "leader-serves", ("attach", "leader_serves"), _serving,
            lambda s: 0 if s.attach == "all" else 1 if s.leader_serves else 2, lambda s: s.attach == "all",
            called=lambda s: "" if s.leader_serves else f"clients at {_at(s)}", alone=True,
        ),
        Knob(
            "wait", ("wait",), lambda s: s.wait, lambda s: WAITS.index(s.wait), lambda s: s.wait == Settings().wait,
        ),
        Knob(
            "placement", ("placement",), lambda s: s.placement, lambda s: PLACEMENTS.index(s.placement),
            lambda s: s.placement == "free",
        ),
    )
}  # fmt: skip


class KnobRow(msgspec.Struct, frozen=True):
    """One value of a knob at one load; `relative` is its throughput as a multiple of the usual value's."""

    knob: str
    panel: str  # the load, and what else tells it from the others
    value: str
    line: str
    value_place: float  # from the top
    line_place: int
    is_usual: bool
    ops_per_s: float
    ops_low: float | None
    ops_high: float | None
    relative: float
    relative_low: float | None
    relative_high: float | None
    kind: str  # of operation, behind the latencies
    p50: float
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    cpu_us: float  # of all servers and load processes, per operation
    cpu_low: float | None
    cpu_high: float | None
    n: int
    operations: int
    load: str
    client_limited: bool


class KnobEffect(msgspec.Struct, frozen=True):
    """A value at one load against the usual one."""

    panel: str
    value: str
    usual: str
    throughput: Effect
    p99: Effect
    p99_us: tuple[float, float]  # of the value and of the usual one
    cpu: Effect
    cpu_us: tuple[float, float]


def knob_rows(run: Run, knob: Knob) -> list[KnobRow]:
    panels = _panels(run, knob)
    load = _load([point.settings for _, _, points in panels for point in points])
    return [_row(knob, panel, point, usual, load) for panel, usual, points in panels for point in points]


def knob_effects(run: Run, knob: Knob) -> list[KnobEffect]:
    return [
        _effect(knob, panel, point, usual)
        for panel, usual, points in _panels(run, knob) for point in points if point is not usual
    ]  # fmt: skip


def _panels(run: Run, knob: Knob) -> list[tuple[str, Point, list[Point]]]:
    """(what was asked of all, the usual value's point, all points) where the usual value and another were measured."""
    groups: dict[Settings, list[Point]] = {}
    for point in _points(run, (knob.name,) if knob.alone else (knob.name, USUAL)):
        changed = {field: getattr(Settings(), field) for field in knob.fields}
        groups.setdefault(msgspec.structs.replace(point.settings, **changed), []).append(point)
    found = []
    for rest, points in groups.items():
        usual = next((point for point in points if knob.is_usual(point.settings)), None)
        if usual is not None and any(_family(point) == knob.name for point in points):
            ordered = sorted(points, key=lambda point: (knob.place(point.settings), order_of(point.settings)))
            found.append((rest, usual, ordered))
    found.sort(key=lambda panel: order_of(panel[0]))
    names = _names([rest for rest, _, _ in found])
    return [(name, usual, points) for name, (_, usual, points) in zip(names, found, strict=True)]


def _points(run: Run, families: Sequence[str]) -> list[Point]:
    chosen = [trial for trial in run.trials if (name := _benchmark(trial))[0] == PREFIX and name[1] in families]
    return [point for point in group_trials(chosen) if _is_whole(point)]


def _benchmark(trial: TrialRecord) -> list[str]:
    return (trial.pyperf.benchmark if trial.pyperf else "/").split("/")


def _family(point: Point) -> str:
    return _benchmark(point.trials[0])[1]


def _is_whole(point: Point) -> bool:
    return all(_kind(point) in trial.latency_us and _cpu_us(trial) > 0 for trial in point.trials)


def _names(several: Sequence[Settings]) -> list[str]:
    """The load of each, and of durability and reads what differs."""
    differing = {field for field in ("durability", "reads") if len({getattr(one, field) for one in several}) > 1}
    return [
        ", ".join([
            f"{load_of(one):,} outstanding",
            *([one.durability] if "durability" in differing else []),
            *([f"{100 * one.reads:g} % reads" if one.reads else "writes only"] if "reads" in differing else []),
        ])
        for one in several
    ]  # fmt: skip


def _load(several: Sequence[Settings]) -> str:
    """What all of them share; how much is outstanding stands at each panel."""
    return "; ".join(filter(None, ("closed loop", shared(several) if several else "")))


def _said(knob: Knob, settings: Settings) -> str:
    text = ", ".join(filter(None, (knob.value(settings), knob.line(settings)[1])))
    return f"{text} ({called})" if (called := knob.called(settings)) else text


def _kind(point: Point) -> str:
    """What most operations are."""
    return "read" if point.settings.reads > 0.5 else "write"


def _cpu_us(trial: TrialRecord) -> float:
    used_s = trial.client_cpu_s + sum(server.cpu_s for server in trial.servers)
    return 1e6 * used_s / max(1, trial.reads + trial.writes)


def _ops(point: Point) -> Sample:
    return point.sample(lambda trial: trial.ops_per_s)


def _cpu(point: Point) -> Sample:
    return point.sample(_cpu_us)


def _latency(point: Point, field: str) -> Sample:
    kind = _kind(point)
    return point.sample(lambda trial: getattr(trial.latency_us[kind], field))


def _row(knob: Knob, panel: str, point: Point, usual: Point, load: str) -> KnobRow:
    settings, ops, cpu = point.settings, estimate(_ops(point)), estimate(_cpu(point))
    p50, p99 = (estimate(_latency(point, field)) for field in ("p50", "p99"))
    relative = Effect(1.0, None, None, ops.n) if point is usual else ratio(_ops(point), _ops(usual))
    return KnobRow(
        knob=knob.name, panel=panel, value=knob.value(settings), line=knob.line(settings)[1],
        value_place=knob.place(settings), line_place=knob.line(settings)[0], is_usual=point is usual,
        ops_per_s=ops.value, ops_low=ops.low, ops_high=ops.high, relative=relative.ratio, relative_low=relative.low,
        relative_high=relative.high, kind=_kind(point), p50=p50.value, p50_low=p50.low, p50_high=p50.high,
        p99=p99.value, p99_low=p99.low, p99_high=p99.high, cpu_us=cpu.value, cpu_low=cpu.low, cpu_high=cpu.high,
        n=ops.n, operations=sum(trial.reads + trial.writes for trial in point.trials), load=load,
        client_limited=point.client_limited,
    )  # fmt: skip


def _effect(knob: Knob, panel: str, point: Point, usual: Point) -> KnobEffect:
    p99s = _latency(point, "p99"), _latency(usual, "p99")
    cpus = _cpu(point), _cpu(usual)
    return KnobEffect(
        panel=panel, value=_said(knob, point.settings), usual=_said(knob, usual.settings),
        throughput=ratio(_ops(point), _ops(usual)), p99=ratio(*p99s), p99_us=_values(*p99s), cpu=ratio(*cpus),
        cpu_us=_values(*cpus),
    )  # fmt: skip


def _values(one: Sample, other: Sample) -> tuple[float, float]:
    return estimate(one).value, estimate(other).value
