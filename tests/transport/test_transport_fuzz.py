"""Whatever strangers send to a port: frames arrive once and in order all the same, and no stranger gets an answer."""

import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator

import pytest

from lab.transport.association import Association
from lab.transport.carriers import UdpCarrier
from lab.transport.port import Port
from lab.transport.seal import TAG_BYTES, Seal
from lab.transport.udp import UdpSocket, bind_udp
from lab.transport.window import WindowConfig

KEY = bytes(range(32))
LOOPBACK = "127.0.0.1"
CHANNELS = 2
TURN_NS = 10_000_000  # slow enough for a port to read everything itself (see lab.transport.guard)
TURNS_MAX = 2_000  # within which everything has to have arrived


class TappedCarrier(UdpCarrier):
    """A wire that a stranger listens to."""

    def __init__(self, port: Port, address: tuple[str, int], key: bytes, heard: deque[bytes]) -> None:
        super().__init__(port, address)
        self._seal, self._heard = Seal(key).seal if key else bytes, heard

    def send(self, datagrams: list[bytes]) -> None:
        self._heard.extend(map(self._seal, datagrams))
        super().send(datagrams)


class Side:
    """One process: its port, and a link to each of the others."""

    def __init__(self, clock: Callable[[], int], key: bytes) -> None:
        socket = bind_udp(LOOPBACK)
        self.address = socket.getsockname()
        self.port = Port(socket, key, clock)
        self.key = key
        self.links: list[Association] = []
        self.received: list[list[list[bytes]]] = []  # by link and channel
        self.to_send: list[list[list[bytes]]] = []

    def join(self, link: int, side: int, address: tuple[str, int], heard: deque[bytes]) -> None:
        config = WindowConfig(tag_bytes=TAG_BYTES if self.key else 0)
        association = Association(link, side, CHANNELS, config, random.Random(f"{link} {side}"))
        self.port.add(association, TappedCarrier(self.port, address, self.key, heard), None)
        self.links.append(association)
        self.received.append([[] for _ in range(CHANNELS)])
        self.to_send.append([[] for _ in range(CHANNELS)])

    def turn(self) -> None:
        self.port.receive()
        for index, link in enumerate(self.links):
            for at, channel in enumerate(link.channels):
                self.received[index][at] += channel.receive()
                for frame in self.to_send[index][at]:
                    assert channel.send(frame)
                self.to_send[index][at].clear()
                channel.flush()
        self.port.flush()


class World:
    """A victim with links to two others, under a clock of ours, and a stranger who hears the first link."""

    def __init__(self, key: bytes) -> None:
        self.now = 1_000_000_000
        self.key = key
        self.heard: deque[bytes] = deque(maxlen=5_000)
        unheard: deque[bytes] = deque(maxlen=1)
        self.victim, self.one, self.other = (Side(lambda: self.now, key) for _ in range(3))
        for link, (side, heard) in enumerate(((self.one, self.heard), (self.other, unheard)), 1):
            self.victim.join(link, 0, side.address, heard)
            side.join(link, 1, self.victim.address, heard)
        self.sides = (self.victim, self.one, self.other)
        self.stranger = UdpSocket(bind_udp(LOOPBACK))

    def turn(self) -> None:
        self.now += TURN_NS
        for side in self.sides:
            side.turn()

    def turn_until(self, done: Callable[[], bool]) -> None:
        for _ in range(TURNS_MAX):
            if done():
                return
            self.turn()
        pytest.fail(f"not done after {TURNS_MAX} turns: {[side.port.counters for side in self.sides]}")

    def is_open(self) -> bool:
        return all(link.is_open for side in self.sides for link in side.links)

    def counters(self) -> Counter[str]:
        """Of the victim's port and of its links together."""
        found = Counter(self.victim.port.counters)
        for link in self.victim.links:
            found += Counter(link.counters)
        return found

    def close(self) -> None:
        for side in self.sides:
            side.port.close()
        self.stranger.close()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.close()


sealed = pytest.mark.parametrize("world", [KEY], indirect=True, ids=["sealed"])
bare = pytest.mark.parametrize("world", [b""], indirect=True, ids=["bare"])


def forgery(rng: random.Random, heard: deque[bytes]) -> bytes:
    """Something like what was heard, that nobody has sent."""
    genuine = rng.choice(heard)
    place = rng.randrange(len(genuine))
    made = (
        rng.randbytes(rng.randrange(1_500)),
        genuine[:8] + rng.randbytes(rng.randrange(1_500)),
        genuine[:place] + bytes([genuine[place] ^ 1 << rng.randrange(8)]) + genuine[place + 1 :],
        genuine[:place],
        genuine + rng.randbytes(1 + rng.randrange(40)),
        genuine[:place] + rng.choice(heard)[place:],
        genuine[:-TAG_BYTES],
    )[rng.randrange(7)]
    return made if made not in heard else b""


