"""Outages after a leader's failure by network, whole and by phase."""

from collections.abc import Sequence

import msgspec

from lab.bench.record import PHASES, Settings
from lab.report.points import FailoverPoint, group_failovers
from lab.report.reading import Run
from lab.report.rows.election import PhaseRow, timing
from lab.report.rows.measured import SUITE
from lab.report.statistics import median_estimate


class DistantOutage(msgspec.Struct, frozen=True):
    """Milliseconds, over all failovers of one fault in one network."""

    network: str
    fault: str
    tick_ms: int
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
    found, points = [], _points(run)
    said = _timings([point.settings for point in points])
    for point in points:
        settings, outage = point.settings, median_estimate(point.outages_ms)
        for phase in PHASES:
            if values := point.phase_ms(phase):
                median = median_estimate(values)
                found.append(PhaseRow(
                    configuration=settings.network, fault=settings.fault or "", shape=settings.network,
                    voters=settings.voters, observers=settings.observers, phase=phase, median_ms=median.value,
                    median_low=median.low, median_high=median.high, outage_ms=outage.value, n=len(values),
                    settings=said,
                ))  # fmt: skip
    return found


def _timings(several: Sequence[Settings]) -> str:
    """What all of them share, and for which networks it differs."""
    networks: dict[str, list[str]] = {}
    for one in several:
        named = networks.setdefault(f"{one.voters} voters, {one.transport}; {timing(one)}", [])
        if one.network not in named:
            named.append(one.network)
    parts = [f"{', '.join(names)}: {text}" for text, names in networks.items()]
    return " | ".join(parts) if len(parts) > 1 else "".join(networks)


def _points(run: Run) -> list[FailoverPoint]:
    return group_failovers(record for record in run.failovers if record.suite == SUITE)


def _outage(point: FailoverPoint) -> DistantOutage:
    median, detections = median_estimate(point.outages_ms), point.phase_ms("detection")
    return DistantOutage(
        network=point.settings.network, fault=point.settings.fault or "", tick_ms=point.settings.tick_ms,
        median_ms=median.value, median_low=median.low, median_high=median.high, longest_ms=max(point.outages_ms),
        detection_ms=median_estimate(detections).value if detections else None, n=median.n,
    )  # fmt: skip
