"""Walks over sessions of datagrams (`python -m lab sim --links window`), and what they demand of every session."""

import random
from collections.abc import Sequence

import pytest
from sim_seeds import first_seed_of_this_code

from lab.cli import main
from lab.sim.clock import VirtualClock
from lab.sim.draw import draw_plan
from lab.sim.errors import InvariantError
from lab.sim.explore import check_datagrams, examine, set_out, trace
from lab.sim.ledger import Ledger, WatchedChannel, WatchedLink
from lab.sim.plan import Reduction, Weather
from lab.sim.shrink import describe_plan
from lab.sim.window_network import WindowNetwork
from lab.sim.world import World
from lab.zab.config import ZabConfig
from lab.zab.messages import Phase

SEEDS = 60
FIRST = first_seed_of_this_code()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
@pytest.mark.covers("Z-9", "P8")
def test_chaos_then_calm_over_datagrams(seed: int):
    assert examine(seed, links="window") is None


def test_a_walk_is_the_same_every_time():
    def lines() -> list[str]:
        written: list[str] = []
        assert trace(3, written.append, links="window") is None
        return written

    once = lines()
    assert len(once) > 100
    assert once == lines()


def test_datagrams_change_nothing_in_what_a_seed_plans():
    world, plan = set_out(11, "window")
    assert world.config == World.from_seed(11).config
    own = draw_plan(11, world.config)
    assert [fault for fault in plan.faults if fault.number in {each.number for each in own.faults}] == list(own.faults)
    assert Reduction(faults=tuple(each.number for each in own.faults)).of(plan) == own


def test_one_seed_by_the_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["sim", "--links", "window", "--seed", "5"])
    assert end.value.code == 0
    assert capsys.readouterr().out == "seed 5: nothing found\n"


