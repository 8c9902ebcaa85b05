"""What lost datagrams do to writes over UDP: throughput, latency, and how much is sent again."""

import msgspec

from lab.bench.record import Settings, TrialRecord
from lab.report.points import USUAL, Point, load_of, shared
from lab.report.reading import Run
from lab.report.rows.measured import latency, operations, points_of, throughput
from lab.report.statistics import Effect, estimate, ratio

FAMILY = "loss"


class LossRow(msgspec.Struct, frozen=True):
    """One share of lost datagrams under one load; microseconds; `relative` is throughput as a multiple of no loss's."""

    load: str
    outstanding: int
    loss: float  # of the datagrams of every link, each way
    writes_per_s: float
    writes_low: float | None
    writes_high: float | None
    relative: float
    relative_low: float | None
    relative_high: float | None
    p50: float
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    resent: float | None  # share of all datagrams that carried again what was sent before; None: not counted
    n: int
    writes: int
    settings: str

    @property
    def effect(self) -> Effect:
        return Effect(self.relative, self.relative_low, self.relative_high, self.n)


def loss_rows(run: Run) -> list[LossRow]:
    """Of the loads that were measured without loss and with some; many outstanding first, then the less loss first."""
    groups: dict[Settings, list[Point]] = {}
    for point in points_of(run, FAMILY):
        groups.setdefault(msgspec.structs.replace(point.settings, loss=USUAL.loss), []).append(point)
    several = [
        sorted(points, key=lambda point: point.settings.loss)
        for _, points in sorted(groups.items(), key=lambda item: -load_of(item[0])) if len(points) > 1
    ]  # fmt: skip
    whole = [points for points in several if points[0].settings.loss == 0]
    said = shared([point.settings for points in whole for point in points]) if whole else ""
    return [_row(point, points[0], said) for points in whole for point in points]


def resent_share(trial: TrialRecord) -> float | None:
    """Of the datagrams that the servers sent within the window."""
    sent, resent = (_counted(trial, name) for name in ("datagrams_sent", "retransmitted"))
    return resent / sent if sent else None


def _counted(trial: TrialRecord, name: str) -> int:
    return int(trial.network_stats.get(name, 0))


def _row(point: Point, base: Point, said: str) -> LossRow:
    settings, writes = point.settings, estimate(throughput(point))
    p50, p99 = estimate(latency(point, "p50")), estimate(latency(point, "p99"))
    relative = Effect(1.0, None, None, writes.n) if point is base else ratio(throughput(point), throughput(base))
    resent = [share for trial in point.trials if (share := resent_share(trial)) is not None]
    return LossRow(
        load=f"{load_of(settings):,} outstanding", outstanding=load_of(settings), loss=settings.loss,
        writes_per_s=writes.value, writes_low=writes.low, writes_high=writes.high,
        relative=relative.ratio, relative_low=relative.low, relative_high=relative.high,
        p50=p50.value, p50_low=p50.low, p50_high=p50.high, p99=p99.value, p99_low=p99.low, p99_high=p99.high,
        resent=sum(resent) / len(resent) if resent else None, n=writes.n, writes=operations(point), settings=said,
    )  # fmt: skip
