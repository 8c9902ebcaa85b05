"""Links of a server process that carry datagrams: sessions open, end and open again, over UDP and over rings (Z-9)."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count

import pytest

from lab.faults import Constant, Shape
from lab.node.control import Attach, Detach, Reshape
from lab.node.datagram_links import DatagramLinks, shaper_maker
from lab.node.errors import NodeError
from lab.service.events import ClientDown
from lab.service.host import ClientFrame, ClientUp, ElectionFrame, Inbound, LearnerFrame
from lab.transport import datagram_end
from lab.transport.bell import Bell
from lab.transport.port import Port
from lab.transport.port_waiter import PortWaiter
from lab.transport.shm import DATAGRAM_CHANNELS, create_link_memory
from lab.transport.udp import bind_udp
from lab.transport.window import WindowConfig
from lab.zab.events import PeerDown, PeerUp, SessionClosed

MS = 1_000_000
KEEPALIVE_MS, DEAD_AFTER_MS = 50, 500
WINDOW = WindowConfig(keepalive_ns=KEEPALIVE_MS * MS, dead_after_ns=DEAD_AFTER_MS * MS)
SETTLED_MS = 20
CUT = Shape(blocked=True)

link_numbers = count(1)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 10**9

    def __call__(self) -> int:
        return self.now


class Process:
    """What one server process has: bell, port, waiter, links, and a pipe whose end stands for its death."""

    def __init__(self, number: int, clock: Clock, *, udp: bool, watch_peers: bool = True) -> None:
        self.number = number
        self.incarnation = 100 + number
        self.bell = Bell.create()
        bound = bind_udp("127.0.0.1") if udp else None
        self.address = None if bound is None else bound.getsockname()
        port = Port(bound, b"", clock)
        self.waiter = PortWaiter(self.bell, port)
        self.links = DatagramLinks(
            self.waiter, port, WINDOW, WINDOW, shaper_maker(1, number), queue_bytes_max=1 << 20, watch_peers=watch_peers
        )
        self.life_fd, self._life = os.pipe()
        self.arrived: list[Inbound] = []

    def descriptors(self, memory_fd: int) -> list[int]:
        """What others are handed for a link to this process."""
        rings = [] if self.address is not None else [memory_fd, self.bell.event_fd, self.bell.page_fd]
        return [os.dup(fd) for fd in (*rings, self.life_fd)]

    def die(self) -> None:
        os.close(self._life)
        self._life = -1

    def step(self) -> None:
        for fd in self.waiter.wait(0, lambda: False):
            self.links.on_ready(fd)
        self.arrived += self.links.receive()
        self.links.flush()

    def take(self) -> list[Inbound]:
        taken, self.arrived = self.arrived, []
        return taken

    def close(self) -> None:
        self.links.close()
        self.waiter.close()
        self.bell.close()
        os.close(self.life_fd)
        if self._life >= 0:
            os.close(self._life)


class World:
    """Processes in one clock."""

    def __init__(self, *, udp: bool, watch_peers: bool = True) -> None:
        self.clock = Clock()
        self.udp = udp
        self.closing = ExitStack()
        self.alive: list[Process] = []
        self.one, self.two = (self.process(number, watch_peers=watch_peers) for number in (1, 2))

    def process(self, number: int, *, watch_peers: bool = True) -> Process:
        process = Process(number, self.clock, udp=self.udp, watch_peers=watch_peers)
        self.closing.callback(process.close)
        self.alive.append(process)
        return process

    def join(self, one: Process, other: Process, roles: Sequence[str] = ("peer", "peer")) -> None:
        """`roles`: what `other` is to `one`, and `one` to `other`."""
        memory_fd, number = create_link_memory(DATAGRAM_CHANNELS), next(link_numbers)
        for side, (role, me, you) in enumerate(zip(roles, (one, other), (other, one), strict=True)):
            attach = Attach(role, you.number, you.incarnation, side, number, you.address)
            me.links.attach(attach, you.descriptors(memory_fd))
        os.close(memory_fd)

    def pass_ms(self, ms: int, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(ms):
            self.clock.now += MS
            for process in self.alive:
                process.step()
            if until():
                return

    def pass_until(self, arrived: Process, *events: Inbound, ms_max: int = 5_000) -> None:
        """Until exactly these have arrived there."""
        self.pass_ms(ms_max, lambda: len(arrived.arrived) >= len(events))
        assert arrived.take() == list(events)


@pytest.fixture(params=["udp", "rings"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(udp=request.param == "udp")
    with made.closing:
        yield made


@pytest.fixture
def joined(world: World) -> World:
    world.join(world.one, world.two)
    world.pass_until(world.one, PeerUp(2, 102))
    assert world.two.take() == [PeerUp(1, 101)]
    return world


@pytest.mark.covers("S9", "S24", "Z-9")
def test_frames_arrive_by_channel_and_session(joined: World) -> None:
    one, two = joined.one, joined.two
    one.links.send(2, 7, b"hello")
    one.links.notify(2, b"vote")
    one.links.send(2, 7, b"again")
    one.links.send(2, 7, bytes(3_000))
    joined.pass_until(
        two,
        ElectionFrame(1, b"vote"),
        LearnerFrame(1, 7, b"hello"),
        LearnerFrame(1, 7, b"again"),
        LearnerFrame(1, 7, bytes(3_000)),
    )
    two.links.send(1, 7, b"answer")
    joined.pass_until(one, LearnerFrame(2, 7, b"answer"))
    assert one.links.frames_sent == 4
    assert one.links.bytes_sent == one.links.network()["bytes_sent"] > 3_000


def test_a_learner_session_closes_after_the_frames_sent_before(joined: World) -> None:
    joined.one.links.send(2, 7, b"before")
    joined.one.links.close_session(2, 7)
    joined.one.links.send(2, 7, b"after")
    joined.pass_until(joined.two, LearnerFrame(1, 7, b"before"), SessionClosed(1, 7))


def test_a_quiet_link_stays(joined: World) -> None:
    joined.pass_ms(4 * DEAD_AFTER_MS)
    assert (joined.one.take(), joined.two.take()) == ([], [])


def test_a_silence_both_ways_takes_a_link_down_and_it_comes_back_by_itself(joined: World) -> None:
    one, two = joined.one, joined.two
    for process, other in ((one, 2), (two, 1)):
        process.links.reshape(Reshape("peer", other, CUT))
    one.links.send(2, 7, b"lost")
    joined.pass_ms(DEAD_AFTER_MS - SETTLED_MS - KEEPALIVE_MS)
    assert (one.take(), two.take()) == ([], [])
    joined.pass_ms(2 * SETTLED_MS + KEEPALIVE_MS)
    assert (one.take(), two.take()) == ([PeerDown(2, 102)], [PeerDown(1, 101)])
    for process, other in ((one, 2), (two, 1)):
        process.links.reshape(Reshape("peer", other, None))
    joined.pass_until(one, PeerUp(2, 102))
    assert two.take() == [PeerUp(1, 101)]
    one.links.send(2, 8, b"fresh")
    joined.pass_until(two, LearnerFrame(1, 8, b"fresh"))


def test_a_silence_one_way_takes_a_link_down_at_both_ends(joined: World) -> None:
    joined.two.links.reshape(Reshape("peer", 1, CUT))
    joined.pass_ms(2 * DEAD_AFTER_MS)
    assert (joined.one.take(), joined.two.take()) == ([PeerDown(2, 102)], [PeerDown(1, 101)])


@pytest.mark.covers("S51")
def test_a_death_comes_after_what_the_process_had_sent(joined: World) -> None:
    joined.one.links.send(2, 7, b"last")
    joined.one.links.flush()
    joined.alive.remove(joined.one)
    joined.one.die()
    joined.pass_until(joined.two, LearnerFrame(1, 7, b"last"), PeerDown(1, 101), ms_max=1)


def test_the_news_of_a_death_comes_though_others_send_without_a_pause(
    joined: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_end, "TURNS_MAX", 20)
    monkeypatch.setattr(joined.two.links._port, "has_input", lambda: True)
    joined.one.links.send(2, 7, b"last")
    joined.one.links.flush()
    joined.alive.remove(joined.one)
    joined.one.die()
    joined.pass_until(joined.two, LearnerFrame(1, 7, b"last"), PeerDown(1, 101), ms_max=21)


def test_the_news_of_a_death_takes_as_long_as_everything_else(joined: World) -> None:
    joined.two.links.reshape(Reshape("peer", 1, Shape(delay=Constant(30.0))))
    joined.one.links.send(2, 7, b"last")
    joined.one.links.flush()
    joined.alive.remove(joined.one)
    joined.pass_ms(10)
    joined.one.die()
    joined.pass_ms(15)
    assert joined.two.take() == []
    joined.pass_ms(10)
    assert joined.two.take() == [LearnerFrame(1, 7, b"last")]
    joined.pass_ms(4)
    assert joined.two.take() == []
    joined.pass_ms(2)
    assert joined.two.take() == [PeerDown(1, 101)]


def test_through_a_cut_nobody_hears_of_a_death_and_silence_tells(joined: World) -> None:
    joined.two.links.reshape(Reshape("peer", 1, CUT))
    joined.alive.remove(joined.one)
    joined.one.die()
    joined.pass_ms(DEAD_AFTER_MS - KEEPALIVE_MS - SETTLED_MS)
    assert joined.two.take() == []
    joined.pass_until(joined.two, PeerDown(1, 101), ms_max=KEEPALIVE_MS + 2 * SETTLED_MS)


def test_without_pidfds_only_silence_tells_of_a_death() -> None:
    world = World(udp=True, watch_peers=False)
    with world.closing:
        world.join(world.one, world.two)
        world.pass_until(world.two, PeerUp(1, 101))
        world.alive.remove(world.one)
        world.one.die()
        world.pass_ms(DEAD_AFTER_MS - KEEPALIVE_MS - SETTLED_MS)
        assert world.two.take() == []
        world.pass_until(world.two, PeerDown(1, 101), ms_max=KEEPALIVE_MS + 2 * SETTLED_MS)


@pytest.mark.covers("Z-9")
def test_a_new_incarnation_takes_the_place_of_the_old_one(joined: World) -> None:
    joined.one.links.send(2, 7, b"of the old one")
    joined.alive.remove(joined.one)
    again = joined.process(1)
    again.incarnation = 201
    joined.join(again, joined.two)
    joined.pass_until(joined.two, PeerDown(1, 101), PeerUp(1, 201))
    joined.one.links.flush()
    joined.pass_ms(SETTLED_MS)
    assert joined.two.take() == []


def test_a_link_that_is_detached_ends_at_both_ends_and_stays_so(joined: World) -> None:
    joined.one.links.detach(Detach("peer", 2))
    joined.pass_ms(SETTLED_MS)
    assert (joined.one.take(), joined.two.take()) == ([PeerDown(2, 102)], [PeerDown(1, 101)])
    joined.pass_ms(2 * DEAD_AFTER_MS)
    assert (joined.one.take(), joined.two.take()) == ([], [])


def test_a_frame_that_is_none_before_the_end_of_a_session_ends_nothing_else(
    joined: World, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = joined.one, joined.two
    one.links.send(2, 7, b"fine")
    one.links._links["peer", 2]._learner.send(b"?")
    one.links.flush()
    one.links.detach(Detach("peer", 2))
    joined.pass_until(two, LearnerFrame(1, 7, b"fine"), PeerDown(1, 101), ms_max=SETTLED_MS)
    assert "the other end closed the session, and learner frame of 1 bytes" in capsys.readouterr().err
    joined.join(one, two)
    joined.pass_until(two, PeerUp(1, 101))


def test_a_client_s_link_carries_frames_both_ways_and_can_be_closed(world: World) -> None:
    """Two servers that are clients of each other: the link is the same at both ends."""
    one, two = world.one, world.two
    world.join(one, two, ("client", "client"))
    world.pass_until(one, ClientUp(1))
    assert two.take() == [ClientUp(1)]
    one.links.reply(1, b"frame")
    world.pass_until(two, ClientFrame(1, b"frame"))
    one.links.reply(1, b"the last one")
    one.links.close_client(1)
    world.pass_ms(SETTLED_MS)
    assert (one.take(), two.take()) == ([ClientDown(1)], [ClientFrame(1, b"the last one"), ClientDown(1)])


def test_a_lossy_link_loses_no_frame(joined: World) -> None:
    for process, other in ((joined.one, 2), (joined.two, 1)):
        process.links.reshape(Reshape("peer", other, Shape(delay=Constant(2.0), loss=0.1, duplicate=0.1, reorder=0.1)))
    frames = [number.to_bytes(2, "little") * 400 for number in range(200)]
    for frame in frames:
        joined.one.links.send(2, 7, frame)
    joined.pass_until(joined.two, *(LearnerFrame(1, 7, frame) for frame in frames))
    counted = joined.two.links.network()
    assert min(counted["shaper_lost"], counted["shaper_duplicated"], counted["shaper_reordered"]) > 0
    assert joined.one.links.network()["retransmitted"] > 0


@pytest.mark.parametrize(("attach", "descriptors"), [
    (Attach("peer", 2, 1, 0), 4),
    (Attach("peer", 2, 1, 0, 5), 3),
    (Attach("peer", 2, 1, 0, 5, ("127.0.0.1", 9)), 2),
    (Attach("friend", 2, 1, 0, 5, ("127.0.0.1", 9)), 1),
    (Attach("peer", 2, 1, 2, 5, ("127.0.0.1", 9)), 0),
], ids=["frames", "three for rings", "two for UDP", "role", "side"])  # fmt: skip
def test_an_attach_that_makes_no_sense_is_refused_and_its_descriptors_are_closed(
    attach: Attach, descriptors: int
) -> None:
    world = World(udp=True)
    with world.closing:
        fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(descriptors)]
        with pytest.raises(NodeError, match=f"with {descriptors} descriptors"):
            world.one.links.attach(attach, fds)
        for fd in fds:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
