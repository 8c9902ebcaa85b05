"""Records grouped into points: one configuration, measured by several processes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from lab.bench.record import FailoverRecord, Settings, TrialRecord
from lab.report.statistics import Sample, process_means

DURABILITIES = ("memory", "buffered", "fsync")
TRANSPORTS = ("shm", "udp", "tcp")
NETWORKS = ("none", "lan", "zones", "regions", "outpost", "oceans")  # the farther the later
ATTACHMENTS = ("leader", "followers", "observers", "nearest", "all")
KNOBS = (  # said only where they are turned
    "max_outstanding",
    "batch_txns_max",
    "leader_serves",
    "relays",
    "wait",
    "placement",
    "anatomy",
)
LINKS = ("transport", "udp_mtu", "sealed")  # how bytes move
SHAPED = ("network", "delay_ms", "loss", "voter_sites", "observer_sites", "client_sites")  # what is put in between
DISTANCES = (*SHAPED, "hosts")  # and what is there

USUAL = Settings()


class Point(msgspec.Struct, frozen=True):
    """Verified trials of one configuration.

    `settings` are those that were in force: without the CPU budget where none could be set, and without the seed,
    the only thing that may differ in a point.
    """

    suite: str
    settings: Settings
    trials: tuple[TrialRecord, ...]

    def sample(self, value: Callable[[TrialRecord], float]) -> Sample:
        """One mean a round; two processes of one round (reads, and the mix at reads only) count as one."""
        return process_means([(trial.pyperf.round if trial.pyperf else None, value(trial)) for trial in self.trials])

    @property
    def client_limited(self) -> bool:
        """Whether the load generator was the limit in any of them."""
        return any(trial.client_limited for trial in self.trials)


class FailoverPoint(msgspec.Struct, frozen=True):
    """Verified failovers of one configuration."""

    settings: Settings
    records: tuple[FailoverRecord, ...]

    @property
    def outages_ms(self) -> list[float]:
        return [outage for record in self.records for outage in record.outage_ms]

    @property
    def rejoins_ms(self) -> list[float]:
        return [rejoin for record in self.records for rejoin in record.observer_rejoin_ms]

    def phase_ms(self, phase: str) -> list[float]:
        return [value for record in self.records for value in record.phases_ms.get(phase, [])]


def group_trials(trials: Iterable[TrialRecord]) -> list[Point]:
    """One point per configuration, small ensembles first."""
    groups: dict[tuple[str, Settings], list[TrialRecord]] = {}
    for trial in trials:
        groups.setdefault((trial.suite, in_force(trial)), []).append(trial)
    points = [Point(suite, settings, tuple(found)) for (suite, settings), found in groups.items()]
    return sorted(points, key=lambda point: (point.suite, order_of(point.settings)))


def group_failovers(failovers: Iterable[FailoverRecord]) -> list[FailoverPoint]:
    groups: dict[Settings, list[FailoverRecord]] = {}
    for failover in failovers:
        settings = msgspec.structs.replace(without_seed(failover.settings), repeats=1)
        groups.setdefault(settings, []).append(failover)
    points = [FailoverPoint(settings, tuple(found)) for settings, found in groups.items()]
    return sorted(points, key=lambda point: (point.settings.fault or "", order_of(point.settings)))


def in_force(trial: TrialRecord) -> Settings:
    """What the trial ran under, less its seed; a budget that was asked for and could not be set held nobody back."""
    settings = without_seed(trial.settings)
    return settings if trial.budget != "none" else msgspec.structs.replace(settings, cpu_share=None)


def without_seed(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, seed=0)


def order_of(settings: Settings) -> tuple[Any, ...]:
    """Small ensembles, weak durability, the leader's own clients, what is near and knobs as usual come first."""
    links = (_place(settings.transport, TRANSPORTS), settings.udp_mtu, settings.sealed)
    distances = (_place(settings.network, NETWORKS), *(getattr(settings, field) for field in DISTANCES))
    knobs = [(field in turned(settings), getattr(settings, field)) for field in KNOBS]
    return (settings.target, servers(settings), settings.observers, _place(settings.durability, DURABILITIES),
            _place(settings.attach, ATTACHMENTS), settings.reads, load_of(settings), *links, *distances,
            *knobs)  # fmt: skip


