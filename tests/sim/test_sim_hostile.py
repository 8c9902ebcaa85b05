"""Who sends garbage loses its own link: the others keep their leader, serve on, and lose nothing."""

import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from lab.service.host import ElectionFrame, Inbound, LearnerFrame
from lab.service.requests import Create, GetData, SetData
from lab.sim.client import Client, Outcome
from lab.sim.machine import TICK_MS
from lab.sim.world import World
from lab.zab.config import PeerId, ZabConfig
from lab.zab.messages import ServerState

CONFIG = ZabConfig(voters=(1, 2, 3), observers=(4,), finalize_early=True)
HELD = (  # the others speak of messages, and this leader's are not what it sent
    "INV-1", "INV-5", "INV-6", "INV-6b", "INV-7", "INV-17", "INV-18", "INV-22", "INV-23", "INV-24", "INV-25", "INV-29",
)  # fmt: skip
Damage = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def lengthen(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.randint(1, 9))


def replace(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"",
            rng.randbytes(rng.randint(1, 60)),
            b"\x91" * 10_000,  # deep
            b"\xdd\xff\xff\xff\xff",  # an array of 2**32 - 1
            b"\x92\x01\xc6\xff\xff\xff\xff",  # Request with a body of 4 GB
            b"\x92\x01\xc4\x05trash",  # Request whose body is none
            b"\x92\x01\xc4\x0b\x93\x05\x01\x91\x94\x05\x01\xa1\xff\xc4\x00",  # Request for a path that is no UTF-8
        )
    )


class Liar:
    """Damages what `liar` sends to `target`, frame by frame, before its host gets it."""

    def __init__(
        self, world: World, liar: PeerId, target: PeerId, rng: random.Random, damages: Sequence[Damage]
    ) -> None:
        self.told = 0
        self._session = 1
        self._liar, self._rng, self._damages = liar, rng, damages
        self._ports = world.machines[target].ports
        self._receive = self._ports.receive
        self._ports.receive = lambda: list(self._damage(self._receive()))

    def _damage(self, arrived: Sequence[Inbound]) -> Iterator[Inbound]:
        rng = self._rng
        for item in arrived:
            if not isinstance(item, LearnerFrame | ElectionFrame) or item.peer != self._liar:
                yield item
                continue
            if rng.random() < 0.5:
                yield item
            if rng.random() < 0.5:
                self.told += 1
                data = rng.choice(self._damages)(item.data, rng)
                if isinstance(item, ElectionFrame):
                    yield ElectionFrame(item.peer, data)
                else:
                    self._session = item.session
                    yield LearnerFrame(item.peer, rng.choice((item.session, item.session, rng.getrandbits(40))), data)
        if rng.random() < 0.1:  # and some that nobody sent
            self.told += 1
            yield rng.choice((ElectionFrame(self._liar, replace(b"", rng)), self._frame(replace(b"", rng))))

    def _frame(self, data: bytes) -> LearnerFrame:
        return LearnerFrame(self._liar, self._session, data)

    def stop(self) -> None:
        self._ports.receive = self._receive


def serving_world(seed: int) -> tuple[World, PeerId]:
    world = World(CONFIG, seed, HELD)
    world.start()
    world.run_until_serving(50)
    (leader,) = [me for me, machine in world.machines.items() if machine.server.peer.state is ServerState.LEADING]
    return world, leader


def attach(world: World, server: PeerId) -> Client:
    client = world.add_client()
    client.attach(world.machines[server].ports)
    world.settle()
    path = f"/{server}"
    client.submit(Create(client.next_cxid(), path, b""))
    return client


def work(world: World, clients: dict[PeerId, Client], ticks: int) -> None:
    for number in range(ticks):
        for server, client in clients.items():
            if client.ready and not client.pending:
                client.submit(
                    SetData(client.next_cxid(), f"/{server}", b"%d" % number), GetData(client.next_cxid(), f"/{server}")
                )
        world.advance(TICK_MS)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("role", [ServerState.OBSERVING, ServerState.FOLLOWING])
def test_garbage_costs_its_sender_only(seed: int, role: ServerState) -> None:
    world, leader = serving_world(seed)
    liar = next(me for me, machine in world.machines.items() if machine.server.peer.state is role)
    honest = [me for me in world.machines if me != liar]
    clients = {server: attach(world, server) for server in honest}
    rng = random.Random(seed)
    liars = [Liar(world, liar, target, rng, (cut, lengthen, replace)) for target in honest]
    work(world, clients, ticks=60)
    assert sum(told.told for told in liars) > 30
    for server in honest:
        peer = world.machines[server].server.peer
        assert (peer.leader, peer.epoch) == (leader, 1), "nobody else looked for a leader"
        outcomes = [operation.outcome for operation in clients[server].operations]
        assert outcomes.count(Outcome.ACKNOWLEDGED) == len(outcomes) > 100
    for told in liars:
        told.stop()
    world.run_until_serving(100)
    world.check_calm()


@pytest.mark.parametrize("seed", range(12))
def test_no_flipped_bit_of_an_observer_does_lasting_harm(seed: int) -> None:
    """It may end a leader, by the promise of a later epoch (Z-4); what a voter's flipped ack does no Zab can bear."""
    world, _ = serving_world(seed)
    clients = {server: attach(world, server) for server in CONFIG.voters}
    rng = random.Random(seed)
    liars = [Liar(world, 4, target, rng, (flip,)) for target in CONFIG.voters]
    work(world, clients, ticks=60)
    assert sum(told.told for told in liars) > 5
    for told in liars:
        told.stop()
    for server, client in clients.items():
        client.attach(world.machines[server].ports)
    world.run_until_serving(100)
    world.check_calm()


@pytest.mark.parametrize("seed", range(6))
def test_a_leader_whose_frames_are_damaged_on_the_way_loses_nothing(seed: int) -> None:
    """Its frames are cut or replaced, so that they are no messages: who gets one drops the session and comes again."""
    world, leader = serving_world(seed)
    clients = {server: attach(world, server) for server in world.machines}
    rng = random.Random(seed)
    liars = [
        Liar(world, leader, target, rng, (cut, lengthen, replace)) for target in world.machines if target != leader
    ]
    work(world, clients, ticks=60)
    assert sum(told.told for told in liars) > 30
    for told in liars:
        told.stop()
    for server, client in clients.items():
        client.attach(world.machines[server].ports)
    world.run_until_serving(100)
    work(world, clients, ticks=3)
    world.run_until_serving(100)
    world.check_calm()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.covers("X-6")
def test_garbage_during_an_election_delays_it_at_most(seed: int) -> None:
    world = World(CONFIG, seed, HELD)
    world.start()
    rng = random.Random(seed)
    liars = [Liar(world, 1, target, rng, (flip, cut, lengthen, replace)) for target in (2, 3, 4)]
    world.advance(40 * TICK_MS)
    for told in liars:
        told.stop()
    world.run_until_serving(200)
    world.check_calm()
