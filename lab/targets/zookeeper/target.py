"""The real ZooKeeper as a target: the installed servers on loopback, as Debian or a release has them.

Its log is its own affair, so verification goes without: every key is read back from every server after a `sync`.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lab.client.history import ReplicaState
from lab.cluster.errors import ClusterError
from lab.faults import Crash, Freeze, Restart, TargetFault, Thaw
from lab.targets.target import Connector, PhaseMark, ServerInfo, TargetError, Usage
from lab.targets.zookeeper.config import DURABILITIES, Ensemble, free_ports
from lab.targets.zookeeper.install import Installation, find_zookeeper
from lab.targets.zookeeper.pool import Address
from lab.targets.zookeeper.readback import read_replica
from lab.targets.zookeeper.servers import Servers
from lab.targets.zookeeper.traffic import bytes_sent
from lab.targets.zookeeper.words import NOT_SERVING, Told, ask_srvr

SERVE_TIMEOUT_S = 60.0  # JVMs on a machine that is busy take seconds
PAUSE_S = 0.02  # between two looks
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ZooKeeperTarget:
    """Voters have ids 1..V, observers V+1..V+O.  Implements `lab.targets.target.Target`."""

    name = "zookeeper"
    tells_phases = False

    def __init__(
        self,
        *,
        voters: int = 3,
        observers: int = 0,
        durability: str = "fsync",
        tick_ms: int = 100,
        sync_limit_ticks: int = 5,
        init_limit_ticks: int = 20,
        snap_count: int = 100_000,
        leader_serves: bool = True,
        data_dir: str | Path | None = None,
        installed: Installation | None = None,
    ) -> None:
        """Starts nothing yet.  TargetError if there is no ZooKeeper here, or for what it cannot be told."""
        if durability not in DURABILITIES:
            raise TargetError(f"zookeeper: durability {durability!r}, allowed: {' or '.join(DURABILITIES)}")
        self._installed = installed or find_zookeeper()
        self._members = range(1, voters + observers + 1)
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._ensemble = Ensemble(
            voters=voters,
            ports={},
            tick_ms=tick_ms,
            sync_limit_ticks=sync_limit_ticks,
            init_limit_ticks=init_limit_ticks,
            durability=durability,
            snap_count=snap_count,
            leader_serves=leader_serves,
        )
        self._running: Servers | None = None

    @property
    def version(self) -> str:
        return self._installed.text

    @property
    def folder(self) -> Path:
        """The run's private folder."""
        return self._servers.folder

    @property
    def _servers(self) -> Servers:
        if self._running is None:
            raise TargetError("zookeeper: the ensemble is not running: start it first")
        return self._running

    def start(self) -> None:
        if self._running is not None:
            raise TargetError("zookeeper: the ensemble is running already: stop it first")
        ports = free_ports(self._members, random.Random())
        ensemble = msgspec.structs.replace(self._ensemble, ports=ports)
        try:
            with _as_target_error():
                self._running = Servers(self._installed, ensemble, self._data_dir)
                for server in self._members:
                    self._running.start(server)
                self._wait_until_serving()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End and remove everything; a second call does nothing."""
        running, self._running = self._running, None
        if running is not None:
            with _as_target_error():
                running.close()

    def servers(self) -> list[ServerInfo]:
        """All members; one that is frozen or does not run is `looking`."""
        self.look_out()
        told = self._told()
        found = {server: told.get(server, NOT_SERVING) for server in self._members}
        return [ServerInfo(server, each.role, each.zxid >> 32) for server, each in found.items()]

    def connector(self, client: int, servers: list[int]) -> Connector:
        """`text` is `pool.Address`; nothing has to be inherited."""
        ports = {server: ports.client for server, ports in self._servers.ensemble.ports.items()}
        return Connector(msgspec.json.encode(Address(self.name, client, ports, servers)).decode(), ())

    def replicas(self, unknown: list[tuple[int, int]]) -> list[ReplicaState]:  # noqa: ARG002 - nobody can tell here
        """Frozen and crashed servers are left out."""
        with _as_target_error():
            self._wait_until_serving()
            ports = self._servers.ensemble.ports
            return [read_replica(server, told.role, ports[server].client) for server, told in self._told().items()]

    def usage(self) -> list[Usage]:
        """CPU of all threads; bytes that others have acknowledged on the connections that are open now."""
        pids = self._servers.pids()
        sent, throttled = bytes_sent(pids.values()), self._servers.budgets.throttled_s()
        return [
            Usage(server, _cpu_s(pid), sent[pid], _rss_mb(pid), time.monotonic_ns(), throttled.get(server, 0.0))
            for server, pid in pids.items()
        ]

    def pids(self) -> dict[int, int]:
        return self._servers.pids()

    def marks(self) -> list[PhaseMark]:
        """None: what its servers do in an election they do not report."""
        return []

    def inject(self, fault: TargetFault) -> int:
        servers = self._servers
        with _as_target_error():
            match fault:
                case Crash(server):
                    return servers.crash(server)
                case Restart(server):
                    return servers.start(server)
                case Freeze(server):
                    return servers.freeze(server)
                case Thaw(server):
                    return servers.thaw(server)
        raise TargetError(f"zookeeper: {type(fault).__name__}: not available, allowed: crash, restart, freeze, thaw")

    def limit_cpu(self, share: float | None) -> str:
        with _as_target_error():
            if share is None:
                self._servers.budgets.lift()
                return "none"
            return self._servers.budgets.limit(self._servers.pids(), share)

    def look_out(self) -> None:
        """Raise TargetError if a server has ended by itself; returns at once."""
        with _as_target_error():
            self._servers.look_out()

    def _told(self) -> dict[int, Told]:
        """What each server that runs and is not frozen says of itself."""
        ports = self._servers.ensemble.ports
        return {server: ask_srvr(ports[server].client) for server in self._servers.answering()}

    def _wait_until_serving(self) -> None:
        """Until one of those that answer leads and all the others follow or observe."""
        deadline = time.monotonic() + SERVE_TIMEOUT_S
        while True:
            self._servers.look_out()
            roles = {server: told.role for server, told in self._told().items()}
            if "looking" not in roles.values() and list(roles.values()).count("leader") == 1:
                return
            if time.monotonic() > deadline:
                found = ", ".join(f"{server} {role}" for server, role in roles.items())
                raise ClusterError(f"within {SERVE_TIMEOUT_S:g} s the ensemble does not serve: {found}")
            time.sleep(PAUSE_S)


def _cpu_s(pid: int) -> float:
    """User and system time of all threads, those that have ended included; to 10 ms."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


@contextmanager
def _as_target_error() -> Iterator[None]:
    try:
        yield
    except (ClusterError, ValueError) as error:  # an impossible CPU share is a ValueError
        raise TargetError(f"zookeeper: {error}") from error
