"""Carrying out the faults of a plan on a world, and ending each when its time is over."""

import errno
import random
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf

from lab.sim import plan as p
from lab.sim.damage import damage
from lab.sim.disk import InjectedDiskError, ProcessDiedError, Survives, nothing_happens
from lab.sim.errors import InvariantError
from lab.sim.machine import Machine
from lab.sim.network import Way
from lab.sim.plan import AnyPlanned, AnyWindowFault, Plan, Planned
from lab.sim.window_network import WindowNetwork
from lab.sim.workload import User
from lab.sim.world import World
from lab.storage.errors import CorruptLogError, CorruptSnapshotError, DataFolderError
from lab.zab.config import PeerId
from lab.zab.messages import ServerState

_RETRY_MS = 200.0  # until a server that could not use its disk is started again

Action = Callable[[], object]


class Strikes:
    """The faults of a plan, in force on a world."""

    def __init__(self, world: World, plan: Plan, users: Sequence[User]) -> None:
        self._world = world
        self._plan = plan
        self._users = users
        self._coming = list(reversed(plan.faults))
        self._later: list[tuple[float, int, Action]] = []  # a heap: what ends a fault
        self._number = 0
        self._rng = random.Random()  # of the fault in hand
        self._deaths: dict[PeerId, tuple[float, float | None]] = {}  # by planned interruption: down_ms, keeps

    # -- time

    def strike_due(self, now_ms: float) -> None:
        while self._later and self._later[0][0] <= now_ms:
            heappop(self._later)[2]()
        while self._coming and self._coming[-1].at_ms <= now_ms:
            self._strike(self._coming.pop())

    def next_ms(self) -> float:
        """When the next fault begins or ends."""
        ends = self._later[0][0] if self._later else inf
        return min(ends, self._coming[-1].at_ms) if self._coming else ends

    def _after(self, ms: float, action: Action) -> None:
        self._number += 1
        heappush(self._later, (self._world.clock.now_ms() + ms, self._number, action))

    def end_all(self) -> None:
        """Links whole, disks prompt and with space, clocks right, every server up."""
        world = self._world
        self._coming.clear()
        self._later.clear()
        world.network.calm_down()
        world.heal()
        for me, machine in world.machines.items():
            machine.flush_ms = (0.0, 0.0)
            machine.disk.full, machine.disk.before_operation = False, nothing_happens
            machine.clock.run_at(1.0)
            if machine.running:
                machine.host.interrupt_after(-1, nothing_happens)
            else:
                world.start(me)
            world.thaw(me)

    # -- processes that end by a planned interruption

    def survive(self, machine: Machine, work: Action) -> None:
        """Let the machine work; the process may end of what a fault has prepared for it."""
        try:
            work()
        except (ProcessDiedError, InjectedDiskError):
            down_ms, keeps = self._deaths.pop(machine.me, (_RETRY_MS, None))
            if machine.running:
                machine.crash(None if keeps is None else self._survivors(keeps))
            self._after(down_ms, lambda: self._start(machine))

    def _start(self, machine: Machine) -> None:
        if not machine.running:
            self.survive(machine, machine.start)

    def _survivors(self, share: float) -> Survives:
        rng = random.Random(self._rng.random())
        return lambda: rng.random() < share

    def _kill(
        self, machine: Machine, down_ms: float, notice_ms: float | None = 0.0, keeps: float | None = None
    ) -> None:
        """Unless it is down already."""
        if machine.running:
            notice = None if notice_ms is None else self._notices(notice_ms)
            machine.crash(None if keeps is None else self._survivors(keeps), notice_ms=notice)
            self._deaths.pop(machine.me, None)
            self._after(down_ms, lambda: self._start(machine))

    def _notices(self, ms: float) -> Callable[[], float]:
        rng = random.Random(self._rng.random())
        return lambda: ms * rng.random()

    # -- faults

    def _strike(self, planned: Planned) -> None:
        self._rng = random.Random(f"fault {planned.number} of {self._plan.seed}")
        self._world.observers.fault(self._world.clock.now_ms(), planned)
        self._apply(planned.fault)

    def _machine(self, server: PeerId) -> Machine:
        machines = self._world.machines
        if server == p.LEADER:
            leaders = [m for m in machines.values() if m.server and m.server.peer.state is ServerState.LEADING]
            return self._rng.choice(leaders) if leaders else machines[min(machines)]
        return machines[server]

    def _apply(self, fault: AnyPlanned | AnyWindowFault) -> None:
        match fault:
            case p.Kill(server, down_ms, notice_ms):
                self._kill(self._machine(server), down_ms, notice_ms)
            case p.PowerCut(servers, down_ms, keeps):
                for server in servers:
                    self._kill(self._machine(server), down_ms, keeps=keeps)
            case p.KillBetweenEffects(server, effects, down_ms, keeps):
                machine = self._machine(server)
                if machine.running:
                    self._deaths[machine.me] = (down_ms, keeps)
                    machine.host.interrupt_after(effects, _die)
            case p.KillInDiskOperation(server, operations, torn, down_ms, keeps):
                machine = self._machine(server)
                self._deaths[machine.me] = (down_ms, keeps)
                machine.disk.before_operation = _Countdown(operations, lambda: ProcessDiedError(torn))
            case p.FailDisk(server, operations, down_ms):
                machine = self._machine(server)
                self._deaths[machine.me] = (down_ms, None)
                error = InjectedDiskError("/data", "write", OSError(errno.EIO, "Input/output error"))
                machine.disk.before_operation = _Countdown(operations, lambda: error)
            case p.Storm(server, times, every_ms):
                self._storm(self._machine(server), times, every_ms)
            case p.Pause(server, for_ms):
                self._pause(self._machine(server), for_ms)
            case p.Wipe(server, down_ms):
                self._wipe(self._machine(server), down_ms)
            case p.Damage(server, zeroed, down_ms):
                self._damage(self._machine(server), zeroed, down_ms)
            case p.ClientDies(client) if client < len(self._users):
                self._users[client].replace(self._world.add_client())
            case p.ClientMoves(client) if client < len(self._users):
                self._users[client].attach(list(self._world.machines.values()))
            case _:
                self._apply_to_environment(fault)

    def _apply_to_environment(self, fault: AnyPlanned | AnyWindowFault) -> None:
        network = self._world.network
        match fault:
            case p.Split(groups, for_ms, notice_ms):
                network.partition(groups, self._notices(notice_ms))
                self._after(for_ms, lambda: network.partition(()))
            case p.BreakLink(source, target, for_ms, notice_ms):
                a, b = self._machine(source).me, self._machine(target).me
                if a != b:
                    each_end = iter((0.0, notice_ms * self._rng.random()))
                    network.cut(a, b, lambda: next(each_end))
                    self._after(for_ms, lambda: network.mend(a, b))
            case p.Isolate(server, effects, for_ms, notice_ms):
                machine = self._machine(server)
                if machine.running:
                    notices = self._notices(notice_ms)
                    machine.host.interrupt_after(effects, lambda: self._isolate(machine.me, for_ms, notices))
            case p.EndSession(source, target):
                network.end_session(self._machine(source).me, self._machine(target).me)
            case p.SlowLink(source, target, ms, for_ms):
                way = (self._machine(source).me, self._machine(target).me)
                network.set_pace(way, (ms / 2, ms))
                self._after(for_ms, lambda: network.set_pace(way, None))
            case p.SlowDisk(server, ms, for_ms):
                machine = self._machine(server)
                machine.flush_ms = (ms / 2, ms)
                self._after(for_ms, lambda: setattr(machine, "flush_ms", self._plan.flush))
            case p.FullDisk(server, for_ms):
                disk = self._machine(server).disk
                disk.full = True
                self._after(for_ms, lambda: setattr(disk, "full", False))
            case p.ClockRate(server, rate, for_ms):
                clock = self._machine(server).clock
                clock.run_at(rate)
                self._after(for_ms, lambda: clock.run_at(1.0))
            case p.ClockJump(server, ahead_ms):
                self._machine(server).clock.jump(ahead_ms)
            case _:
                assert isinstance(network, WindowNetwork), fault
                self._apply_to_datagrams(fault, network)

    def _apply_to_datagrams(self, fault: AnyPlanned | AnyWindowFault, network: WindowNetwork) -> None:
        match fault:
            case p.CutWay(source, target, for_ms):
                way = (self._machine(source).me, self._machine(target).me)
                network.cut_way(way)
                self._after(for_ms, lambda: network.mend_way(way))
            case p.Downpour(source, target, loss, for_ms):
                way = (self._machine(source).me, self._machine(target).me)
                network.set_rain(way, loss)
                self._after(for_ms, lambda: network.set_rain(way, None))
            case p.Replay(source, target, turned, datagrams):
                network.replay((self._machine(source).me, self._machine(target).me), datagrams, turned=turned)
            case p.Echo(source, target, late_ms, for_ms):
                way = (self._machine(source).me, self._machine(target).me)
                network.set_echo(way, late_ms)
                self._after(for_ms, lambda: network.set_echo(way, None))
            case p.EndLink(source, target, times, every_ms):
                self._end_links(network, (self._machine(source).me, self._machine(target).me), times, every_ms)

    def _end_links(self, network: WindowNetwork, way: Way, times: int, every_ms: float) -> None:
        network.end_link(*way)
        if times > 1:
            self._after(every_ms, lambda: self._end_links(network, way, times - 1, every_ms))

    def _isolate(self, me: PeerId, for_ms: float, notices: Callable[[], float]) -> None:
        others = [other for other in self._world.machines if other != me]
        for other in others:
            self._world.network.cut(me, other, notices)
            self._after(for_ms, lambda other=other: self._world.network.mend(me, other))  # type: ignore[misc]

    def _storm(self, machine: Machine, times: int, every_ms: float) -> None:
        self._kill(machine, every_ms / 2)
        if times > 1:
            self._after(every_ms, lambda: self._storm(machine, times - 1, every_ms))

    def _pause(self, machine: Machine, for_ms: float) -> None:
        if machine.running:
            incarnation, machine.frozen = machine.incarnation, True
            self._after(for_ms, lambda: machine.thaw(incarnation))

    def _wipe(self, machine: Machine, down_ms: float) -> None:
        if machine.me not in self._plan.may_lose_disk:
            return
        self._kill(machine, down_ms)
        machine.wipe()

    def _damage(self, machine: Machine, zeroed: bool, down_ms: float) -> None:
        """What was flushed is damaged: the server must say so and not start (Z-6, Z-7); then it is wiped (Z-12)."""
        if machine.me not in self._plan.may_lose_disk:
            return
        self._kill(machine, down_ms)
        full, machine.disk.full, machine.disk.before_operation = machine.disk.full, False, nothing_happens
        where = damage(machine.disk, self._rng, zeroed=zeroed)
        if where is not None:
            try:
                machine.start()
            except (CorruptLogError, CorruptSnapshotError, DataFolderError):
                machine.wipe()
            else:
                raise InvariantError("INV-18", f"server {machine.me} starts although its disk is damaged: {where}")
        machine.disk.full = full


def _die() -> None:
    raise ProcessDiedError


class _Countdown:
    """Called before each operation of a disk; raises after so many, once."""

    def __init__(self, operations: int, error: Callable[[], Exception]) -> None:
        self._left = operations
        self._error = error

    def __call__(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise self._error()