def test_a_finding_names_its_links(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(WindowNetwork, "is_up", lambda *_: True)
    finding = next(filter(None, (examine(seed, links="window") for seed in range(20))))
    assert finding.kind == "LINK-3"
    assert finding.lines()[-1] == f"again: python -m lab sim --links window --seed {finding.seed} --trace"
    assert any(line.startswith("datagrams: loss=") for line in describe_plan(finding))


# -- cuts


def serving(weather: Weather) -> tuple[World, WindowNetwork]:
    world = World(ZabConfig(voters=(1, 2, 3)), seed=1, weather=weather)
    network = world.network
    assert isinstance(network, WindowNetwork)
    network.calm_down()
    world.start()
    world.run_until_serving(50)
    return world, network


@pytest.mark.covers("P8")
def test_a_link_that_works_one_way_only_goes_down_at_both_ends_and_comes_back():
    world, network = serving(Weather())
    leader = world.running(1).peer.leader
    follower = next(server for server in (1, 2, 3) if server != leader)
    for way in ((leader, follower), (follower, leader)):
        network.cut_way(way)
        world.advance(network.silence_ms)
        assert not network.is_up(leader, follower)
        assert not network.is_up(follower, leader)
        network.mend_way(way)
        world.run_until_serving(100)
        assert network.is_up(leader, follower)
        assert network.is_up(follower, leader)


def test_a_partition_is_silence_that_a_minority_finds_out():
    world, network = serving(Weather())
    leader = world.running(1).peer.leader
    others = [server for server in (1, 2, 3) if server != leader]
    world.partition([[leader], others])
    world.advance(network.silence_ms)
    world.run_until_led(others, 100)
    assert world.running(leader).peer.phase is not Phase.BROADCAST
    world.heal()
    world.run_until_serving(100)
    network.check_arrival()


def test_a_probe_says_who_still_takes_a_link_for_up(monkeypatch: pytest.MonkeyPatch):
    world, network = serving(Weather(is_probed=True))
    check_datagrams(world, network, random.Random(0))
    monkeypatch.setattr(network, "is_up", lambda me, _: me == 3)
    seed = next(seed for seed in range(20) if 3 in random.Random(seed).sample((1, 2, 3), 2))
    with pytest.raises(InvariantError, match=r"^LINK-3: nothing has passed .* for 3 that link is up"):
        check_datagrams(world, network, random.Random(seed))


# -- forged histories


class Wire:
    """A channel whose frames the test takes and gives as it likes."""

    broken = False
    bytes_sent = frames_sent = 0

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.arriving: list[bytes] = []

    def send(self, *parts: bytes) -> bool:
        self.sent.append(b"".join(parts))
        return True

    def receive(self) -> list[bytes]:
        arrived, self.arriving = self.arriving, []
        return arrived

    def flush(self) -> bool:
        return True

    def has_input(self) -> bool:
        return bool(self.arriving)

    def wants_flush(self) -> bool:
        return False

    def clear_queue(self) -> None: ...


class Ends:
    """Both ends of one link, session after session."""

    def __init__(self) -> None:
        self.ledger, self.clock = Ledger(), VirtualClock()

    def open(self, side: int) -> tuple[WatchedChannel, Wire]:
        wire = Wire()
        session = self.ledger.open(7, side, 1)
        return WatchedChannel(wire, self.ledger, session, 0, self.clock), wire

    def pass_on(self, frames: Sequence[bytes], into: tuple[WatchedChannel, Wire]) -> list[bytes]:
        channel, wire = into
        wire.arriving += frames
        return channel.receive()


@pytest.fixture
def ends() -> Ends:
    return Ends()


def sent_by(channel: WatchedChannel, wire: Wire, *frames: bytes) -> list[bytes]:
    before = len(wire.sent)
    for frame in frames:
        assert channel.send(frame[:1], frame[1:])
    return wire.sent[before:]


def test_what_arrives_as_it_was_sent_is_right(ends: Ends):
    a, b = ends.open(0), ends.open(1)
    assert ends.pass_on(sent_by(*a, b"one", b"two"), b) == [b"one", b"two"]
    assert ends.pass_on(sent_by(*b, b"three"), a) == [b"three"]
    assert ends.pass_on(sent_by(*a, b"four"), b) == [b"four"]


@pytest.mark.parametrize("order", [(0, 0), (1,), (1, 0), (0, 2)])
def test_link_1_objects_to_another_order(ends: Ends, order: tuple[int, ...]):
    a, b = ends.open(0), ends.open(1)
    frames = sent_by(*a, b"one", b"two", b"three")
    with pytest.raises(InvariantError, match=r"^LINK-1: "):
        ends.pass_on([frames[index] for index in order], b)


def test_link_1_objects_to_other_bytes(ends: Ends):
    a, b = ends.open(0), ends.open(1)
    (frame,) = sent_by(*a, b"one")
    with pytest.raises(InvariantError, match=r"^LINK-1: .* other bytes"):
        ends.pass_on([frame[:-1] + b"!"], b)


def test_link_1_lets_a_sender_drop_what_waits(ends: Ends):
    a, b = ends.open(0), ends.open(1)
    frames = sent_by(*a, b"one", b"two", b"three")
    a[0].clear_queue()
    frames += sent_by(*a, b"four")
    assert ends.pass_on([frames[0], frames[3]], b) == [b"one", b"four"]


def test_link_2_objects_to_an_old_sessions_frame(ends: Ends):
    old = ends.open(0)
    ends.open(1)
    frames = sent_by(*old, b"one")
    new, b = ends.open(0), ends.open(1)
    ends.pass_on(sent_by(*new, b"two"), b)
    with pytest.raises(InvariantError, match=r"^LINK-2: "):
        ends.pass_on(frames, b)


def test_link_2_objects_to_two_sessions_of_one(ends: Ends):
    a, b = ends.open(0), ends.open(1)
    frames = sent_by(*a, b"one", b"two")
    ends.pass_on(frames[:1], b)
    with pytest.raises(InvariantError, match=r"^LINK-2: .* belongs to"):
        ends.pass_on(frames[1:], ends.open(1))


def test_link_2_objects_to_sessions_that_go_back(ends: Ends):
    first, second = ends.open(0), ends.open(0)
    early, late = sent_by(*first, b"one"), sent_by(*second, b"two")
    ends.pass_on(late, ends.open(1))
    with pytest.raises(InvariantError, match=r"^LINK-2: .* of a later one"):
        ends.pass_on(early, ends.open(1))


def test_link_4_objects_to_a_frame_that_never_arrives(monkeypatch: pytest.MonkeyPatch):
    world, network = serving(Weather())
    network.check_arrival()
    since = world.clock.now_ms()
    monkeypatch.setattr(WatchedLink, "waiting_since_ms", lambda _: since)
    world.advance(900)
    network.check_arrival()
    world.advance(200)
    with pytest.raises(InvariantError, match=r"^LINK-4: a frame from server 3 to 2 is under way for 1"):
        network.check_arrival()


def test_a_frame_waits_until_it_has_arrived(ends: Ends):
    a_wire, b_wire = Wire(), Wire()
    sessions = [ends.ledger.open(7, side, 1) for side in (0, 1)]

    class Over:
        def __init__(self, wire: Wire) -> None:
            self.channels = [wire]

        def has_ended(self) -> bool:
            return False

        def is_ending(self) -> bool:
            return False

        def close(self) -> None: ...

    a = WatchedLink(Over(a_wire), ends.ledger, sessions[0], ends.clock)
    b = WatchedLink(Over(b_wire), ends.ledger, sessions[1], ends.clock)
    assert a.waiting_since_ms() is None
    ends.clock.advance_to(5.0)
    a.channels[0].send(b"one")
    ends.clock.advance_to(9.0)
    assert a.waiting_since_ms() == 5.0
    b_wire.arriving += a_wire.sent
    assert b.channels[0].receive() == [b"one"]
    assert a.waiting_since_ms() is None
