"""One simulated machine: a disk that outlives its processes, and at most one server process."""

import random
from collections import deque
from typing import get_args

from lab.service.events import ClientDown, ClientRequests, ServerEffect, ServerEvent, TurnEnd
from lab.service.host import Host
from lab.service.server import Server
from lab.sim.clock import VirtualClock
from lab.sim.disk import MemoryDisk, Survives
from lab.sim.invariants.rest import Replica
from lab.sim.network import Network, Ports
from lab.sim.observer import MachineEvent, Observers
from lab.sim.snapshots import KeptSnapshots
from lab.sim.writer import SlicedWriter
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


class WatchedServer(Server):
    """A Server that shows its events, and records its peer's effects for the host to show."""

    def __init__(
        self, me: PeerId, config: ZabConfig, recovered: Recovered, rng: random.Random, observers: Observers
    ) -> None:
        self.observers = observers
        self.recorded: deque[PeerEffect] = deque()  # of the step in hand, in order, not shown yet
        super().__init__(me, config, recovered, rng)

    def step(self, event: ServerEvent) -> list[ServerEffect]:
        if isinstance(event, ClientRequests | ClientDown | TurnEnd):  # the others go to the peer
            self.observers.event(self.peer.me, event)
        return super().step(event)

    def _step_peer(self, event: PeerEvent, effects: list[ServerEffect]) -> None:
        self.observers.event(self.peer.me, event)
        super()._step_peer(event, effects)

    def _carry_out(self, effect: PeerEffect, effects: list[ServerEffect]) -> None:
        self.recorded.append(effect)
        super()._carry_out(effect, effects)


class WatchedHost(Host):
    """A Host that shows each effect when its turn has come."""

    server: WatchedServer

    def _deliver(self, event: ServerEvent) -> None:
        self._show_rest()  # of the step that brought this event about
        super()._deliver(event)
        self._show_rest()
        self.server.observers.stepped(self.server.peer.me, self.server)

    def _carry_out(self, effect: ServerEffect) -> Truncated | LogRead | ClientDown | None:
        recorded, me, show = self.server.recorded, self.server.peer.me, self.server.observers.effect
        while recorded and (recorded[0] is effect or type(recorded[0]) in _UPCALLS):
            shown = recorded.popleft()
            show(me, shown)
            if shown is effect:
                break
        return super()._carry_out(effect)

    def _show_rest(self) -> None:
        recorded = self.server.recorded
        while recorded:
            self.server.observers.effect(self.server.peer.me, recorded.popleft())


class HeldStore(FileStore):
    """A FileStore on a disk that may take its time: while `held`, appends are not flushed unless something waits."""

    held = False
    unflushed = False

    def append(self, gen: Generation, batch: TxnBatch) -> None:
        super().append(gen, batch)
        self.unflushed = True

    def flush(self) -> Flushed | None:
        return None if self.held else super().flush()

    def barrier(self) -> None:
        super().barrier()
        self.unflushed = False


def _ignore(observed: Observed) -> None:
    """Observers see the same effects, in their place among the others."""


class Machine:
    """Server `me`: its disk, and its process while it runs."""

    def __init__(
        self,
        me: PeerId,
        config: ZabConfig,
        clock: VirtualClock,
        network: Network,
        rng: random.Random,
        observers: Observers,
    ) -> None:
        self.me = me
        self.disk = MemoryDisk()
        self.frozen = False
        self.server: WatchedServer | None = None  # None: no process
        self._config = config
        self._clock = clock
        self._network = network
        self._rng = rng
        self._observers = observers
        self._incarnation = 0
        self._host: Host | None = None
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
    def host(self) -> Host:
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
        self._incarnation += 1
        self.frozen = False
        self._store = self.open_store()
        recovered = self._store.recover()
        rng = random.Random(self._rng.random())
        self.server = WatchedServer(self.me, self._config, recovered, rng, self._observers)
        self._ports = self._network.join(self.me, self._incarnation)
        self._snapshots = KeptSnapshots()
        self._host = WatchedHost(
            self.server, self._store, self._ports, self._clock, self._snapshots, tick_ms=TICK_MS, observe=_ignore
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
        return HeldStore(
            DATA_DIR,
            fsync=True,
            disk=self.disk,
            segment_bytes=_SEGMENT_BYTES,
            incarnation=self._incarnation,
            start_writer=SlicedWriter,
        )

    def crash(self, survives: Survives | None = None, *, detected: bool = True) -> None:
        """The process dies; with `survives` the power fails, too.  `detected`: its peers learn it at once."""
        self.ports.end_clients()
        self.server = self._host = self._store = self._ports = None
        self.frozen = False
        if detected:
            self._network.leave(self.me)
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

    def wants_turn(self) -> bool:
        """Whether a turn would find something to do now."""
        if self.server is None or self.frozen:
            return False
        return (
            bool(self.ports.inbox)
            or self._snapshots.has_input()
            or self.host.deadline_ms() <= self._clock.now_ms()
            or (self.store.unflushed and not self.store.held)
            or self.server.has_work
        )

    def turn(self) -> None:
        self.host.turn()
