"""`hosts.toml`: which machines an experiment may use, and which servers and clients go where.

scheduler = "tls://10.0.0.1:8786"     # of the Dask cluster whose workers are the hosts
key_file = "/home/me/.zab-lab.key"    # on every host, mode 0600: the key of all links, which is never sent

[[host]]
name = "a"                            # of the Dask worker there: `dask worker --name a ...` (README, several hosts)
address = "10.0.0.11"                 # where its servers and clients bind
voters = 1                            # at most so many; without a number: as many as fall to it
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from lab.cluster.errors import ClusterError
from lab.transport.seal import is_loopback

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HOSTS_MAX = 64
FILE_BYTES_MAX = 1 << 20

Count = Annotated[int, msgspec.Meta(ge=0, le=64)]


class HostsError(ClusterError):
    """The file cannot be used: names it, the field, what was found and what is allowed."""


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine; a role without a number is open to as many as fall to it."""

    name: str
    address: str = ""  # where its servers and clients bind; empty: where its Dask worker is reached
    voters: Count | None = None
    observers: Count | None = None
    clients: Count | None = None
    key_file: str = ""  # there, if it is not where it is on the others
    data_dir: str = ""  # there; empty: what --data-dir says, or the default


class Hosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    scheduler: str
    host: list[Host]
    key_file: str = ""
    insecure_dask: bool = False  # let Dask's own traffic cross the network unencrypted: who reads it sees commands
    # and results, who writes it runs code as you


class Places(msgspec.Struct, frozen=True):
    """Where everything runs: names of hosts."""

    servers: dict[int, str]
    clients: dict[int, str]


def read_hosts(path: Path) -> Hosts:
    """Raises HostsError."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise HostsError(f"{path}: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise HostsError(f"{path}: above {FILE_BYTES_MAX:,} bytes: that is no list of hosts")
    try:
        hosts = msgspec.convert(tomllib.loads(data.decode()), Hosts)
        return check_hosts(hosts)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, HostsError) as error:
        raise HostsError(f"{path}: {error}") from error


def check_hosts(hosts: Hosts) -> Hosts:
    """The hosts themselves.  Raises HostsError if they cannot be meant."""
    if not 1 <= len(hosts.host) <= HOSTS_MAX:
        raise HostsError(f"[[host]]: {len(hosts.host)} of them, allowed: 1 to {HOSTS_MAX}")
    for field in ("name", "address"):
        values = [getattr(host, field) for host in hosts.host if getattr(host, field)]
        if field == "address" and len(hosts.host) > 1:
            values = [value for value in values if not is_loopback(value)]  # several on one machine, to try things out
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise HostsError(f"[[host]] {field}: {twice!r} stands there twice, allowed: one host each")
    for host in hosts.host:
        if not NAME.fullmatch(host.name):
            raise HostsError(f"[[host]] name: {host.name!r}, allowed: letters, digits and . _ - (64 at most)")
        if host.address:
            _check_address(host, key_file=host.key_file or hosts.key_file)
    _check_scheduler(hosts)
    return hosts


def _check_address(host: Host, key_file: str) -> None:
    where = f"host {host.name}: address: {host.address!r}"
    try:
        address = ipaddress.ip_address(host.address)
    except ValueError:
        raise HostsError(f"{where}, allowed: an IP address of that host (a name may resolve elsewhere)") from None
    if address.is_unspecified or address.is_multicast:
        raise HostsError(f"{where}, allowed: one address of that host, at which the others reach it")
    if not is_loopback(host.address) and not key_file:
        raise HostsError(
            f"{where} is beyond loopback, where every datagram must carry a tag: name a key_file "
            "(on each host: `head -c 32 /dev/urandom`, the same everywhere, mode 0600)"
        )


def _check_scheduler(hosts: Hosts) -> None:
    """Dask runs whatever it is sent, so what reaches a scheduler unencrypted must not have crossed a network."""
    scheme, separator, rest = hosts.scheduler.partition("://")
    if scheme not in ("tcp", "tls") or not separator or not rest:
        raise HostsError(f"scheduler: {hosts.scheduler!r}, allowed: tcp://127.0.0.1:8786 or tls://HOST:PORT")
    machine = rest.rpartition(":")[0].strip("[]")
    if scheme == "tcp" and not is_loopback(machine) and not hosts.insecure_dask:
        raise HostsError(
            f"scheduler: {hosts.scheduler!r} is not encrypted and not of this machine, allowed: tls:// (certificates "
            "as Dask's configuration says, distributed.comm.tls), or insecure_dask = true in a network that you trust: "
            "whoever writes to a Dask scheduler runs code as you"
        )


def place(hosts: Hosts, voters: int, observers: int, clients: int) -> Places:
    """Voters first, then observers, then clients; each goes to the host that has the fewest processes so far.

    Of several the first in the file.  A host takes no more of a role than it says.  Raises HostsError if not all find
    a place.
    """
    taken: dict[str, dict[str, int]] = {
        host.name: dict.fromkeys(("voters", "observers", "clients"), 0) for host in hosts.host
    }
    placed: list[str] = []
    for role, count in (("voters", voters), ("observers", observers), ("clients", clients)):
        for already in range(count):
            free = [host for host in hosts.host if _takes(host, role, taken[host.name])]
            if not free:
                raise HostsError(f"[[host]] {role}: the hosts take {already} together, asked for: {count}")
            chosen = min(free, key=lambda host: sum(taken[host.name].values())).name
            taken[chosen][role] += 1
            placed.append(chosen)
    servers = voters + observers
    return Places(dict(enumerate(placed[:servers], 1)), dict(enumerate(placed[servers:])))


def _takes(host: Host, role: str, taken: Mapping[str, int]) -> bool:
    most = getattr(host, role)
    return most is None or taken[role] < most
