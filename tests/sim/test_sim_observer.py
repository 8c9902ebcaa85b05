"""Observers see what servers and machines do, in the order in which it happens, and only what they ask for."""

from lab.service.events import ServerEvent
from lab.service.server import Server
from lab.sim.observer import MachineEvent, Observer
from lab.sim.world import World
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import Entered, PeerEffect, SaveAcceptedEpoch
from lab.zab.events import Flushed, Start
from lab.zab.messages import ServerState


class Everything(Observer):
    def __init__(self) -> None:
        self.seen: list[object] = []
        self.steps = 0

    def on_event(self, server: PeerId, event: ServerEvent) -> None:
        self.seen.append(event)

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        self.seen.append(effect)

    def on_stepped(self, server: PeerId, running: Server) -> None:
        self.steps += 1

    def on_machine(self, server: PeerId, what: MachineEvent) -> None:
        self.seen.append(what)


class Some(Observer):
    events = (Flushed,)
    effects = (SaveAcceptedEpoch,)

    def __init__(self) -> None:
        self.kinds: set[type] = set()

    def on_event(self, server: PeerId, event: ServerEvent) -> None:
        self.kinds.add(type(event))

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        self.kinds.add(type(effect))


def serving(observer: Observer) -> World:
    world = World(ZabConfig(voters=(1,)))
    world.observers.add(observer)
    world.start()
    world.run_until_serving(50)
    return world


def test_a_life_is_seen_from_its_start_to_its_end():
    observer = Everything()
    world = serving(observer)
    world.power_fail(1)
    world.wipe(1)
    assert observer.seen[0] is MachineEvent.STARTED
    assert isinstance(observer.seen[1], Start)
    first = next(seen for seen in observer.seen if isinstance(seen, Entered))
    assert first.state is ServerState.LOOKING
    assert observer.seen[-2:] == [MachineEvent.LOST_POWER, MachineEvent.WIPED]
    assert observer.steps == 1  # a lone voter serves as soon as it is started


def test_an_observer_sees_only_the_kinds_it_asks_for():
    observer = Some()
    world = serving(observer)
    client = world.add_client()
    client.attach(world.machines[1].ports)
    world.settle()
    assert client.ready
    assert observer.kinds == {Flushed, SaveAcceptedEpoch}


def test_an_effect_is_shown_before_it_is_carried_out_and_after_the_one_before_it():
    durable: list[int] = []

    class Epochs(Observer):
        effects = (SaveAcceptedEpoch, Entered)

        def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
            found = world.machines[1].disk.files().get("/data/acceptedEpoch", b"0")
            durable.append(int(found.split()[0]))  # its checksum follows

    world = World(ZabConfig(voters=(1,)))
    world.observers.add(Epochs())
    world.start()
    world.run_until_serving(50)
    assert durable[0] == 0
    assert durable[-1] == 1
    assert sorted(durable) == durable
