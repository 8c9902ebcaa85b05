"""What `Settings` may say: every rule in one place, so that a wrong value is one line whoever asked for it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from lab.bench.arrivals import ArrivalsError, parse_arrivals
from lab.bench.networks import carries_datagrams, check_network, network_settings
from lab.bench.record import Settings
from lab.networks import NetworkError
from workloads import Workload, WorkloadError, load_workload, refine, workload_named, workload_of

SERVERS_MAX = 13  # zab.md 2: what an ensemble of this lab is made of
RATE_LEAST, RATE_MOST = 0.001, 10_000_000  # operations/s
LOSS_MOST = 0.9  # of datagrams; beyond, a session hardly ever opens
CPU_SHARE_LEAST = 0.001  # the kernel's: a millisecond in a second

TARGETS = ("own", "null", "zookeeper")
MARKING = ("own",)  # targets whose servers mark where a write passes
TRANSPORTS = {  # how each target's servers can be linked; the first is the usual way
    "own": ("shm", "udp"), "null": ("shm", "udp"), "zookeeper": ("tcp",)
}  # fmt: skip
UDP_MTU_LEAST, UDP_MTU_MOST = 576, 65_000
DURABILITIES = {
    "own": ("fsync", "buffered", "memory"), "null": ("memory",), "zookeeper": ("fsync", "buffered")
}  # fmt: skip
ATTACHMENTS = ("leader", "followers", "observers", "nearest", "all")
WAITS = ("adaptive", "blocking", "spin")
DEATH_DETECTIONS = ("pidfd", "heartbeat")
PLACEMENTS = ("free", "together", "spread", "leader-client", "leader-alone")
FAULTS = ("crash", "freeze", "partition")

# What a target that is not ours can be told, beside the load; any other setting would be recorded and mean nothing.
LOAD_FIELDS = (
    "target", "voters", "observers", "transport", "durability", "workload", "reads", "clients", "outstanding",
    "value_bytes", "keys", "distribution", "zipf_s", "seconds", "warmup", "seed", "attach", "rate", "cpu_share",
    "arrivals", "placement", "fault", "repeats",
)  # fmt: skip
LINK_FIELDS = (
    "network", "network_digest", "loss", "delay_ms", "voter_sites", "observer_sites", "client_sites", "tick_ms",
)  # fmt: skip
FOREIGN_FIELDS = {
    "null": (
        *(field for field in LOAD_FIELDS if field not in ("fault", "repeats")),
        "wait",
        "udp_mtu",
        "sealed",
        *LINK_FIELDS,
    ),
    "zookeeper": (*LOAD_FIELDS, "tick_ms", "sync_limit_ticks", "init_limit_ticks", "snap_count", "leader_serves"),
}
FOREIGN_FAULTS = {"zookeeper": ("crash", "freeze")}
LINKED = (  # what of links and networks can be asked for: the axes of the suite network
    "transport", "udp_mtu", "sealed", "network", "loss", "delay_ms", "voter_sites", "observer_sites", "client_sites",
)  # fmt: skip
SUITED: dict[str, dict[str, Any]] = {"null": {"voters": 1, "durability": "memory"}}  # unless asked otherwise

DEFAULT_ARRIVALS = Settings().arrivals
WORKLOAD_FIELDS = ("reads", "value_bytes", "keys", "distribution", "zipf_s")  # settings that parametrize the workload


class SettingsError(ValueError):
    """A setting is out of its limits: names the option, what was found and what is allowed."""


def option(field: str) -> str:
    """How the field is typed: `value_bytes` -> `--value-bytes`."""
    return "--" + field.replace("_", "-")


def _one_of(*allowed: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in allowed), " or ".join(allowed)


def _between(least: float, most: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: least <= value <= most), f"{least:,} to {most:,}"


def _above_zero(most: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: 0 < value <= most), f"more than 0, at most {most:,}"


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "target": _one_of(*TARGETS),
    "voters": _between(1, SERVERS_MAX),
    "observers": _between(0, SERVERS_MAX - 1),
    "transport": _one_of(*dict.fromkeys(transport for each in TRANSPORTS.values() for transport in each)),
    "udp_mtu": _between(UDP_MTU_LEAST, UDP_MTU_MOST),
    "durability": _one_of(*DURABILITIES["own"]),
    "clients": _between(1, 64),
    "outstanding": _between(1, 1 << 16),
    "seconds": _above_zero(86_400),
    "warmup": _between(0.0, 3600.0),
    "seed": _between(0, (1 << 63) - 1),
    "attach": _one_of(*ATTACHMENTS),
    "rate": ((lambda rate: RATE_LEAST <= rate <= RATE_MOST), f"at least {RATE_LEAST:g}, at most {RATE_MOST:,}"),
    "cpu_share": ((lambda share: CPU_SHARE_LEAST <= share <= 1), f"at least {CPU_SHARE_LEAST:g}, at most 1"),
    "max_outstanding": _between(0, 1 << 20),
    "batch_txns_max": _between(1, 1 << 20),
    "relays": _between(0, SERVERS_MAX - 1),
    "snap_count": _between(0, 1 << 30),
    "placement": _one_of(*PLACEMENTS),
    "wait": _one_of(*WAITS),
    "death_detection": _one_of(*DEATH_DETECTIONS),
    "loss": _between(0, LOSS_MOST),
    "delay_ms": _between(0, 60_000),
    "tick_ms": _between(1, 60_000),
    "sync_limit_ticks": _between(2, 10_000),
    "init_limit_ticks": _between(3, 10_000),
    "fault": _one_of(*FAULTS),
    "repeats": _between(1, 100_000),
}


def check_settings(settings: Settings) -> Settings:
    """The settings themselves if an ensemble and a load can be made of them; else SettingsError."""
    for field, (allowed, text) in RULES.items():
        value = getattr(settings, field)
        if value is not None and not allowed(value):
            raise SettingsError(f"{option(field)}: {value!r}, allowed: {text}")
    total = settings.voters + settings.observers
    if total > SERVERS_MAX:
        raise SettingsError(
            f"--voters {settings.voters} --observers {settings.observers}: {total} servers, allowed: 1 to {SERVERS_MAX}"
        )
    if settings.attach == "observers" and not settings.observers:
        raise SettingsError("--attach observers: there is none, allowed: leader, followers, all (or --observers 1)")
    if settings.attach == "followers" and settings.voters < 2:
        raise SettingsError("--attach followers: a single voter leads, allowed: leader, observers, all (or --voters 3)")
    if settings.relays >= settings.voters:
        raise SettingsError(f"--relays {settings.relays}: allowed: below --voters {settings.voters}, for one leads")
    if settings.relays and not settings.observers:
        raise SettingsError(f"--relays {settings.relays}: there is no observer, allowed: 0 (or --observers 1)")
    if not settings.leader_serves and total == 1:
        raise SettingsError("--leader-serves: no, and a single server leads: nobody would serve, allowed: yes")
    if not settings.leader_serves and settings.attach == "leader":
        raise SettingsError(
            "--attach leader: it serves nobody with --leader-serves no, allowed: followers, observers or all"
        )
    if settings.init_limit_ticks <= settings.sync_limit_ticks:
        raise SettingsError(
            f"--init-limit-ticks: {settings.init_limit_ticks}, "
            f"allowed: more than --sync-limit-ticks {settings.sync_limit_ticks}"
        )
    if settings.anatomy and settings.target not in MARKING:
        raise SettingsError(
            f"--anatomy, --trace: the servers of {settings.target} mark no hops, allowed: {' or '.join(MARKING)}"
        )
    if settings.anatomy and settings.reads == 1.0:
        raise SettingsError("--anatomy, --trace: they follow writes, and --reads 1 asks for none")
    _check_target(settings)
    try:
        check_network(settings)
    except NetworkError as error:
        raise SettingsError(str(error)) from error
    if settings.udp_mtu != Settings().udp_mtu and not carries_datagrams(settings):
        raise SettingsError(
            f"--udp-mtu {settings.udp_mtu}: links of the transport {settings.transport} carry no datagrams without a "
            "network, allowed with --transport udp, --network, --loss or --delay-ms"
        )
    try:
        parse_arrivals(settings.arrivals)
    except ArrivalsError as error:
        raise SettingsError(f"--arrivals: {error}") from error
    if settings.arrivals != DEFAULT_ARRIVALS and settings.rate is None:
        raise SettingsError(f"--arrivals {settings.arrivals}: a closed loop has no schedule; add --rate OPS")
    workload_of_settings(settings)
    return settings


def _check_target(settings: Settings) -> None:
    """What is possible for one target may not be for another."""
    target, usual = settings.target, Settings()
    if settings.transport not in TRANSPORTS[target]:
        allowed = " or ".join(TRANSPORTS[target])
        raise SettingsError(f"--transport: {settings.transport!r}, allowed for the target {target}: {allowed}")
    if settings.sealed and settings.transport != "udp":
        raise SettingsError(f"--sealed: a link of the transport {settings.transport} has no tags, allowed: no")
    if settings.durability not in DURABILITIES[target]:
        allowed = " or ".join(DURABILITIES[target])
        raise SettingsError(f"--durability: {settings.durability!r}, allowed for the target {target}: {allowed}")
    if target == "null" and settings.voters + settings.observers > 1:
        raise SettingsError(
            f"--voters {settings.voters} --observers {settings.observers}: allowed for the target null: --voters 1"
        )
    if target not in FOREIGN_FIELDS:
        return
    for field in Settings.__struct_fields__:
        value = getattr(settings, field)
        if field not in FOREIGN_FIELDS[target] and value != getattr(usual, field):
            raise SettingsError(
                f"{option(field)}: {value!r}, and the target {target} has no such thing, allowed: leave it out"
            )
    if settings.fault is not None and settings.fault not in FOREIGN_FAULTS[target]:
        allowed = " or ".join(FOREIGN_FAULTS[target])
        raise SettingsError(f"--fault: {settings.fault!r}, allowed for the target {target}: {allowed}")


def workload_of_settings(settings: Settings) -> tuple[Workload, msgspec.Struct]:
    """The workload and its parameters; what they may be is the workload's to say."""
    try:
        workload = workload_named(settings.workload, option("workload"))
        params = workload.params()
        for field in WORKLOAD_FIELDS:
            params = refine(params, {field: getattr(settings, field)}, option(field))
    except WorkloadError as error:
        raise SettingsError(str(error)) from error
    return workload, params


