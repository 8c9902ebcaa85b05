"""One simulated machine: a disk that outlives its processes, and at most one server process."""

import random
from collections.abc import Callable

from lab.service.events import ServerEffect
from lab.service.host import Host
from lab.service.server import Server
from lab.sim.clock import VirtualClock
from lab.sim.disk import MemoryDisk, Survives
from lab.sim.network import Network, Ports
from lab.storage.layout import INITIALIZE
from lab.storage.store import FileStore
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import Observed, PeerEffect
from lab.zab.events import Flushed, Generation
from lab.zab.messages import TxnBatch

TICK_MS = 100
DATA_DIR = "/data"
_SEGMENT_BYTES = 8 << 10  # small, so that histories span several

Watch = Callable[[PeerId, PeerEffect], None]


class WatchedServer(Server):
    """A Server that shows its peer's effects, upcalls included, in the order in which they are carried out."""

    watch: Watch | None = None

    def _carry_out(self, effect: PeerEffect, effects: list[ServerEffect]) -> None:
        if self.watch is not None:
            self.watch(self.peer.me, effect)
        super()._carry_out(effect, effects)


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
    """The watch shows the same effects, in their place among the others."""


class Machine:
    """Server `me`: its disk, and its process while it runs."""

    def __init__(
        self, me: PeerId, config: ZabConfig, clock: VirtualClock, network: Network, rng: random.Random, watch: Watch
    ) -> None:
        self.me = me
        self.disk = MemoryDisk()
        self.frozen = False
        self.server: WatchedServer | None = None  # None: no process
        self._config = config
        self._clock = clock
        self._network = network
        self._rng = rng
        self._watch = watch
        self._incarnation = 0
        self._host: Host | None = None
        self._store: HeldStore | None = None
        self._ports: Ports | None = None
        self.wipe()
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
        self.server = WatchedServer(self.me, self._config, recovered, random.Random(self._rng.random()))
        self.server.watch = self._watch
        self._ports = self._network.join(self.me, self._incarnation)
        self._host = Host(self.server, self._store, self._ports, self._clock, tick_ms=TICK_MS, observe=_ignore)
        self.host.start()

    def open_store(self) -> HeldStore:
        return HeldStore(DATA_DIR, fsync=True, disk=self.disk, segment_bytes=_SEGMENT_BYTES)

    def crash(self, survives: Survives | None = None, *, detected: bool = True) -> None:
        """The process dies; with `survives` the power fails, too.  `detected`: its peers learn it at once."""
        self.ports.end_clients()
        self.server = self._host = self._store = self._ports = None
        self.frozen = False
        if detected:
            self._network.leave(self.me)
        if survives is None:
            self.disk.end_process()
        else:
            self.disk.lose_power(survives)

    def wipe(self) -> None:
        """Replace the disk by an empty one, without the mark of a new server (Z-12)."""
        assert not self.running, f"server {self.me} still runs"
        self.disk = MemoryDisk()
        self.disk.mkdir(DATA_DIR)
        self.disk.sync_dir("/")

    def wants_turn(self) -> bool:
        """Whether a turn would find something to do now."""
        if self.server is None or self.frozen:
            return False
        return (
            bool(self.ports.inbox)
            or self.host.deadline_ms() <= self._clock.now_ms()
            or (self.store.unflushed and not self.store.held)
            or self.server.has_work
        )

    def turn(self) -> None:
        self.host.turn()
