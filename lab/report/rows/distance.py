"""One write at a time by network preset: how far from what the network alone would take."""

import msgspec

from lab.bench.record import Settings, TrialRecord
from lab.networks import Layout, NetworkError, load_network, network_of
from lab.report.points import Point, shared
from lab.report.reading import Run
from lab.report.rows.measured import latency, operations, points_of
from lab.report.statistics import estimate

FAMILY = "preset"


class DistanceRow(msgspec.Struct, frozen=True):
    """One network; microseconds.  `floor` is the round trip to the client and that of a quorum, in typical delays."""

    network: str
    leader_site: str  # empty: there are no sites, nothing lies between
    floor: float | None  # None: nothing lies between, or the network is not known any more
    p50: float
    p50_low: float | None
    p50_high: float | None
    p99: float
    p99_low: float | None
    p99_high: float | None
    writes_per_s: float
    n: int
    writes: int
    elsewhere: int  # trials that are left out, for another site than the client's led
    settings: str  # what all of them share

    @property
    def beyond(self) -> float | None:
        """What is added to the floor, microseconds at the median."""
        return None if self.floor is None else self.p50 - self.floor


def distance_rows(run: Run) -> list[DistanceRow]:
    """Near networks first; with clients at the leader's site."""
    points = [point for point in points_of(run, FAMILY) if _local(point).trials]
    said = shared([point.settings for point in points]) if points else ""
    return [_row(point, said) for point in points]


def led_elsewhere(run: Run) -> dict[str, int]:
    """Networks of which no trial is left, with how many there were."""
    return {point.settings.network: len(point.trials) for point in points_of(run, FAMILY) if not _local(point).trials}


def layout_of(settings: Settings) -> Layout | None:
    """Who stands where; None without a network, or where it is not any more what it was."""
    sites = {"voter": settings.voter_sites, "observer": settings.observer_sites, "client": settings.client_sites}
    try:
        network = network_of(settings.network, loss=settings.loss, delay_ms=settings.delay_ms, sites=sites)
    except NetworkError:
        return None
    if network is None or (
        settings.network_digest and load_network(settings.network).digest != settings.network_digest
    ):
        return None
    return Layout(network, settings.voters)


def leader_of(trial: TrialRecord) -> int | None:
    """None where a target does not say."""
    return next((server.id for server in trial.servers if server.role == "leader"), None)


def leader_site(trial: TrialRecord) -> str:
    """Empty without a network, or where a target does not say who leads."""
    return trial.sites.get(f"server {leader_of(trial)}", "")


def _local(point: Point) -> Point:
    """Less the trials in which the leader was not where the client is."""
    kept = [trial for trial in point.trials if leader_site(trial) == trial.sites.get("client 0", "")]
    return msgspec.structs.replace(point, trials=tuple(kept))


def _row(point: Point, said: str) -> DistanceRow:
    kept, layout = _local(point), layout_of(point.settings)
    leader = leader_of(kept.trials[0])
    p50, p99 = estimate(latency(kept, "p50")), estimate(latency(kept, "p99"))
    floor = None if layout is None or leader is None else 1_000 * layout.write_ms(0, leader, leader)
    return DistanceRow(
        network=point.settings.network, leader_site=leader_site(kept.trials[0]), floor=floor,
        p50=p50.value, p50_low=p50.low, p50_high=p50.high, p99=p99.value, p99_low=p99.low, p99_high=p99.high,
        writes_per_s=estimate(kept.sample(lambda trial: trial.writes_per_s)).value, n=p50.n, writes=operations(kept),
        elsewhere=len(point.trials) - len(kept.trials), settings=said,
    )  # fmt: skip