def run_under_attack(world: World, attack: Callable[[], list[bytes]], turns: int, seed: int) -> None:
    """Frames both ways on every link while the stranger attacks; all arrive once, in order, in the sessions of old."""
    rng = random.Random(seed)
    world.turn_until(world.is_open)
    sent = {side: [[[] for _ in range(CHANNELS)] for _ in side.links] for side in world.sides}
    for _ in range(turns):
        for side in world.sides:
            for index in range(len(side.links)):
                for at in range(CHANNELS):
                    frames = [rng.randbytes(rng.randrange(3_000)) for _ in range(rng.randrange(3))]
                    side.to_send[index][at] += frames
                    sent[side][index][at] += frames
        world.stranger.send(attack(), world.victim.address)
        world.turn()
    ways = [
        *((world.victim, index, side, 0) for index, side in enumerate(world.sides[1:])),
        *((side, 0, world.victim, index) for index, side in enumerate(world.sides[1:])),
    ]

    def is_there(way: tuple[Side, int, Side, int]) -> bool:
        source, there, target, here = way
        return all(
            len(arrived) >= len(frames)
            for arrived, frames in zip(target.received[here], sent[source][there], strict=True)
        )

    world.turn_until(lambda: all(map(is_there, ways)))
    for source, there, target, here in ways:
        assert target.received[here] == sent[source][there]
    assert [link.counters["sessions"] for side in world.sides for link in side.links] == [1] * 4
    assert not world.stranger.has_input()


@sealed
def test_forgeries_and_replays_change_nothing_for_sealed_links(world):
    rng, strange = random.Random(1), 0

    def attack() -> list[bytes]:
        nonlocal strange
        forgeries = [forgery(rng, world.heard) for _ in range(40)]
        replays = [rng.choice(world.heard) for _ in range(20)]
        meant_for_it = world.victim.links[0].prefixes
        strange += len(forgeries) + sum(replay[:8] not in meant_for_it for replay in replays)
        mixed = forgeries + replays
        rng.shuffle(mixed)
        return mixed

    run_under_attack(world, attack, 250, seed=2)
    counters = world.counters()
    assert counters["forged"] + counters["foreign"] == strange > 10_000
    assert counters["forged"] > 4_000  # half of what was heard goes the other way: its prefix is foreign
    assert counters["replayed"] > 1_000
    assert counters["malformed"] == 0


@bare
def test_noise_and_replays_change_nothing_for_links_without_a_key(world):
    rng = random.Random(3)

    def attack() -> list[bytes]:
        noise = [rng.randbytes(rng.randrange(1_500)) for _ in range(40)]
        return noise + [rng.choice(world.heard) for _ in range(20)]

    run_under_attack(world, attack, 250, seed=4)
    assert world.counters()["foreign"] >= 10_000


@bare
def test_forgeries_at_a_link_without_a_key_spare_the_others_and_the_process(world):
    """Whoever can forge one link's datagrams may end its sessions; that is what a key is for."""
    rng = random.Random(5)
    world.turn_until(world.is_open)
    expected = []
    for number in range(300):
        frame = number.to_bytes(4, "little")
        expected.append(frame)
        world.other.to_send[0][0].append(frame)
        world.one.to_send[0][0].append(frame)
        world.stranger.send([forgery(rng, world.heard) for _ in range(40)], world.victim.address)
        world.turn()
    world.turn_until(lambda: len(world.victim.received[1][0]) >= 300)
    assert world.victim.received[1][0] == expected
    assert world.victim.links[1].counters["sessions"] == 1
    world.turn_until(world.is_open)


@pytest.mark.parametrize("world", [b"", KEY], indirect=True, ids=["bare", "sealed"])
def test_replays_to_a_quiet_port_are_not_answered_with_a_byte(world):
    world.turn_until(world.is_open)
    for side in world.sides:
        side.to_send[0][0].append(bytes(5_000))
    for _ in range(20):
        world.turn()
    before = world.victim.port.counters["socket_bytes_sent"]
    for _ in range(20):
        world.stranger.send(list(world.heard), world.victim.address)
        while world.victim.port.has_input():
            world.victim.turn()
    assert world.victim.port.counters["socket_bytes_sent"] == before
    assert world.counters()["replayed"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
@pytest.mark.parametrize("world", [b"", KEY], indirect=True, ids=["bare", "sealed"])
def test_under_a_flood_links_go_on_and_begin_anew_and_strangers_are_not_read(world):
    rng = random.Random(6)
    world.turn_until(world.is_open)

    def flood() -> list[bytes]:
        return [rng.randbytes(rng.randrange(100)) for _ in range(200)]

    read = 0
    while not world.victim.port._guard.is_up:
        assert read < 10_000
        world.stranger.send(flood(), world.victim.address)
        world.turn()
        read += 200
    while world.victim.port.has_input():
        world.turn()
    before = world.counters()
    run_under_attack(world, flood, 30, seed=7)
    assert world.counters()["foreign"] == before["foreign"]
    world.victim.links[0].end_session("to see another one")
    world.turn_until(lambda: not world.is_open())
    world.stranger.send(flood(), world.victim.address)
    world.turn_until(world.is_open)
    assert world.counters()["foreign"] == before["foreign"]
    assert not world.stranger.has_input()
