"""Random walks: everything that may happen, in any order, within what real links, disks and processes may do."""

from lab.service.requests import (
    CheckOp,
    Create,
    CreateMode,
    CreateOp,
    Delete,
    DeleteOp,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Op,
    Request,
    SetData,
    SetDataOp,
    Sync,
)
from lab.sim.client import Client
from lab.sim.machine import TICK_MS, Machine
from lab.sim.world import World
from lab.zab.messages import ServerState

_KEYS = 4
_NUMBERS = 8  # of sequential nodes that deletes try
_STEP_MS_MAX = 20
_FAULTS = ("crash", "crash", "power", "blackout", "freeze", "partition", "heal", "start", "start", "start", "wipe")


class Chaos:
    """Drives a world, round by round: some frames arrive, some servers work, some disks flush, some faults strike."""

    def __init__(self, world: World, clients: int = 3) -> None:
        self.world = world
        self.rng = world.rng
        self.fault_share = self.rng.choice((0.0, 0.02, 0.05, 0.1))  # faults per round
        self.late_share = self.rng.choice((0.0, 0.2, 0.6))  # ways that deliver only a part in a round
        self.slow_share = self.rng.choice((0.0, 0.2, 0.5))  # ways that deliver nothing in most rounds
        self._slow: set[tuple[int, int]] = set()
        self.held_share = self.rng.choice((0.0, 0.3, 0.8))  # disks that do not flush in a round
        self.detected_share = self.rng.choice((1.0, 1.0, 0.5, 0.0))  # deaths that peers learn at once
        self.may_wipe = self._choose_wipeable()
        self.clients = [world.add_client() for _ in range(clients)]
        self._created: list[str] = []

    def run(self, ticks: int) -> None:
        world, end = self.world, self.world.clock.now_ms() + ticks * TICK_MS
        while world.clock.now_ms() < end:
            if self.rng.random() < self.fault_share:
                self._strike()
            if self.rng.random() < 0.02:
                self._draw_slow_ways()
            for client in self.clients:
                if self.rng.random() < 0.3:
                    self._use(client)
            self._deliver()
            for machine in self._shuffled():
                if machine.running:
                    machine.store.held = self.rng.random() < self.held_share
                if machine.wants_turn():
                    machine.turn()
            world.clock.advance_to(world.clock.now_ms() + self.rng.randint(0, _STEP_MS_MAX))

    def calm_down(self) -> None:
        """No more faults: links whole, disks prompt, every server up."""
        world = self.world
        world.heal()
        for me, machine in world.machines.items():
            if not machine.running:
                world.start(me)
            world.thaw(me)
            machine.store.held = False

    def _choose_wipeable(self) -> set[int]:
        """Servers that may lose their disks: observers, and one voter of three or more (Z-12 allows no quorum)."""
        voters, observers = self.world.config.voters, self.world.config.observers
        return {*observers, *([self.rng.choice(voters)] if len(voters) > 2 else [])}

    # -- what happens in a round

    def _shuffled(self) -> list[Machine]:
        machines = list(self.world.machines.values())
        self.rng.shuffle(machines)
        return machines

    def _draw_slow_ways(self) -> None:
        servers = list(self.world.machines)
        ways = [(a, b) for a in servers for b in servers if a != b]
        self._slow = {way for way in ways if self.rng.random() < self.slow_share}

    def _deliver(self) -> None:
        for way in self.world.network.ways():
            if way in self._slow and self.rng.random() < 0.9:
                continue
            if self.rng.random() < self.late_share:
                self._deliver_some(way)
            else:
                self.world.network.deliver(*way)

    def _deliver_some(self, way: tuple[int, int]) -> None:
        self.world.network.deliver(*way, election=self.rng.randint(0, 2), learner=self.rng.randint(0, 3))

    def _strike(self) -> None:
        """One fault, or the end of one."""
        rng, world = self.rng, self.world
        kind = rng.choice(_FAULTS)
        machine = self._victim()
        if kind == "heal":
            world.heal()
        elif kind == "partition":
            self._interrupt()
            world.partition(self._groups())
        elif kind == "blackout":
            for victim in self._shuffled():
                if victim.running and rng.random() < 0.7:
                    self._power_fail(victim)
        elif not machine.running:
            if kind == "wipe" and machine.me in self.may_wipe:
                world.wipe(machine.me)
            world.start(machine.me)
        elif kind == "power":
            self._interrupt()
            self._power_fail(machine)
        elif kind == "crash":
            self._interrupt()
            world.crash(machine.me, detected=rng.random() < self.detected_share)
        elif machine.frozen:
            world.thaw(machine.me)
        elif kind == "freeze":
            world.freeze(machine.me)

    def _victim(self) -> Machine:
        """Any machine, the leader's more often."""
        machines = list(self.world.machines.values())
        leaders = [m for m in machines if m.server is not None and m.server.peer.state is ServerState.LEADING]
        return self.rng.choice(leaders if leaders and self.rng.random() < 0.4 else machines)

    def _interrupt(self) -> None:
        """Links are about to end: of what is under way some still arrives."""
        for way in self.world.network.ways():
            if self.rng.random() < 0.5:
                self._deliver_some(way)

    def _power_fail(self, machine: Machine) -> None:
        share = self.rng.choice((0.0, 0.5, 1.0))
        self.world.power_fail(machine.me, lambda: self.rng.random() < share)

    def _groups(self) -> list[list[int]]:
        sides: list[list[int]] = [[], []]
        for me in self.world.machines:
            self.rng.choice(sides).append(me)
        return sides

    # -- clients

    def _use(self, client: Client) -> None:
        running = [machine for machine in self.world.machines.values() if machine.running]
        if not client.attached or (not client.ready and self.rng.random() < 0.02) or self.rng.random() < 0.005:
            if running:
                client.attach(self.rng.choice(running).ports)
        elif client.ready and client.pending < 20:
            client.submit(*[self._request(client) for _ in range(self.rng.choice((1, 1, 3, 8)))])

    def _request(self, client: Client) -> Request:
        rng, cxid = self.rng, client.next_cxid()
        key = f"/k{rng.randrange(_KEYS)}"
        kind = rng.randrange(10)
        if kind < 2:
            if rng.random() < 0.4:
                self._created.append(f"{key}/q-{rng.randrange(_NUMBERS):010d}")  # perhaps: a later delete may find it
                return Create(cxid, f"{key}/q-", b"%d" % cxid, CreateMode.PERSISTENT_SEQUENTIAL)
            path = f"/s{client.session}-{cxid}" if rng.random() < 0.5 else key
            self._created.append(path)
            return Create(cxid, path, b"%d" % cxid)
        if kind == 5 and rng.random() < 0.5:
            return Multi(cxid, [self._op(b"%d %d" % (client.session, cxid)) for _ in range(rng.choice((1, 2, 2, 4)))])
        if kind < 6:
            return SetData(cxid, key, b"%d %d" % (client.session, cxid), rng.choice((-1, -1, -1, 0, 3)))
        if kind == 6 and self._created:
            return Delete(cxid, rng.choice(self._created), rng.choice((-1, -1, 0)))
        if kind == 7:
            return rng.choice((GetChildren(cxid, "/"), Exists(cxid, key)))
        return Sync(cxid) if kind == 8 else GetData(cxid, key)

    def _op(self, data: bytes) -> Op:
        """A part of a multi; one in ten or so makes it fail."""
        rng = self.rng
        key = f"/k{rng.randrange(_KEYS)}"
        kind = rng.randrange(10)
        if kind < 2:
            return CreateOp(f"{key}/q-", data, CreateMode.PERSISTENT_SEQUENTIAL)
        if kind == 2:
            return rng.choice((CreateOp(key, data), DeleteOp(f"{key}/q-{rng.randrange(_NUMBERS):010d}")))
        return CheckOp(key, rng.choice((-1, -1, 3))) if kind == 3 else SetDataOp(key, data)
