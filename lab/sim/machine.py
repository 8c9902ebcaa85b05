"""One simulated machine: a disk that outlives its processes, and at most one server process."""

import random
from collections import deque
from collections.abc import Callable
from math import inf
from typing import get_args

from lab.service.events import ClientDown, ClientRequests, ServerEffect, ServerEvent, TurnEnd
from lab.service.host import Host
from lab.service.server import Server
from lab.sim.clock import ServerClock, VirtualClock
from lab.sim.disk import MemoryDisk, ProcessDiedError, Survives, nothing_happens
from lab.sim.invariants.rest import Replica
from lab.sim.network import Network
from lab.sim.observer import MachineEvent, Observers
from lab.sim.ports import Ports
from lab.sim.snapshots import KeptSnapshots
from lab.sim.window_network import WindowNetwork
from lab.sim.writer import SlicedWriter
from lab.storage.errors import StorageError
from lab.storage.layout import INITIALIZE
from lab.storage.store import FileStore
from lab.zab.config import PeerId, ZabConfig
from lab.zab.constants import NO_ZXID
from lab.zab.effects import Observed, PeerEffect, Upcall
from lab.zab.events import Flushed, Generation, LogRead, PeerEvent, Recovered, Truncated
from lab.zab.messages import TxnBatch

TICK_MS = 100
DATA_DIR = "/data"
_SEGMENT_BYTES = 8 << 10  # small, so that histories span several
_UPCALLS = frozenset(get_args(Upcall))
_OF_THE_SERVICE = frozenset((ClientRequests, ClientDown, TurnEnd))


class WatchedServer(Server):
    """A Server that shows its events, and records its peer's effects for the host to show."""

    def __init__(
        self, me: PeerId, config: ZabConfig, recovered: Recovered, rng: random.Random, observers: Observers
    ) -> None:
        self.me = me
        self.observers = observers
        self.recorded: deque[PeerEffect] = deque()  # of the step in hand, in order, not shown yet
        super().__init__(me, config, recovered, rng)

    def step(self, event: ServerEvent) -> list[ServerEffect]:
        if type(event) in _OF_THE_SERVICE:  # the others go to the peer
            for watch in self.observers.of_event[type(event)]:
                watch(self.me, event)
        return super().step(event)

    def _step_peer(self, event: PeerEvent, effects: list[ServerEffect]) -> None:
        for watch in self.observers.of_event[type(event)]:
            watch(self.me, event)
        super()._step_peer(event, effects)

    def _carry_out(self, effect: PeerEffect, effects: list[ServerEffect]) -> None:
        self.recorded.append(effect)
        super()._carry_out(effect, effects)

    def show_next(self) -> PeerEffect:
        effect = self.recorded.popleft()
        for watch in self.observers.of_effect[type(effect)]:
            watch(self.me, effect)
        return effect


class WatchedHost(Host):
    """A Host that shows each effect when its turn has come, and may be interrupted between any two of them."""

    server: WatchedServer
    _fuse = -1  # effects to go until it burns down; below 0: none is lit
    _on_burnt: Callable[[], object] = nothing_happens

    def interrupt_after(self, effects: int, action: Callable[[], object]) -> None:
        """Before the effect after so many more, call `action`, which may raise ProcessDiedError."""
        self._fuse, self._on_burnt = effects, action

    def _deliver(self, event: ServerEvent) -> None:
        server = self.server
        if server.recorded:  # of the step that brought this event about
            self._show_rest()
        super()._deliver(event)
        if server.recorded:
            self._show_rest()
        for watch in server.observers.of_steps:
            watch(server.me, server)

    def _carry_out(self, effect: ServerEffect) -> Truncated | LogRead | ClientDown | None:
        if self._fuse >= 0:
            self._burn()
        recorded, show_next = self.server.recorded, self.server.show_next
        while recorded and (recorded[0] is effect or type(recorded[0]) in _UPCALLS):
            if show_next() is effect:
                break
        return super()._carry_out(effect)

    def _burn(self) -> None:
        self._fuse -= 1
        if self._fuse < 0:
            self._on_burnt()

    def _show_rest(self) -> None:
        while self.server.recorded:
            self.server.show_next()


class HeldStore(FileStore):
    """A FileStore on a disk that may take its time: an append is flushed late, unless something waits for it."""

    held = False  # nothing is flushed until this is over
    unflushed = False
    _flushed_ms: float | None = None  # when the flush that is under way is done

    def __init__(
        self, disk: MemoryDisk, incarnation: int, clock: VirtualClock, latency_ms: Callable[[], float]
    ) -> None:
        super().__init__(
            DATA_DIR,
            fsync=True,
            disk=disk,
            segment_bytes=_SEGMENT_BYTES,
            incarnation=incarnation,
            start_writer=SlicedWriter,
        )
        self._clock = clock
        self._latency_ms = latency_ms

    def append(self, gen: Generation, batch: TxnBatch) -> None:
        super().append(gen, batch)
        self.unflushed = True

    def flush(self) -> Flushed | None:
        return super().flush() if self.unflushed and not self.held and self._is_done() else None

    def _is_done(self) -> bool:
        now = self._clock.now_ms()
        if self._flushed_ms is None:
            self._flushed_ms = now + self._latency_ms()
        return self._flushed_ms <= now

    def barrier(self) -> None:
        super().barrier()
        self.unflushed, self._flushed_ms = False, None

    def flushed_ms(self) -> float:
        """When the flush that is under way is done."""
        return inf if self._flushed_ms is None else self._flushed_ms

    def wants_flush(self) -> bool:
        return self.unflushed and not self.held and (self._flushed_ms or 0.0) <= self._clock.now_ms()