def turned(settings: Settings) -> list[str]:
    """The knobs that are not as usual."""
    return [field for field in KNOBS if getattr(settings, field) != getattr(USUAL, field)]


def linked(settings: Settings) -> list[str]:
    """What of links and distances is not as usual: one host, shared memory."""
    return [field for field in (*LINKS, *DISTANCES) if getattr(settings, field) != getattr(USUAL, field)]


def is_distant(settings: Settings) -> bool:
    """Whether the lab puts something between processes: a network, a delay, a loss."""
    return any(field in SHAPED for field in linked(settings))


def _place(value: str, order: Sequence[str]) -> int:
    return order.index(value) if value in order else len(order)


def servers(settings: Settings) -> int:
    return settings.voters + settings.observers


def load_of(settings: Settings) -> int:
    """Operations outstanding over all clients."""
    return settings.clients * settings.outstanding


def is_write_throughput(point: Point) -> bool:
    return _writes_unbudgeted(point) and load_of(point.settings) > 1


def is_write_latency(point: Point) -> bool:
    return _writes_unbudgeted(point) and load_of(point.settings) == 1


def _writes_unbudgeted(point: Point) -> bool:
    settings = point.settings
    return point.suite == "write-latency" and settings.reads == 0 and not settings.cpu_share and settings.rate is None


def is_read(point: Point) -> bool:
    return point.suite == "read-scaling"


def family(settings: Settings) -> Settings:
    """What points share that differ in their ensemble alone: load attached to all servers may grow with them."""
    depth = depth_per_server(settings)
    return msgspec.structs.replace(settings, voters=0, observers=0, outstanding=depth or settings.outstanding)


def depth_per_server(settings: Settings) -> int | None:
    """Operations outstanding at each server where clients attach to all of them; None where it is not a whole."""
    depth, rest = divmod(settings.outstanding, servers(settings))
    return depth if settings.attach == "all" and not rest and depth else None


def families(points: Iterable[Point]) -> list[list[Point]]:
    """Points that differ in their ensemble alone, the family with most ensembles first."""
    found: dict[Settings, list[Point]] = {}
    for point in points:
        found.setdefault(family(point.settings), []).append(point)
    return sorted(found.values(), key=len, reverse=True)


def baseline_of(points: Sequence[Point]) -> Point:
    """The 3-voter ensemble, or the smallest one without observers if that was not measured."""
    voters_only = [p for p in points if p.settings.observers == 0] or list(points)
    return next((p for p in voters_only if p.settings.voters == 3), voters_only[0])


def growth_of(settings: Settings, baseline: Settings) -> str:
    """How an ensemble came to be from the baseline: by voters, observers, both or none."""
    if settings.voters == baseline.voters:
        return "observers" if settings.observers != baseline.observers else "none"
    return "voters" if settings.observers == baseline.observers else "both"


def shape(settings: Settings) -> str:
    """`3+2`: three voters and two observers."""
    return f"{settings.voters}+{settings.observers}"


def loop(settings: Settings) -> str:
    """How load was offered: what stands on every figure."""
    if settings.rate is not None:
        return f"open loop, {settings.rate:,.0f} operations/s offered ({settings.arrivals} arrivals)"
    depth = depth_per_server(settings)
    if depth:
        return f"closed loop, {settings.clients * depth:,} outstanding per server"
    return f"closed loop, {load_of(settings):,} outstanding"


