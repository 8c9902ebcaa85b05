"""`trial --hosts` and `failover --hosts`: one ensemble whose servers and clients run on several machines."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from lab.bench.failover import Progress, run_failover
from lab.bench.limits import SettingsError, check_failover, check_settings, option
from lab.bench.progress import Reporter
from lab.bench.record import FailoverRecord, HostPart, Settings, TrialRecord
from lab.bench.systems import LoadMaker, make_own
from lab.bench.trial import DEFAULT_DATA_DIR, run_trial
from lab.cluster.errors import ClusterError
from lab.cluster.host_file import Hosts, Places, place
from lab.cluster.remote import Station
from lab.hosts.pool import HostPool
from lab.targets.target import Target

R = TypeVar("R", TrialRecord, FailoverRecord)


class DaskHosts:
    """Implements `lab.cluster.remote.Elsewhere`: those hosts of the file on which something runs."""

    def __init__(self, hosts: Hosts, places: Places) -> None:
        self.servers, self.clients = places.servers, places.clients
        self._hosts = hosts
        self._pool: HostPool | None = None
        self._taken = {*places.servers.values(), *places.clients.values()}
        self.parts: dict[str, HostPart] = {}  # once closed: what there is to say of each

    def open(self, *, data_dir: str, durable: bool) -> Mapping[str, Station]:
        self._pool = pool = HostPool(self._hosts)
        stations = {}
        for host in self._hosts.host:
            if host.name in self._taken:
                where = host.data_dir or data_dir
                pool.describe(host.name, where or str(DEFAULT_DATA_DIR))
                link, address = pool.open(host), pool.address_of(host)
                key_file = host.key_file or self._hosts.key_file
                link.prepare(data_dir=where, durable=durable, address=address, key_file=key_file)
                stations[host.name] = Station(link, address)
        return stations

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            self.parts = {name: self._part(pool, name) for name in pool.links if len(pool.links[name].clock)}
            pool.close()

    def _part(self, pool: HostPool, name: str) -> HostPart:
        clock = pool.links[name].clock
        runs = [f"server {server}" for server, its in self.servers.items() if its == name]
        runs += [f"client {client}" for client, its in self.clients.items() if its == name]
        return HostPart(pool.about[name].machine, runs, clock.offset_ns(), clock.uncertainty_ns())


def settings_on(hosts: Hosts, settings: Settings) -> Settings:
    """The settings as these hosts make them.  Raises SettingsError, or HostsError if not everybody finds a place."""
    wanted = {
        "target": ("own", "only servers of ours are started there"),
        "transport": ("udp", "nothing else reaches another machine"),
        "placement": ("free", "it is about CPUs of one machine"),
        "cpu_share": (None, "it is about CPUs of one machine"),
        "anatomy": (False, "hops are differences of readings of one clock"),
    }
    for field, (value, why) in wanted.items():
        if getattr(settings, field) != value:
            asked = f"--{field.replace('_', '-')}: {getattr(settings, field)!r}"
            raise SettingsError(f"{asked}, allowed with --hosts: {value!r} ({why})")
    places = _places(hosts, settings)
    on: dict[str, list[str]] = {}
    for server, name in places.servers.items():
        on.setdefault(name, []).append(str(server))
    for client, name in places.clients.items():
        on.setdefault(name, []).append(f"client {client}")
    text = "; ".join(f"{host.name}: {', '.join(on[host.name])}" for host in hosts.host if host.name in on)
    keyed = any(host.key_file or hosts.key_file for host in hosts.host)
    if settings.sealed and not keyed:
        raise SettingsError("--sealed: True, allowed with --hosts: False without a key_file in the hosts' file")
    # Nobody sees a process of another machine end: what tells is silence.
    changed = msgspec.structs.replace(settings, hosts=text, sealed=keyed, death_detection="heartbeat")
    return check_settings(changed) if changed.fault is None else check_failover(changed)


def overruled(asked: Settings, made: Settings, typed: Collection[str]) -> list[str]:
    """Lines about what was typed and is not as these hosts make it."""
    why = {
        "sealed": "there is a key_file, and datagrams between hosts carry tags of its key",
        "death_detection": "nobody sees a process of another machine end",
    }
    return [
        f"{option(field)}: {getattr(made, field)} in the place of {getattr(asked, field)}: {text}"
        for field, text in why.items() if field in typed and getattr(asked, field) != getattr(made, field)
    ]  # fmt: skip


def trial_on(hosts: Hosts, settings: Settings, *, data_dir: Path | None, shown: Reporter) -> TrialRecord:
    """As `lab.bench.trial.trial`; `settings` are those of `settings_on`."""

    def measure(target: Target, load: LoadMaker) -> TrialRecord:
        return run_trial(settings, target, load, data_dir=data_dir, shown=shown)

    return _measured(hosts, settings, data_dir, measure)


def failover_on(
    hosts: Hosts, settings: Settings, *, data_dir: Path | None, progress: Progress | None = None
) -> FailoverRecord:
    """As `lab.bench.failover.failover`; `settings` are those of `settings_on`."""

    def measure(target: Target, load: LoadMaker) -> FailoverRecord:
        return run_failover(settings, target, load, data_dir=data_dir, progress=progress)

    return _measured(hosts, settings, data_dir, measure)


def _measured(hosts: Hosts, settings: Settings, data_dir: Path | None, measure: Callable[[Target, LoadMaker], R]) -> R:
    elsewhere = DaskHosts(hosts, _places(hosts, settings))
    target = make_own(settings, data_dir, elsewhere=elsewhere)
    record = measure(target, LoadMaker(settings, target))
    parts = elsewhere.parts
    if not parts:
        raise ClusterError("the hosts said nothing of themselves")
    return msgspec.structs.replace(record, hosts=parts, machine=next(iter(parts.values())).machine)


def _places(hosts: Hosts, settings: Settings) -> Places:
    return place(hosts, settings.voters, settings.observers, settings.clients)
