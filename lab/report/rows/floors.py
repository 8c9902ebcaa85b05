"""Rows of the floors: what the machine and the parts cost alone, and what one more server adds to a write."""

from collections.abc import Sequence

import msgspec
import numpy as np

from lab.bench.record import TrialRecord
from lab.report.reading import Run
from lab.report.rows.speed import cpu_us, median_of, round_of, rounds_of
from lab.report.rows.writes import leader_bytes
from lab.report.statistics import Estimate, Floats, mean_interval

GROWN = "bar/writes/{}+{}/buffered/256"


class FloorRow(msgspec.Struct, frozen=True):
    """`value` is the median over rounds of each round's median; `p99` the median of their p99."""

    floor: str
    unit: str
    value: float
    low: float | None
    high: float | None
    rounds: int
    samples: int
    p99: float | None
    cpu_us_per_op: float | None  # null servers: of server and load process


class GrowthRow(msgspec.Struct, frozen=True):
    """What one more server of a kind adds to a write, by a plane through all ensembles, fitted in every round."""

    kind: str  # observer or voter
    us: float
    us_low: float | None
    us_high: float | None
    share: float  # of the time of a write at 3+0
    cpu_us: float  # of all processes together
    leader_bytes: float
    base_us: float
    base_bytes: float
    residual: float  # root mean square of what the plane misses, as a share of the time at 3+0
    rounds: int
    shapes: str


def floor_rows(run: Run) -> list[FloorRow]:
    """Probes called `floor/...`, then the null servers."""
    return [*_probes(run), *_null_servers(run)]


def _probes(run: Run) -> list[FloorRow]:
    found = []
    probes = [probe for probe in run.probes if probe.verified and probe.probe.startswith("floor/")]
    for name in dict.fromkeys(sorted((probe.probe for probe in probes), key=_place)):  # of a kind as they were measured
        here = [probe for probe in probes if probe.probe == name]
        centre = median_of(rounds_of(here, lambda one: one.round, lambda one: one.value))
        assert centre is not None
        if len(here) == 1:  # one round: the interval within it
            centre = Estimate(here[0].value, here[0].low, here[0].high, 1)
        tails = [probe.p99 for probe in here if probe.p99 is not None]
        found.append(FloorRow(
            name.removeprefix("floor/"), here[0].unit, centre.value, centre.low, centre.high, centre.n,
            sum(probe.n for probe in here), float(np.median(tails)) if tails else None, None,
        ))  # fmt: skip
    return found


def _place(name: str) -> int:
    order, kind = ("hop", "hop-awake", "fdatasync", "ring", "codec"), name.split("/")[1]
    return order.index(kind) if kind in order else len(order)


def _null_servers(run: Run) -> list[FloorRow]:
    found = []
    trials = [t for t in run.trials if t.pyperf and t.pyperf.benchmark.startswith("floor/null/")]
    for name in dict.fromkeys(sorted(t.pyperf.benchmark for t in trials if t.pyperf)):
        here = [t for t in trials if t.pyperf and t.pyperf.benchmark == name]
        kind, outstanding = name.split("/")[2:]
        single = outstanding == "1"
        centre = median_of(rounds_of(here, round_of, _p50_us if single else lambda trial: trial.ops_per_s))
        cpu = median_of(cpu_us(here))
        assert centre is not None
        assert cpu is not None
        what = f"null server, {kind}, {outstanding} outstanding" + (", p50" if single else "")
        found.append(FloorRow(what, "µs" if single else "/s", centre.value, centre.low, centre.high, centre.n,
                              sum(t.reads + t.writes for t in here), None, cpu.value))  # fmt: skip
    return found


def _p50_us(trial: TrialRecord) -> float:
    return trial.latency_us["write"].p50


def growth_rows(run: Run) -> list[GrowthRow]:
    """Time per write = a + v (voters - 3) + o observers, least squares; none without three shapes of both kinds."""
    by_shape: dict[tuple[int, int], dict[int, TrialRecord]] = {}
    for trial in run.trials:
        shape = trial.voters, trial.observers
        if trial.pyperf and trial.pyperf.benchmark == GROWN.format(*shape):
            by_shape.setdefault(shape, {})[trial.pyperf.round] = trial
    shapes = sorted(by_shape)
    if (3, 0) not in by_shape or len({v for v, _ in shapes}) < 2 or len({o for _, o in shapes}) < 2:
        return []
    rounds = sorted(set.intersection(*(set(trials) for trials in by_shape.values())))
    if not rounds:
        return []
    fits = [_plane(shapes, [1e6 / by_shape[shape][n].writes_per_s for shape in shapes]) for n in rounds]
    cpus = [_plane(shapes, [_cpu(by_shape[shape][n]) for shape in shapes]) for n in rounds]
    sent = [_plane(shapes, [leader_bytes(by_shape[shape][n]) / by_shape[shape][n].writes for shape in shapes])
            for n in rounds]  # fmt: skip
    return [_growth(kind, at, fits, cpus, sent, shapes) for at, kind in ((2, "observer"), (1, "voter"))]


def _growth(kind: str, at: int, fits: Sequence[Floats], cpus: Sequence[Floats], sent: Sequence[Floats],
            shapes: Sequence[tuple[int, int]]) -> GrowthRow:  # fmt: skip
    slopes, base = np.array([fit[at] for fit in fits]), float(np.mean([fit[0] for fit in fits]))
    bounds = mean_interval(slopes)
    low, high = bounds if bounds else (None, None)
    return GrowthRow(
        kind=kind, us=float(slopes.mean()), us_low=low, us_high=high, share=float(slopes.mean()) / base,
        cpu_us=float(np.mean([fit[at] for fit in cpus])), leader_bytes=float(np.mean([fit[at] for fit in sent])),
        base_us=base, base_bytes=float(np.mean([fit[0] for fit in sent])),
        residual=float(np.mean([fit[3] for fit in fits])) / base, rounds=len(fits),
        shapes=" ".join(f"{v}+{o}" for v, o in shapes),
    )  # fmt: skip


def _plane(shapes: Sequence[tuple[int, int]], values: Sequence[float]) -> Floats:
    """(at 3+0, per voter, per observer, root mean square of the residuals)."""
    sides = np.array([(1.0, voters - 3, observers) for voters, observers in shapes])
    fit, *_ = np.linalg.lstsq(sides, np.array(values), rcond=None)
    missed = sides @ fit - np.array(values)
    return np.array([*fit, float(np.sqrt((missed**2).mean()))])


def _cpu(trial: TrialRecord) -> float:
    (value,) = cpu_us([trial]).values()
    return value