_VIA = {"leader": "via the leader", "nearest": "via the nearest", "all": "via all servers"}
# How one setting is said in a few words, in the order in which they are said; what is not listed is `name=value`.
_SAID: dict[str, Callable[[Settings], str]] = {
    "target": lambda s: s.target,
    "voters": shape,
    "durability": lambda s: s.durability,
    "attach": lambda s: _VIA.get(s.attach, f"via {s.attach}"),
    "transport": lambda s: s.transport,
    "udp_mtu": lambda s: f"datagrams of {s.udp_mtu:,} bytes" if s.transport == "udp" or is_distant(s) else "",
    "sealed": lambda s: ("sealed" if s.sealed else "unsealed") if s.transport == "udp" else "",
    "network": lambda s: "no network" if s.network == USUAL.network else f"network {s.network}",
    "delay_ms": lambda s: f"{s.delay_ms:g} ms each way" if s.delay_ms else "no delay",
    "hosts": lambda s: f"on hosts {s.hosts}" if s.hosts else "on one host",
    "loss": lambda s: f"{100 * s.loss:g} % of datagrams lost",
    "voter_sites": lambda s: _at("voters", s.voter_sites),
    "observer_sites": lambda s: _at("observers", s.observer_sites),
    "client_sites": lambda s: _at("clients", s.client_sites),
    "clients": lambda s: f"{s.clients} clients",
    "outstanding": lambda s: f"{s.outstanding} outstanding each",
    "value_bytes": lambda s: f"{s.value_bytes}-byte values",
    "reads": lambda s: f"{100 * s.reads:g} % reads",
    "fault": lambda s: s.fault or "no fault",
    "max_outstanding": lambda s: _up_to(s.max_outstanding, "batch at a time", "batches at a time"),
    "batch_txns_max": lambda s: _up_to(s.batch_txns_max, "write a batch", "writes a batch"),
    "leader_serves": lambda s: "the leader serves" if s.leader_serves else "the leader serves nobody",
    "relays": lambda s: f"{s.relays} relay{'s' if s.relays > 1 else ''}" if s.relays else "no relay",
    "wait": lambda s: f"{s.wait} waits",
    "placement": lambda s: f"placed {s.placement}",
    "anatomy": lambda s: "marked" if s.anatomy else "unmarked",
}


def _at(who: str, sites: str) -> str:
    return f"{who} at {sites.replace(',', ', ')}" if sites else f"{who} where the network has them"


def _up_to(most: int, one: str, several: str) -> str:
    return f"one {one}" if most == 1 else f"up to {most:,} {several}" if most else f"any number of {several}"


def say(settings: Settings, fields: Iterable[str]) -> str:
    """The named settings in words: `3+2, buffered, via observers`."""
    wanted = {"voters" if field == "observers" else field for field in fields}
    listed = [text for field, words in _SAID.items() if field in wanted and (text := words(settings))]
    return ", ".join(listed + [f"{field}={getattr(settings, field)}" for field in sorted(wanted - _SAID.keys())])


def distinguish(several: Sequence[Settings], also: Iterable[str] = ()) -> list[str]:
    """A short name for each: only what differs between them is said, and the fields in `also`."""
    differing = {f for f in Settings.__struct_fields__ if len({getattr(settings, f) for settings in several}) > 1}
    return [say(settings, (differing | set(also)) - {"seed", "network_digest"}) for settings in several]


def common(several: Sequence[Settings]) -> str:
    """What all of them share about the load, the servers and the links, for the small print under a figure."""
    return "; ".join(filter(None, (" or ".join(sorted({loop(settings) for settings in several})), shared(several))))


def shared(several: Sequence[Settings]) -> str:
    """As `common`, without how load was offered; transport and network are always said, or differ."""
    unusual = (field for settings in several for field in linked(settings))
    asked = dict.fromkeys(["durability", "value_bytes", "attach", "transport", "network", *unusual])
    alike = {field for field in asked if len({getattr(settings, field) for settings in several}) == 1}
    if several[0].network == USUAL.network and any(map(is_distant, several)):
        alike.discard("network")  # there is one, of a delay or a loss alone
    return say(several[0], alike)
