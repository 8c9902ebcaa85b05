"""The ensemble as a whole: starts and ends its processes, links them, and hears what they report (DESIGN 3).

Everything happens in the caller's thread.  Every wait has a deadline; past it, ClusterError says who did not do what.
"""

import os
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.cluster.cpu import CpuBudgets, find_hierarchy
from lab.cluster.endpoints import LoadProcess
from lab.cluster.errors import ClusterError
from lab.cluster.ground import Ground, LocalGround
from lab.cluster.interrupts import interrupts_deferred
from lab.cluster.janitor_process import Janitor
from lab.cluster.listening import SERVE_TIMEOUT_S, Listener
from lab.cluster.network import Network
from lab.cluster.remote import Elsewhere, RemoteGround, RemoteLoad, Station, insist_on_one_key
from lab.cluster.room import give_room, take_room
from lab.cluster.run_folder import RunFolder, refuse_volatile
from lab.cluster.spec import ClusterSpec
from lab.cluster.wiring import Wiring
from lab.faults import Shape
from lab.node.config import Durability

NODE = ("-m", "lab.node")
INITIALIZE = "initialize"  # marker in the data folder of a server that is new, not wiped (Z-12)


class Cluster(Listener):
    """1 to 13 server processes that belong to this object: after `close`, nothing of them is left."""

    def __init__(
        self, spec: ClusterSpec, *, server_command: Sequence[str] = NODE, elsewhere: Elsewhere | None = None
    ) -> None:
        """Starts nothing yet.  A server is `python *server_command FD`; all of them run on the hosts of `elsewhere`."""
        self._wiring = Wiring(spec)
        self._network = Network(spec, self._wiring)
        super().__init__(spec, self._network)
        self._command = server_command
        self._initialized: set[int] = set()
        self._janitor: Janitor | None = None
        self._budgets: CpuBudgets | None = None
        self._elsewhere = elsewhere
        self._stations: Mapping[str, Station] = {}
        self._closed = False

    # -- the whole ensemble

    def start(self, timeout_s: float = SERVE_TIMEOUT_S) -> int:
        """Start every server and return the leader's id once the ensemble serves; whatever fails, all is closed."""
        try:
            base = None if self.spec.data_dir is None else Path(self.spec.data_dir)
            self._folder = folder = RunFolder(base)
            if self.spec.durability is Durability.FSYNC:
                refuse_volatile(folder.path)
            self._janitor = Janitor(folder)
            self._budgets = CpuBudgets(folder.path.name, self._janitor.owns_group, find_hierarchy())
            self._grounds = self._open_grounds(folder, self._janitor)
            for server in self.members:
                self.start_server(server)
            return self.wait_until_serving(timeout_s)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End every process and remove everything, in whatever state it is; a second call does nothing.

        Ctrl-C waits until then.  Raises ClusterError if something could not be ended or removed.
        """
        with interrupts_deferred(), ExitStack() as steps:  # each step is taken even if another one fails; last first
            if self._closed:
                return
            self._closed = True
            if self._janitor is not None:
                steps.callback(self._janitor.finish)
            elif self._folder is not None:
                steps.callback(self._folder.remove)
            if self._elsewhere is not None:
                steps.callback(self._elsewhere.close)
            steps.callback(self._inbox.close)
            for process in (*self._loads.values(), *self._servers.values()):
                steps.callback(process.close)
            for server in self._servers.values():
                steps.callback(server.crash)
            for server in self._servers.values():  # all at once; `crash` then only waits
                server.child.send_signal(signal.SIGKILL)
            if self._budgets is not None:
                steps.callback(self._budgets.lift)  # first of all: a server that is held back dies slowly
            self._servers.clear()
            self._loads.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: tuple[type[BaseException], BaseException, TracebackType] | None) -> None:
        self.close()

    def pids(self) -> dict[int, int]:
        """The servers that run on this host, frozen or not."""
        return {number: server.child.pid for number, server in sorted(self._servers.items()) if not server.host}

    def rss_mb(self, number: int) -> float:
        """Resident memory of a server, the shared pages of links included; 0 once it has ended."""
        server = self._servers.get(number)
        return 0.0 if server is None else self._grounds[number].rss_mb(server)

    def hosts(self) -> Mapping[str, Station]:
        """By name, if servers run on other hosts."""
        return self._stations

    def address(self, number: int) -> tuple[str, int]:
        """Where a server that runs takes datagrams.  Raises ClusterError if it has no UDP socket."""
        address = self._running(number).address
        if address is None:
            raise ClusterError(f"server {number} takes no datagrams: that is the transport udp")
        return address

    def clock_doubts_ns(self) -> dict[int, int]:
        """By how much what each server says of its time may be off: 0 for one of this host."""
        doubts = {name: station.host.clock.uncertainty_ns() for name, station in self._stations.items()}
        hosts = {} if self._elsewhere is None else self._elsewhere.servers
        return {server: doubts[hosts[server]] if server in hosts else 0 for server in self.members}

    def owns_process(self, pid: int) -> None:
        """Let the janitor end this process, too, if the harness ends before it (a load process, say)."""
        assert self._janitor is not None, "the cluster has not been started"
        self._janitor.owns_process(pid)

    # -- single servers; those that stand for a fault return the CLOCK_MONOTONIC nanosecond just before it

    def start_server(self, number: int) -> int:
        """Start a server that does not run, as a new incarnation with a fresh link to every other process."""
        assert self._janitor is not None, "the cluster has not been started"
        self._check_member(number)
        if number in self._servers:
            raise ClusterError(f"server {number} is running already: crash or stop it first")
        is_new = number not in self._initialized
        ground = self._grounds[number]
        if is_new:  # marked as new, not wiped (Z-12)
            ground.make_data_folder(number, [] if self.spec.durability is Durability.MEMORY else [INITIALIZE])
            self._initialized.add(number)
        data, key = ground.data_folder(number), self._wiring.key
        at_ns = time.monotonic_ns()
        server = ground.launch(
            number, lambda incarnation: self.spec.node_config(number, incarnation, data, initialize=is_new, udp_key=key)
        )
        try:
            self._network.add_server(server)
        except BaseException:
            self._servers.pop(number, None)
            server.crash()
            server.close()
            raise
        self._endings.started(number)
        self._inbox.add(server)
        if self._budgets is not None and not server.host:
            self._budgets.add(number, server.child.pid)
        return at_ns

    restart = start_server

    def crash(self, number: int) -> int:
        """SIGKILL; returns once the process is gone."""
        server = self._running(number)
        at_ns = time.monotonic_ns()
        server.crash()
        self._inbox.remove(server)
        del self._servers[number]
        server.close()
        return server.struck_ns(at_ns)

    def stop_server(self, number: int) -> None:
        """Ask it to exit; if it does not in time, kill it."""
        server = self._running(number)
        self._inbox.remove(server)
        server.ask_to_exit()
        del self._servers[number]
        server.close()

    def freeze(self, number: int) -> int:
        """SIGSTOP; returns once the process stands still."""
        server = self._running(number)
        at_ns = time.monotonic_ns()
        server.freeze()
        return server.struck_ns(at_ns)

    def thaw(self, number: int) -> int:
        server = self._running(number)
        at_ns = time.monotonic_ns()
        server.thaw()
        return server.struck_ns(at_ns)

    def fill_disk(self, number: int) -> int:
        """Let its next write find no room, of which it ends: `out_of_room` then has its last words."""
        server = self._running(number)
        if server.host:
            raise ClusterError(f"server {number}: its disk cannot be filled: it is one of host {server.host}")
        at_ns = time.monotonic_ns()
        try:
            take_room(server.child.pid)
        except OSError as error:
            self.pump(0.0)  # if it has just ended, that says how
            raise ClusterError(f"server {number}: its disk cannot be filled: {error.strerror}") from error
        self._endings.filled(number)
        return at_ns

    def free_disk(self, number: int) -> int:
        """Give a server that still runs its room back; one that does not is to be started."""
        self._check_member(number)
        at_ns = time.monotonic_ns()
        if number in self.pids():
            with suppress(ProcessLookupError):  # it has just ended
                give_room(self._servers[number].child.pid)
        return at_ns

    def wipe(self, number: int) -> None:
        """Lose the disk of a server that does not run: when it starts again, it is an unexpectedly empty one (Z-12)."""
        self._check_member(number)
        if number in self._servers:
            raise ClusterError(f"server {number} is running: crash or stop it before its disk is wiped")
        self._grounds[number].wipe(number)

    # -- partitions

    def partition(self, groups: Sequence[Collection[int]]) -> int:
        """Cut every link between servers of different groups; a server in none of them keeps its links."""
        for server in (server for group in groups for server in group):
            self._check_member(server)
        at_ns = time.monotonic_ns()
        self._network.partition(groups)
        return at_ns

    def cut(self, source: int, target: int) -> int:
        """Let nothing that `source` sends to `target` arrive, while the other direction works."""
        self._check_way(source, target)
        at_ns = time.monotonic_ns()
        self._network.cut_way(source, target)
        return at_ns

    def reshape(self, source: int, target: int, shape: Shape | None) -> int:
        """From now on this is done to what `source` sends to `target`; None: what was done to it at first."""
        self._check_way(source, target)
        at_ns = time.monotonic_ns()
        self._network.reshape(source, target, shape)
        return at_ns

    def heal(self) -> int:
        """Join again whatever was cut."""
        at_ns = time.monotonic_ns()
        self._network.heal()
        return at_ns

    # -- load processes

    def attach_client(self, number: int) -> tuple[int, ...]:
        """Make a place for load process `number`, linked to every server that runs; an earlier one's is given up.

        Returns what the process inherits (`pass_fds`): its control socket.  Its starter closes them.
        The first record there is Welcome; links come and go by Attach and Detach, as for a server; EOF means exit.
        """
        self.detach_client(number)
        load = LoadProcess(number, self._kinds(), self._wiring)
        try:
            self._network.add_load(load)
        except BaseException:
            load.close()
            os.close(load.inherited_fd)
            raise
        self._inbox.add(load)
        return (load.inherited_fd,)

    def start_client(self, number: int) -> RemoteLoad:
        """As `attach_client`, for a load process of another host, which is started at once."""
        assert self._elsewhere is not None, "every process runs on this host"
        self.detach_client(number)
        station = self._stations[self._elsewhere.clients[number]]
        load = RemoteLoad(number, station, self._kinds(), self._wiring.datagrams)
        try:
            self._network.add_load(load)
        except BaseException:
            load.close()
            raise
        self._inbox.add(load)
        return load

    def detach_client(self, number: int) -> None:
        """Give up load process `number`, if there is one: its control socket ends, which tells it to exit."""
        load = self._loads.pop(number, None)
        if load is not None:
            self._inbox.remove(load)
            load.close()

    # -- CPU budgets

    def limit_cpu(self, share: float | None) -> str:
        """Give each running server that share of one CPU, None lifts it; returns cgroup-v1, cgroup-v2 or none."""
        assert self._budgets is not None, "the cluster has not been started"
        if share is None:
            self._budgets.lift()
            return "none"
        return self._budgets.limit(self.pids(), share)

    def why_no_budget(self) -> str:
        """One line for people, once `limit_cpu` has returned none for a share."""
        return "" if self._budgets is None else self._budgets.refused

    def throttled_s(self) -> dict[int, float]:
        """For how long a budget held each server back so far; empty without budgets."""
        return {} if self._budgets is None else self._budgets.throttled_s()

    # -- inside

    def _kinds(self) -> list[tuple[int, str]]:
        """All members, each with "voter" or "observer"."""
        kinds = dict.fromkeys(self.spec.zab.observers, "observer")
        return [(server, kinds.get(server, "voter")) for server in self.members]

    def _check_way(self, source: int, target: int) -> None:
        self._check_member(source)
        self._check_member(target)
        if source == target:
            raise ClusterError(f"server {source} has no link to itself")

    def _open_grounds(self, folder: RunFolder, janitor: Janitor) -> dict[int, Ground]:
        """Where each server stands; the hosts are opened."""
        if self._elsewhere is None:
            return dict.fromkeys(self.members, LocalGround(folder, janitor, self._wiring, self._command))
        durable = self.spec.durability is Durability.FSYNC
        self._stations = self._elsewhere.open(data_dir=self.spec.data_dir or "", durable=durable)
        insist_on_one_key(self._stations)
        grounds = {name: RemoteGround(station, self._command) for name, station in self._stations.items()}
        return {server: grounds[self._elsewhere.servers[server]] for server in self.members}
