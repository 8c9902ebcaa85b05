"""Outages after a leader's failure by network, whole and by phase."""

import msgspec

from lab.bench.record import PHASES
from lab.report.points import FailoverPoint, group_failovers
from lab.report.reading import Run
from lab.report.rows.election import PhaseRow, timing
from lab.report.rows.measured import SUITE
from lab.report.statistics import median_estimate


class DistantOutage(msgspec.Struct, frozen=True):
    """Milliseconds, over all failovers of one fault in one network."""

    network: str
    fault: str
    median_ms: float
    median_low: float | None
    median_high: float | None
    longest_ms: float
    detection_ms: float | None  # median; None: the target does not tell phases
    n: int


def distant_outages(run: Run) -> list[DistantOutage]:
    """Near networks first."""
    return [_outage(point) for point in _points(run)]


def distant_phases(run: Run) -> list[PhaseRow]:
    """As of the elections of one host, with the network in the place of the ensemble."""
    found = []
    for point in _points(run):
        settings, outage = point.settings, median_estimate(point.outages_ms)
        for phase in PHASES:
            if values := point.phase_ms(phase):
                median = median_estimate(values)
                found.append(PhaseRow(
                    configuration=settings.network, fault=settings.fault or "", shape=settings.network,
                    voters=settings.voters, observers=settings.observers, phase=phase, median_ms=median.value,
                    median_low=median.low, median_high=median.high, outage_ms=outage.value, n=len(values),
                    settings=f"{settings.voters} voters, {settings.transport}; {timing(settings)}",
                ))  # fmt: skip
    return found


def _points(run: Run) -> list[FailoverPoint]:
    return group_failovers(record for record in run.failovers if record.suite == SUITE)


def _outage(point: FailoverPoint) -> DistantOutage:
    median, detections = median_estimate(point.outages_ms), point.phase_ms("detection")
    return DistantOutage(
        network=point.settings.network, fault=point.settings.fault or "", median_ms=median.value,
        median_low=median.low, median_high=median.high, longest_ms=max(point.outages_ms),
        detection_ms=median_estimate(detections).value if detections else None, n=median.n,
    )  # fmt: skip
