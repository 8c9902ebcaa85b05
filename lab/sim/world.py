"""The simulated ensemble: machines, links, clients and time, all in one thread and fixed by one seed.

Nothing happens by itself: `settle` lets everybody work while time stands still, `advance` lets time pass, and faults
are the operations of the same names as in `lab.faults`.  `chaos.Chaos` drives a world at random, `script` by commands.
"""

import random
from collections.abc import Collection, Sequence

import msgspec

from lab.faults import AnyFault, Crash, Freeze, Heal, Partition, Restart, Thaw
from lab.service.server import Server
from lab.service.transactions import Txn
from lab.sim.client import Acknowledged, Client
from lab.sim.clock import VirtualClock
from lab.sim.disk import Survives, nothing_survives
from lab.sim.errors import InvariantError
from lab.sim.invariants.rest import Rest
from lab.sim.invariants.suite import Suite
from lab.sim.machine import TICK_MS, Machine
from lab.sim.network import Network
from lab.sim.observer import Observers
from lab.sim.plan import Weather
from lab.sim.window_network import WindowNetwork
from lab.zab.config import PeerId, ZabConfig
from lab.zab.messages import Phase
from lab.zab.zxid import Zxid

_TURNS_MAX = 100_000  # of one settle: more is a livelock


def _draw_quorums(rng: random.Random, voters: int) -> tuple[tuple[int, ...], tuple[tuple[PeerId, ...], ...]]:
    """Weights and groups of voters 1, 2, ...; mostly none of either."""
    weights = tuple(rng.choice((0, 1, 1, 2, 3)) for _ in range(voters)) if rng.random() < 0.2 else ()
    if not any(weights):
        weights = ()
    if rng.random() < 0.8:
        return weights, ()
    homes = [rng.randrange(3) for _ in range(voters)]
    groups = [tuple(voter for voter, home in enumerate(homes, 1) if home == group) for group in range(3)]
    return weights, tuple(group for group in groups if group)