def check_failover(settings: Settings) -> Settings:
    """As `check_settings`; moreover a leader's loss must leave a quorum."""
    check_settings(settings)
    if settings.fault is None:
        raise SettingsError(f"--fault: none, allowed: {' or '.join(FAULTS)}")
    if settings.voters < 3:
        raise SettingsError(f"--voters: {settings.voters}, allowed for a failover: 3 to {SERVERS_MAX}")
    if settings.reads:
        raise SettingsError(f"--reads: {settings.reads:g}, allowed for a failover: 0 (one write after the other)")
    if settings.anatomy:
        raise SettingsError("--anatomy: of a failover the phases are measured; leave it out")
    if settings.cpu_share is not None:
        raise SettingsError("--cpu-share: a failover is not measured under a CPU budget; leave it out")
    return settings


def check_torture(settings: Settings) -> Settings:
    """As `check_settings`; moreover servers must be able to be lost, and to come back with what they had."""
    check_settings(settings)
    if settings.durability == "memory":
        raise SettingsError(
            "--durability: memory, allowed for torture: fsync or buffered (a crashed server would come back wiped)"
        )
    if settings.voters < 3:
        raise SettingsError(f"--voters: {settings.voters}, allowed for torture: 3 to {SERVERS_MAX}")
    if settings.reads == 1.0:
        raise SettingsError("--reads: 1, allowed for torture: 0 to less than 1 (it is about writes)")
    return settings