def _ignore(observed: Observed) -> None:
    """Observers see the same effects, in their place among the others."""


class Machine:
    """Server `me`: its disk, and its process while it runs."""

    def __init__(
        self,
        me: PeerId,
        config: ZabConfig,
        clock: VirtualClock,
        network: Network | WindowNetwork,
        rng: random.Random,
        observers: Observers,
    ) -> None:
        self.me = me
        self.disk = MemoryDisk()
        self.frozen = False
        self.flush_ms = (0.0, 0.0)  # least and span of the time that a flush takes
        self.server: WatchedServer | None = None  # None: no process
        self.clock = ServerClock(clock)
        self._config = config
        self._clock = clock
        self._network = network
        self._rng = rng
        self._observers = observers
        self.incarnation = 0
        self._host: WatchedHost | None = None
        self._store: HeldStore | None = None
        self._ports: Ports | None = None
        self._snapshots = KeptSnapshots()
        self._mount_empty_disk()
        self.disk.create(f"{DATA_DIR}/{INITIALIZE}")
        self.disk.sync_dir(DATA_DIR)

    @property
    def running(self) -> bool:
        return self.server is not None

    @property
    def host(self) -> WatchedHost:
        assert self._host is not None, f"server {self.me} does not run"
        return self._host

    @property
    def store(self) -> HeldStore:
        assert self._store is not None, f"server {self.me} does not run"
        return self._store

    @property
    def ports(self) -> Ports:
        assert self._ports is not None, f"server {self.me} does not run"
        return self._ports

    def start(self) -> None:
        """Start a process with what the disk holds, as a new incarnation.  Raises StorageError."""
        assert not self.running, f"server {self.me} runs already"
        self.incarnation += 1
        self.frozen = False
        store = self.open_store()
        try:
            recovered = store.recover()
        except (StorageError, ProcessDiedError):
            self.disk.end_process()
            self._observers.machine(self.me, MachineEvent.REFUSED)
            raise
        self._store = store
        rng = random.Random(self._rng.random())
        self.server = WatchedServer(self.me, self._config, recovered, rng, self._observers)
        self._ports = self._network.join(self.me, self.incarnation, self.clock)
        self._snapshots = KeptSnapshots()
        self._host = WatchedHost(
            self.server, self._store, self._ports, self.clock, self._snapshots, tick_ms=TICK_MS, observe=_ignore
        )
        self._observers.machine(self.me, MachineEvent.STARTED)
        self.host.start()

    def replica(self) -> Replica:
        """What this server holds, on disk and in memory."""
        assert self.server is not None, f"server {self.me} is down"
        runs = self.store.log_runs()
        base = runs[0][1] if runs else NO_ZXID
        return Replica(base, list(self.store.batches(base)), self.server.applied_zxid, self.server.tree)

    def open_store(self) -> HeldStore:
        return HeldStore(self.disk, self.incarnation, self._clock, self._draw_flush_ms)

    def _draw_flush_ms(self) -> float:
        least, span = self.flush_ms
        return least + (span * self._rng.random() if span else 0.0)

    def crash(self, survives: Survives | None = None, *, notice_ms: Callable[[], float] | None = float) -> None:
        """The process dies; with `survives` the power fails, too.

        Each peer learns it after its `notice_ms`; None: only by silence.
        """
        self.ports.end_clients()
        self.server = self._host = self._store = self._ports = None
        self.frozen = False
        self.disk.before_operation = nothing_happens
        if notice_ms is not None:
            self._network.leave(self.me, notice_ms)
        else:
            self._network.fall_silent(self.me)
        if survives is None:
            self.disk.end_process()
            self._observers.machine(self.me, MachineEvent.CRASHED)
        else:
            self.disk.lose_power(survives)
            self._observers.machine(self.me, MachineEvent.LOST_POWER)

    def wipe(self) -> None:
        """Replace the disk by an empty one, without the mark of a new server (Z-12)."""
        assert not self.running, f"server {self.me} still runs"
        self._mount_empty_disk()
        self._observers.machine(self.me, MachineEvent.WIPED)

    def _mount_empty_disk(self) -> None:
        self.disk = MemoryDisk()
        self.disk.mkdir(DATA_DIR)
        self.disk.sync_dir("/")

    def thaw(self, incarnation: int) -> None:
        """If it is still the same process."""
        if incarnation == self.incarnation:
            self.frozen = False

    def wants_turn(self) -> bool:
        """Whether a turn would find something to do now."""
        server, host, ports, store = self.server, self._host, self._ports, self._store
        if server is None or host is None or ports is None or store is None or self.frozen:
            return False
        return (
            ports.wants_turn()
            or (store.unflushed and store.wants_flush())
            or host.deadline_ms() <= self.clock.now_ms()
            or self._snapshots.has_input()
            or server.has_work
        )

    def turn(self) -> None:
        self.host.turn()

    def deadline_ms(self) -> float:
        """When, in the world's time, a turn is due even if nothing arrives."""
        return self.clock.world_ms(min(self.host.deadline_ms(), self.ports.deadline_ms()))

    def next_ms(self) -> float:
        """As `deadline_ms`, for any machine: also when a flush is done; never, if nothing can happen by itself."""
        if self.server is None or self.frozen:
            return inf
        return min(self.deadline_ms(), self.store.flushed_ms())
