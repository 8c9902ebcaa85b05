"""Outages after a leader's failure, whole and by phase (zab.md, appendix B; section 12, B-6, B-7)."""

import msgspec

from lab.bench.record import PHASES, Settings
from lab.report.points import FailoverPoint, distinguish, family, group_failovers, shape
from lab.report.reading import Run
from lab.report.statistics import Effect, median_estimate, median_ratio


class OutageRow(msgspec.Struct, frozen=True):
    """One failover; rows of one configuration ascend, `share` of its outages were this long or shorter."""

    configuration: str
    fault: str
    shape: str
    voters: int
    observers: int
    outage_ms: float
    share: float
    median_ms: float
    median_low: float | None
    median_high: float | None
    n: int
    settings: str


class PhaseRow(msgspec.Struct, frozen=True):
    """Median of one phase in one configuration, beside the median of the whole outage."""

    configuration: str
    fault: str
    shape: str
    voters: int
    observers: int
    phase: str
    median_ms: float
    median_low: float | None
    median_high: float | None
    outage_ms: float
    n: int
    settings: str


class OutageEffect(msgspec.Struct, frozen=True):
    """Outages of one ensemble after a fault against the baseline's after the same fault."""

    fault: str
    shape: str
    observers_only: bool  # whether it differs from the baseline by observers alone
    observers: int
    baseline: str
    median_ms: float
    baseline_ms: float
    effect: Effect


def outage_rows(run: Run) -> list[OutageRow]:
    rows = []
    for point, name in _named(run):
        settings, outages = point.settings, sorted(point.outages_ms)
        median, n = median_estimate(outages), len(outages)
        rows += [
            OutageRow(name, settings.fault or "", shape(settings), settings.voters, settings.observers, outage, i / n,
                      median.value, median.low, median.high, n, timing(settings))
            for i, outage in enumerate(outages, 1)
        ]  # fmt: skip
    return rows


def phase_rows(run: Run) -> list[PhaseRow]:
    rows = []
    for point, name in _named(run):
        settings, outage = point.settings, median_estimate(point.outages_ms)
        for phase in PHASES:
            if values := point.phase_ms(phase):
                median = median_estimate(values)
                rows.append(PhaseRow(
                    name, settings.fault or "", shape(settings), settings.voters, settings.observers, phase,
                    median.value, median.low, median.high, outage.value, len(values), timing(settings),
                ))  # fmt: skip
    return rows


def outage_effects(run: Run) -> list[OutageEffect]:
    found = []
    points = _points(run)
    for fault in sorted({p.settings.fault or "" for p in points}):
        here = [p for p in points if (p.settings.fault or "") == fault]
        alone = [p for p in here if p.settings.observers == 0] or here
        baseline = next((p for p in alone if p.settings.voters == 3), alone[0])
        alike = [p for p in here if p is not baseline and family(p.settings) == family(baseline.settings)]
        found += [_effect(fault, point, baseline) for point in alike]
    return found


def timing(settings: Settings) -> str:
    """The time limits that an outage depends on, which stand beside every number about it."""
    early = "on" if settings.finalize_early else "off"
    return (f"tick {settings.tick_ms} ms, sync_limit {settings.sync_limit_ticks} ticks, finalize_early {early}, "
            f"death detection by {settings.death_detection}")  # fmt: skip


def _effect(fault: str, point: FailoverPoint, baseline: FailoverPoint) -> OutageEffect:
    ours, theirs = point.outages_ms, baseline.outages_ms
    return OutageEffect(
        fault=fault, shape=shape(point.settings), observers=point.settings.observers,
        observers_only=point.settings.voters == baseline.settings.voters, baseline=shape(baseline.settings),
        median_ms=median_estimate(ours).value, baseline_ms=median_estimate(theirs).value,
        effect=median_ratio(ours, theirs),
    )  # fmt: skip


def _points(run: Run) -> list[FailoverPoint]:
    """But for those of `network`, which are about distance and have a section of their own."""
    return group_failovers(record for record in run.failovers if record.suite != "network")


def _named(run: Run) -> list[tuple[FailoverPoint, str]]:
    points = _points(run)
    names = distinguish([p.settings for p in points], also=["voters", "fault"]) if points else []
    return list(zip(points, names, strict=True))
