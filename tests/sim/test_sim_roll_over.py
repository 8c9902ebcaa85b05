"""X-27 (ZOOKEEPER-1277, Z-10): an epoch ends before its counter does.  Here counters end early, so that it happens."""

import pytest

from lab.service.requests import SetData
from lab.sim import explore
from lab.sim.client import Client, Outcome
from lab.sim.draw import draw_plan
from lab.sim.observer import Observer
from lab.sim.plan import Reduction
from lab.sim.world import World
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import PeerEffect, StopServing
from lab.zab.zxid import counter_of, make_zxid

LAST = 9  # the counter that must not be given to a transaction


@pytest.fixture(autouse=True)
def _short_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.zab.leader.COUNTER_MAX", LAST)


def serving_world(**settings: int) -> World:
    world = World(ZabConfig(voters=(1, 2, 3), **settings))
    world.start()
    world.run_until_serving(20)
    return world


def attach(world: World, server: int, client: Client | None = None) -> Client:
    client = client or world.add_client()
    client.attach(world.machines[server].ports)
    world.settle()
    return client


def submit(world: World, client: Client, count: int) -> list[Outcome]:
    """Send so many requests at once and let everybody work; what came of them."""
    client.submit(*[SetData(client.next_cxid(), "/", b"") for _ in range(count)])
    world.settle()
    return [operation.outcome for operation in client.operations[-count:]]


@pytest.mark.parametrize("server", [1, 3])
@pytest.mark.covers("X-27", "S22")
def test_the_last_counter_of_an_epoch_is_given_to_nothing(server: int):
    world = serving_world(batch_txns_max=1)
    client = attach(world, server)  # 1.1
    assert submit(world, client, LAST - 2) == [Outcome.ACKNOWLEDGED] * (LAST - 2)
    assert client.operations[-1].reply.zxid == make_zxid(1, LAST - 1)  # type: ignore[union-attr]
    assert submit(world, client, 1) == [Outcome.UNKNOWN]
    world.run_until_serving(20)
    attach(world, server, client)
    assert submit(world, client, 1) == [Outcome.ACKNOWLEDGED]
    assert client.operations[-1].reply.zxid == make_zxid(2, 2)  # type: ignore[union-attr]
    world.check_calm()


@pytest.mark.covers("X-27")
def test_a_batch_that_would_reach_the_end_ends_the_epoch_whole():
    world = serving_world()
    client = attach(world, 1)
    assert submit(world, client, LAST - 1) == [Outcome.UNKNOWN] * (LAST - 1)
    world.run_until_serving(20)
    assert {machine.server.applied_zxid for machine in world.machines.values() if machine.server} == {make_zxid(1, 1)}
    world.check_calm()


def test_what_is_in_flight_at_the_end_is_lost_to_nobody_silently():
    """The writes of two clients, one at the leader, queue up behind each other when the counter ends."""
    world = serving_world(batch_txns_max=2, max_outstanding=1)
    clients = [attach(world, 1), attach(world, 3)]
    for client in clients:
        client.submit(*[SetData(client.next_cxid(), "/", b"") for _ in range(LAST)])
    world.run_until_serving(20)
    outcomes = [operation.outcome for client in clients for operation in client.operations]
    assert set(outcomes) == {Outcome.ACKNOWLEDGED, Outcome.UNKNOWN}
    world.check_calm()


class RollOvers(Observer):
    """Counts the leaders that stop for this reason."""

    effects = (StopServing,)

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        running = self.world.machines[server].server
        assert running is not None
        self.count += "ZOOKEEPER-1277" in running.peer.last_problem


def test_chaos_over_many_short_epochs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lab.zab.leader.COUNTER_MAX", 25)
    count = 0
    for seed in range(12):
        world = World.from_seed(seed)
        world.observers.add(roll_overs := RollOvers(world))
        explore.walk(world, Reduction(ticks=40).of(draw_plan(seed, world.config)))
        assert all(counter_of(zxid) < 25 for zxid, _ in world.history())
        count += roll_overs.count
    assert count > 12
