"""The ensemble as a whole: starts and ends its processes, links them, and hears what they report (DESIGN 3).

Everything happens in the caller's thread: reports are taken in whenever a method waits, so a server that ended by
itself is noticed at the next call.  Every wait has a deadline; past it, ClusterError says who did not do what.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.cluster.cpu import CpuBudgets, find_hierarchy
from lab.cluster.endings import Endings
from lab.cluster.endpoints import LoadProcess, Server
from lab.cluster.errors import ClusterError
from lab.cluster.ground import Ground, LocalGround
from lab.cluster.inbox import Inbox
from lab.cluster.interrupts import interrupts_deferred
from lab.cluster.janitor_process import Janitor
from lab.cluster.network import Network
from lab.cluster.remote import Elsewhere, RemoteGround, RemoteLoad, Station
from lab.cluster.room import give_room, take_room
from lab.cluster.run_folder import RunFolder, refuse_volatile
from lab.cluster.serving import describe, leader_of
from lab.cluster.spec import ClusterSpec
from lab.cluster.wiring import Wiring
from lab.faults import Shape
from lab.node.config import Durability
from lab.node.control import GetStatus, Inspect, Inspected, Status, TakeMarks, TakeSnapshot, Transition

NODE = ("-m", "lab.node")
SERVE_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 10.0
UNKNOWN_PER_QUESTION = 2_000  # (session, cxid) pairs of up to 19 bytes that surely fit into one control record
INITIALIZE = "initialize"  # marker in the data folder of a server that is new, not wiped (Z-12)


class Cluster:
    """1 to 13 server processes that belong to this object: after `close`, nothing of them is left."""

    def __init__(
        self, spec: ClusterSpec, *, server_command: Sequence[str] = NODE, elsewhere: Elsewhere | None = None
    ) -> None:
        """Starts nothing yet.  A server is `python *server_command FD`; all of them run on the hosts of `elsewhere`."""
        self.spec = spec
        self.members: tuple[int, ...] = spec.zab.members
        self._command = server_command
        self._wiring = Wiring(spec)
        self._network = Network(spec, self._wiring)
        self._servers = self._network.servers
        self._loads = self._network.loads
        self._endings = Endings()
        self._initialized: set[int] = set()
        self._numbers = itertools.count(1)  # of questions
        self._folder: RunFolder | None = None
        self._janitor: Janitor | None = None
        self._budgets: CpuBudgets | None = None
        self._inbox = Inbox()
        self._elsewhere = elsewhere
        self._stations: Mapping[str, Station] = {}
        self._grounds: dict[int, Ground] = {}  # by server
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

    @property
    def folder(self) -> Path:
        """The run's private folder: data, logs and whatever the harness wants removed with them."""
        return self._folder_made().path

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

    def frozen(self) -> set[int]:
        return {number for number, server in self._servers.items() if server.frozen}

    def answering(self) -> list[int]:
        """The servers that run and are not frozen."""
        return sorted(self._servers.keys() - self.frozen())

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

    def out_of_room(self) -> dict[int, str]:
        """Servers that ended because their disk was filled, and their last words."""
        self.pump(0.0)
        return dict(self._endings.out_of_room)

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

    # -- what servers say

    def wait_until_serving(self, timeout_s: float = SERVE_TIMEOUT_S, among: Collection[int] | None = None) -> int:
        """Wait until one of these servers leads and all are in its BROADCAST; returns the leader's id.

        By default all that run and are not frozen.  They judge by their own reports, so right after a fault that nobody
        has noticed yet, ask for those that have to notice it.
        """
        members = self.answering() if among is None else among
        self.wait(
            lambda: leader_of(self._reports(members)) > 0,
            timeout_s,
            lambda: f"the ensemble does not serve: {describe(self._reports(members))}; logs are in {self.folder}",
        )
        return leader_of(self._reports(members))

    def status(self, servers: Collection[int] | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[int, Status]:
        """Counters of these servers; by default of all that run and are not frozen."""
        asked = {number: next(self._numbers) for number in sorted(self.answering() if servers is None else servers)}
        for number, question in asked.items():
            self._awake(number).send(GetStatus(question))
        answers = self._answers(asked, timeout_s)
        return {number: answer for number, answer in answers.items() if isinstance(answer, Status)}

    def inspect(
        self, number: int, unknown: Sequence[tuple[int, int]] = (), timeout_s: float = SERVE_TIMEOUT_S
    ) -> list[bytes]:
        """What a server holds (msgpack of ReplicaState); several times over if there are many `unknown` to look up."""
        states = []
        for first in range(0, max(1, len(unknown)), UNKNOWN_PER_QUESTION):
            question, ground = next(self._numbers), self._grounds[number]
            name = f"inspect-{number}-{question}"
            part = list(unknown[first : first + UNKNOWN_PER_QUESTION])
            self._awake(number).send(Inspect(question, ground.path(name), part))
            self._answers({number: question}, timeout_s)
            self._running(number)
            states.append(ground.take(name))
        return states

    def forget_marks(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Let every server that answers begin its hop markers anew; only if the spec has them mark."""
        asked = {number: next(self._numbers) for number in self.answering()}
        for number, question in asked.items():
            self._awake(number).send(TakeMarks(question, ""))
        self._answers(asked, timeout_s)

    def marks(self, number: int, timeout_s: float = SERVE_TIMEOUT_S) -> bytes:
        """What a server marked since the last call or `forget_marks` (msgpack of lab.targets.hops.HopMarks)."""
        question, ground = next(self._numbers), self._grounds[number]
        name = f"marks-{number}-{question}"
        self._awake(number).send(TakeMarks(question, ground.path(name)))
        self._answers({number: question}, timeout_s)
        self._running(number)
        return ground.take(name)

    def take_snapshot(self, number: int, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Have a server snapshot its own disk as soon as may be; returns once it knows."""
        question = next(self._numbers)
        self._awake(number).send(TakeSnapshot(question))
        self._answers({number: question}, timeout_s)

    def transitions(self) -> list[tuple[int, Transition]]:
        """What the servers reported since the last call, as (server, report)."""
        self.pump(0.0)
        reports = list(self._inbox.transitions)
        self._inbox.transitions.clear()
        return reports

    def pump(self, timeout_s: float) -> None:
        """Wait until something is reported, and take it in.  Raises ClusterError if a server ended by itself."""
        for process in self._inbox.pump(timeout_s):
            if isinstance(process, Server):
                process.child.wait(0.0)  # it has ended: this only reaps it
                self._endings.ended(process.number, process.child.last_words())
                del self._servers[process.number]
            else:
                del self._loads[process.number]
            process.close()
        self._endings.check()

    def wait(
        self, done: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str], ask_every_s: float | None = None
    ) -> None:
        """Take in reports until `done` holds; past the deadline, raises ClusterError with what `otherwise` says.

        `done` is asked after every report, and every `ask_every_s` if that is given.
        """
        deadline = time.monotonic() + timeout_s
        self.pump(0.0)
        while not done():
            left_s = deadline - time.monotonic()
            if left_s < 0.0:
                raise ClusterError(f"within {timeout_s:g} s: {otherwise()}")
            self.pump(left_s if ask_every_s is None else min(left_s, ask_every_s))

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

    def _folder_made(self) -> RunFolder:
        assert self._folder is not None, "the cluster has not been started"
        return self._folder

    def _check_member(self, number: int) -> None:
        if number not in self.members:
            raise ClusterError(f"there is no server {number}: the ensemble has {', '.join(map(str, self.members))}")

    def _kinds(self) -> list[tuple[int, str]]:
        """All members, each with "voter" or "observer"."""
        kinds = dict.fromkeys(self.spec.zab.observers, "observer")
        return [(server, kinds.get(server, "voter")) for server in self.members]

    def _check_way(self, source: int, target: int) -> None:
        self._check_member(source)
        self._check_member(target)
        if source == target:
            raise ClusterError(f"server {source} has no link to itself")

    def _running(self, number: int) -> Server:
        self._check_member(number)
        if number not in self._servers:
            raise ClusterError(f"server {number} does not run{self._endings.how(number)}: restart it first")
        return self._servers[number]

    def _awake(self, number: int) -> Server:
        server = self._running(number)
        if server.frozen:
            raise ClusterError(f"server {number} is frozen and answers nothing: thaw it first")
        return server

    def _open_grounds(self, folder: RunFolder, janitor: Janitor) -> dict[int, Ground]:
        """Where each server stands; the hosts are opened."""
        if self._elsewhere is None:
            return dict.fromkeys(self.members, LocalGround(folder, janitor, self._wiring, self._command))
        durable = self.spec.durability is Durability.FSYNC
        self._stations = self._elsewhere.open(data_dir=self.spec.data_dir or "", durable=durable)
        grounds = {name: RemoteGround(station, self._command) for name, station in self._stations.items()}
        return {server: grounds[self._elsewhere.servers[server]] for server in self.members}

    def _reports(self, members: Collection[int]) -> dict[int, Transition | None]:
        return {number: self._running(number).entered for number in sorted(members)}

    def _answers(self, asked: dict[int, int], timeout_s: float) -> dict[int, Status | Inspected]:
        """`asked`: server -> number of the question.  One that ends meanwhile, its disk being full, has no answer."""
        heard = self._inbox.answers

        def silent() -> list[int]:
            return [number for number, question in asked.items() if question not in heard and number in self._servers]

        self.wait(lambda: not silent(), timeout_s, lambda: f"no answer from servers {silent()}")
        return {number: heard.pop(question) for number, question in asked.items() if question in heard}