class World:
    """An ensemble under `config`; `seed` fixes every choice made here and inside the servers."""

    def __init__(
        self,
        config: ZabConfig,
        seed: int = 0,
        invariants: Collection[str] | None = None,
        weather: Weather | None = None,
    ) -> None:
        """`invariants`: the names of those that are checked; None: all.  `weather`: links are sessions of datagrams."""
        self.config = config
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        chance = random.Random(self.rng.getrandbits(64))
        self.network: Network | WindowNetwork = (
            Network(self.clock, chance)
            if weather is None
            else WindowNetwork(self.clock, chance, weather, tick_ms=TICK_MS, sync_limit_ticks=config.sync_limit_ticks)
        )
        self.acknowledged = Acknowledged()
        self.clients: list[Client] = []
        self.observers = Observers()
        self.suite = Suite(config, invariants)
        self.observers.add(self.suite)
        self.held: set[tuple[PeerId, PeerId]] = set()  # ways (source, target) that `settle` delivers nothing of
        self.machines = {
            me: Machine(me, config, self.clock, self.network, random.Random(self.rng.getrandbits(64)), self.observers)
            for me in config.members
        }

    @classmethod
    def from_seed(cls, seed: int, weather: Weather | None = None) -> "World":
        """1 to 5 voters and up to 2 observers, with most settings drawn at random."""
        rng = random.Random(seed)
        voters = rng.choice((1, 2, 3, 3, 3, 4, 5))
        weights, groups = _draw_quorums(rng, voters)
        observers = rng.choice((0, 0, 1, 2))
        config = ZabConfig(
            voters=tuple(range(1, voters + 1)),
            observers=tuple(range(voters + 1, voters + observers + 1)),
            finalize_early=rng.random() < 0.7,
            leader_announce=rng.random() < 0.7,
            max_outstanding=rng.choice((0, 0, 1, 3)),
            batch_txns_max=rng.choice((1, *(8,) * 4, *(4096,) * 7)),
            commit_log_count=rng.choice((1, 5, 30, 10_000)),
            snap_count=rng.choice((0, 3, 20, 80)),
            sync_window_bytes=rng.choice((1, 200, 2_000, 4 << 20)),
            notify_interval_ms_max=1_600,
            weights=weights,
            groups=groups,
            sync_mode=rng.choice(("leader", "quorum")),
            sync_grace_ticks=rng.choice((0, 0, 0, 3)),
            leader_serves=voters + observers == 1 or rng.random() < 0.8,
            leader_log_first=rng.random() < 0.2,
            proposal_timeout_ms=rng.choice((0, 0, 0, 150, 600)),
        )
        seed_of_world = rng.getrandbits(64)
        return cls(_with_settings(config, rng), seed_of_world, weather=weather)

    # -- faults

    def start(self, *servers: PeerId) -> None:
        for server in servers or sorted(self.machines):
            self.machines[server].start()

    def crash(self, server: PeerId, *, detected: bool = True) -> None:
        """SIGKILL: what the process wrote is still there.  Not `detected`: only its silence tells its peers."""
        self.machines[server].crash(notice_ms=float if detected else None)

    def power_fail(self, server: PeerId, survives: Survives = nothing_survives) -> None:
        """Of what was not flushed, only what `survives` picks is there after the restart."""
        self.machines[server].crash(survives)

    def wipe(self, server: PeerId) -> None:
        """The disk of a dead server is replaced by an empty one (Z-12)."""
        self.machines[server].wipe()

    def freeze(self, server: PeerId) -> None:
        self.machines[server].frozen = True

    def thaw(self, server: PeerId) -> None:
        self.machines[server].frozen = False

    def partition(self, groups: Sequence[Sequence[PeerId]]) -> None:
        self.network.partition(groups)
        self.suite.on_partition(groups)

    def heal(self) -> None:
        self.network.heal()
        self.suite.on_partition(())

    def apply(self, fault: AnyFault) -> None:
        match fault:
            case Crash(server):
                self.crash(server)
            case Restart(server):
                self.start(server)
            case Freeze(server):
                self.freeze(server)
            case Thaw(server):
                self.thaw(server)
            case Partition(groups):
                self.partition(groups)
            case Heal():
                self.heal()

    # -- clients

    def add_client(self) -> Client:
        client = Client(len(self.clients) + 1, self.acknowledged)
        self.clients.append(client)
        return client

    # -- time

    def settle(self) -> None:
        """Deliver everything and let everybody work, until nothing is left to do without time passing."""
        for _ in range(_TURNS_MAX):
            if not self._work():
                return
        raise InvariantError(
            "liveness", f"after {_TURNS_MAX} rounds at {self.clock.now_ms()} ms there is still something to do"
        )

    def _work(self) -> bool:
        worked = self.network.deliver_all(self.held)
        for machine in self.machines.values():
            if machine.wants_turn():
                machine.turn()
                worked = True
        return worked

    def advance(self, ms: float) -> None:
        """Let time pass, with everybody at work whenever something is due."""
        end = self.clock.now_ms() + ms
        self.settle()
        while (due := self._next_deadline()) <= end:
            now = self.clock.now_ms()
            self.clock.advance_to(min(max(due, now, now + self.network.grain_ms), end))
            self.settle()
        self.clock.advance_to(end)

    def _next_deadline(self) -> float:
        awake = [machine for machine in self.machines.values() if machine.running and not machine.frozen]
        return min(self.network.alarm_ms(), *(machine.deadline_ms() for machine in awake))

    def run_until_serving(self, ticks_max: int) -> None:
        """Let time pass until every running server serves and holds the same history.  Raises InvariantError."""
        for _ in range(ticks_max):
            self.settle()
            if self.is_level():
                return
            self.advance(TICK_MS)
        states = [self.describe(server) for server in sorted(self.machines)]
        raise InvariantError("liveness", f"not serving after {ticks_max} ticks without faults: {states}")

    def run_until_led(self, voters: Sequence[PeerId], ticks_max: int) -> None:
        """Let time pass until one of these leads, established, and the others follow it.  Raises InvariantError."""
        for _ in range(ticks_max):
            self.settle()
            peers = [self.running(me).peer for me in voters]
            if all(peer.phase is Phase.BROADCAST for peer in peers) and len({peer.leader for peer in peers}) == 1:
                return
            self.advance(TICK_MS)
        states = [self.describe(server) for server in sorted(self.machines)]
        raise InvariantError(
            "liveness", f"{list(voters)} have no leader after {ticks_max} ticks without faults: {states}"
        )

    def running(self, server: PeerId) -> Server:
        found = self.machines[server].server
        assert found is not None, f"server {server} is down"
        return found

    def is_level(self) -> bool:
        servers = [machine.server for machine in self.machines.values() if machine.server is not None]
        return (
            all(server.peer.phase is Phase.BROADCAST for server in servers)
            and len({zxid for server in servers for zxid in (server.applied_zxid, server.peer.last_zxid)}) == 1
            and not any(client.pending for client in self.clients)
        )

    def describe(self, server: PeerId) -> str:
        """One line about a server, for people."""
        running = self.machines[server].server
        if running is None:
            return f"{server} down"
        peer = running.peer
        return (
            f"{server} {peer.state.name} {peer.phase.name} leader {peer.leader} epoch {peer.epoch} "
            f"applied {running.applied_zxid:#x} {peer.last_problem}"
        )

    # -- what is checked

    def history(self) -> list[tuple[Zxid, Txn]]:
        """Everything that was committed, in order."""
        return list(self.suite.facts.paths.transactions(self.suite.facts.top))

    def check_calm(self) -> None:
        """At rest, with every server up: logs, trees and replies agree with what was committed."""
        operations = [operation for client in self.clients for operation in client.operations]
        self.suite.at_rest(Rest({me: machine.replica() for me, machine in self.machines.items()}, operations))


def _with_settings(config: ZabConfig, rng: random.Random) -> ZabConfig:
    """The settings that most ensembles leave alone, drawn so that most walks leave most of them alone."""
    voters = config.voters
    weights = tuple(rng.choice((0, 1, 1, 2)) for _ in voters) if rng.random() < 0.15 else ()
    groups: tuple[tuple[PeerId, ...], ...] = ()
    if len(voters) > 2 and rng.random() < 0.15:
        cut = rng.randint(1, len(voters) - 1)
        groups = (voters[:cut], voters[cut:])
    return msgspec.structs.replace(
        config,
        weights=weights if any(weights) else (),
        groups=groups,
        sync_mode=rng.choice(("leader", "quorum")),
        proposal_timeout_ms=rng.choice((0, 0, 0, 400)),
        leader_log_first=rng.random() < 0.15,
        leader_serves=rng.random() < 0.85 or len(config.members) == 1,
        sync_grace_ticks=rng.choice((0, 0, 0, 5)),
        relays=min(rng.choice((0, 1, 1, 2)), len(voters) - 1),
    )