def check_soak(settings: Settings) -> Settings:
    """As `check_settings`; moreover a paced load of writes, on servers that have a disk."""
    check_settings(settings)
    if settings.durability == "memory":
        raise SettingsError("--durability: memory, allowed for a soak: fsync or buffered (it is about logs, too)")
    if settings.reads:
        raise SettingsError(f"--reads: {settings.reads:g}, allowed for a soak: 0 (reads of an hour cannot be checked)")
    if settings.rate is None:
        raise SettingsError("--rate: none, allowed for a soak: a moderate number of writes/s")
    return settings


def torture_settings(typed: dict[str, Any]) -> Settings:
    """Typed options over the workload's parameters over what torture has by default."""
    typed = dict(typed)
    name = typed.pop("workload", None)
    workload = {"reads": 0.5} if name is None else workload_settings(name)
    lent = {"attach": "all", "warmup": 0.0, "snap_count": 10_000, **workload, **network_settings(typed.get("network"))}
    return check_torture(Settings(**{**lent, **typed}))


def soak_settings(typed: dict[str, Any]) -> Settings:
    """Typed options over the workload's parameters over what a soak has by default."""
    typed = dict(typed)
    workload = workload_settings(typed.pop("workload", None))
    lent = {"attach": "all", "warmup": 0.0, **workload, **network_settings(typed.get("network"))}
    return check_soak(Settings(**{**lent, **typed}))


def target_settings(target: str) -> dict[str, Any]:
    """The settings that come with a target."""
    return {"target": target, "transport": TRANSPORTS[target][0]} if target in TRANSPORTS else {"target": target}


def suited(target: str, fields: Mapping[str, Any], typed: Collection[str]) -> dict[str, Any]:
    """Options of a measurement: what was not typed is what suits the target."""
    return {**fields, **{field: value for field, value in SUITED.get(target, {}).items() if field not in typed}}


def known_to(target: str, changes: Mapping[str, object]) -> dict[str, object]:
    """The changes of settings that this target can be told."""
    fields = FOREIGN_FIELDS.get(target, Settings.__struct_fields__)
    known = {field: value for field, value in changes.items() if field in fields}
    if known.get("transport") not in TRANSPORTS[target]:
        known.pop("transport", None)
    return known


def deaf_to(target: str, changes: Mapping[str, object]) -> str:
    """What of links and networks this target cannot be told, though it makes a difference to ours; empty: nothing."""
    known = known_to(target, changes)
    usual = Settings()
    for field in LINKED:
        if field in changes and field not in known and changes[field] != getattr(usual, field):
            return f"{option(field)}: {changes[field]!r}, and the target {target} has no such thing"
    return ""


def workload_settings(name: str | None) -> dict[str, Any]:
    """The settings that a preset or a TOML file stands for; none without a name.  Raises WorkloadError."""
    if name is None:
        return {}
    params = load_workload(name)
    return {"workload": workload_of(params).name, **{field: getattr(params, field) for field in WORKLOAD_FIELDS}}
