"""CPU placement: where the processes of a trial may run while they are measured.

A wake-up costs some 4 us on the own CPU and up to 50 us on another one, but two processes on one CPU take turns: which
of them matters depends on the load, so it is a factor to set and to record, not noise to average away.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lab.bench.limits import SettingsError
from lab.bench.load_protocol import Load
from lab.bench.record import Settings
from lab.targets.target import Target, TargetError

CPUS_NEEDED = {"free": 1, "together": 1, "spread": 2, "leader-client": 2, "leader-alone": 2}
ORDER = ("leader", "follower", "observer", "looking")

Cpus = tuple[int, ...]


class CpuMap(msgspec.Struct, frozen=True):
    """Where each process may run: servers by id, load processes by number."""

    servers: dict[int, Cpus]
    clients: tuple[Cpus, ...]


def available_cpus() -> Cpus:
    return tuple(sorted(os.sched_getaffinity(0)))


def check_placement(settings: Settings, cpus: int) -> None:
    """Raises SettingsError if the placement takes more CPUs than there are."""
    needed = CPUS_NEEDED[settings.placement]
    if cpus < needed:
        allowed = " or ".join(name for name, least in CPUS_NEEDED.items() if least <= cpus)
        raise SettingsError(
            f"--placement: {settings.placement!r} needs {needed} CPUs, this process may use {cpus}, allowed: {allowed}"
        )


def cpu_map(placement: str, roles: Mapping[int, str], clients: int, cpus: Sequence[int]) -> CpuMap:
    """Who may run where.

    together: all on one CPU.  spread: one CPU each, in turn: the leader, followers, observers, load processes.
    leader-client: the leader and the load processes on one CPU, everybody else anywhere on the others.
    leader-alone: the leader on one CPU, everybody else anywhere on the others.  free: everybody anywhere.
    """
    everywhere, first, others = tuple(cpus), tuple(cpus[:1]), tuple(cpus[1:])
    servers = sorted(roles, key=lambda server: (ORDER.index(roles[server]), server))
    match placement:
        case "free":
            return CpuMap(dict.fromkeys(servers, everywhere), (everywhere,) * clients)
        case "together":
            return CpuMap(dict.fromkeys(servers, first), (first,) * clients)
        case "spread":
            seats = [(cpus[seat % len(cpus)],) for seat in range(len(servers) + clients)]
            return CpuMap(dict(zip(servers, seats, strict=False)), tuple(seats[len(servers) :]))
        case "leader-client" | "leader-alone":
            placed = {server: first if roles[server] == "leader" else others for server in servers}
            return CpuMap(placed, (first if placement == "leader-client" else others,) * clients)
    raise AssertionError(placement)


class Placed:
    """The processes of one running trial, put where the settings say.  `lift` ends that."""

    def __init__(self, settings: Settings, target: Target, load: Load) -> None:
        """Raises TargetError if a process has ended."""
        self._placement = settings.placement
        self._target = target
        self._servers: dict[int, int] = {}
        self._clients: list[int] = []
        if settings.placement != "free":
            roles = {server.id: server.role for server in target.servers()}
            self._leaders = _leaders(roles)
            self._servers, self._clients = target.pids(), load.pids()
            wanted = cpu_map(settings.placement, roles, len(self._clients), available_cpus())
            for server, pid in self._servers.items():
                pin(pid, wanted.servers[server])
            for pid, cpus in zip(self._clients, wanted.clients, strict=True):
                pin(pid, cpus)

    def cpus(self) -> dict[str, list[int]]:
        """What the kernel says of each process; empty where nobody was put anywhere."""
        named = {f"server {server}": pid for server, pid in sorted(self._servers.items())}
        named |= {f"client {client}": pid for client, pid in enumerate(self._clients)}
        return {name: sorted(_affinity(pid)) for name, pid in named.items()}

    def check(self, roles: Mapping[int, str]) -> None:
        """Raises TargetError if somebody else leads now: what was measured is not what was asked for."""
        if self._servers and _leaders(roles) != self._leaders:
            raise TargetError(
                f"the leader changed from {self._leaders} to {_leaders(roles)} during the trial, so --placement "
                f"{self._placement} did not hold: measure again"
            )

    def lift(self) -> None:
        """Everybody may run everywhere again."""
        for pid in (*self._servers.values(), *self._clients):
            pin(pid, available_cpus())


def _leaders(roles: Mapping[int, str]) -> list[int]:
    return [server for server, role in roles.items() if role == "leader"]


def pin(pid: int, cpus: Iterable[int]) -> None:
    """Every thread of the process runs on these CPUs only, and so do the threads and processes that it starts."""
    chosen = set(cpus)
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setaffinity(int(task.name), chosen)
    except FileNotFoundError as error:
        raise TargetError(f"process {pid} has ended before it could be placed") from error


def _affinity(pid: int) -> set[int]:
    try:
        return os.sched_getaffinity(pid)
    except ProcessLookupError as error:
        raise TargetError(f"process {pid} has ended while it was measured") from error
