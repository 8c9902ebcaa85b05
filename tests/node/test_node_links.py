"""Sessions and incarnations on the links of a server process (Z-9)."""

import os
from collections.abc import Iterator, Sequence

import pytest

from lab.node.control import Attach, Detach
from lab.node.errors import NodeError
from lab.node.links import NodeLinks
from lab.service.events import ClientDown
from lab.service.host import ClientFrame, ClientUp, ElectionFrame, Inbound, LearnerFrame
from lab.transport.bell import Bell
from lab.transport.ring import FRAME_BYTES_MAX
from lab.transport.shm import CLIENT_CHANNELS, PEER_CHANNELS, ShmLink, create_link_memory
from lab.transport.waiter import Waiter
from lab.zab.events import PeerDown, PeerUp, SessionClosed

QUEUE_BYTES_MAX = 64 << 10


class Process:
    """What one server process has: bell, waiter, links, and a pipe whose end stands for its death."""

    def __init__(self, number: int, *, watch_peers: bool = True) -> None:
        self.number = number
        self.incarnation = 100 + number
        self.bell = Bell.create()
        self.waiter = Waiter(self.bell)
        self.links = NodeLinks(self.waiter, queue_bytes_max=QUEUE_BYTES_MAX, watch_peers=watch_peers)
        self.life_fd, self._life = os.pipe()

    def descriptors(self, memory_fd: int) -> list[int]:
        """What others are handed for a link to this process."""
        return [os.dup(fd) for fd in (memory_fd, self.bell.event_fd, self.bell.page_fd, self.life_fd)]

    def die(self) -> None:
        os.close(self._life)
        self._life = -1

    def receive(self) -> Sequence[Inbound]:
        for fd in self.waiter.wait(0, lambda: False):
            self.links.on_ready(fd)
        return self.links.receive()

    def close(self) -> None:
        self.links.close()
        self.waiter.close()
        self.bell.close()
        os.close(self.life_fd)
        if self._life >= 0:
            os.close(self._life)


def join(one: Process, other: Process) -> None:
    memory_fd = create_link_memory(PEER_CHANNELS)
    for side, (me, you) in enumerate(((one, other), (other, one))):
        me.links.attach(Attach("peer", you.number, you.incarnation, side), you.descriptors(memory_fd))
    os.close(memory_fd)


@pytest.fixture
def one() -> Iterator[Process]:
    process = Process(1)
    yield process
    process.close()


@pytest.fixture
def two() -> Iterator[Process]:
    process = Process(2)
    yield process
    process.close()


@pytest.fixture
def joined(one: Process, two: Process) -> tuple[Process, Process]:
    join(one, two)
    assert one.receive() == [PeerUp(2, 102)]
    assert two.receive() == [PeerUp(1, 101)]
    return one, two


Joined = tuple[Process, Process]


@pytest.mark.covers("S9", "S24", "Z-9")
def test_frames_arrive_by_channel_and_session(joined: Joined) -> None:
    one, two = joined
    one.links.send(2, 7, b"hello")
    one.links.notify(2, b"vote")
    one.links.send(2, 7, b"again")
    assert two.receive() == []
    one.links.flush()
    assert two.links.has_input()
    assert two.receive() == [ElectionFrame(1, b"vote"), LearnerFrame(1, 7, b"hello"), LearnerFrame(1, 7, b"again")]
    assert not two.links.has_input()


def test_sending_without_a_link_does_nothing(one: Process) -> None:
    one.links.send(2, 1, b"a")
    one.links.notify(2, b"a")
    one.links.close_session(2, 1)
    one.links.reply(1, b"a")
    one.links.close_client(1)
    one.links.flush()
    assert one.receive() == []


@pytest.mark.covers("Z-9")
def test_a_session_closes_after_the_frames_sent_before(joined: Joined) -> None:
    one, two = joined
    one.links.send(2, 7, b"before")
    one.links.close_session(2, 7)
    one.links.send(2, 7, b"after")
    one.links.send(2, 8, b"next")
    one.links.flush()
    assert two.receive() == [LearnerFrame(1, 7, b"before"), SessionClosed(1, 7), LearnerFrame(1, 8, b"next")]


def test_of_a_closed_session_nothing_arrives_at_the_end_that_closed_it(joined: Joined) -> None:
    one, two = joined
    two.links.send(1, 7, b"under way")
    two.links.flush()
    one.links.close_session(2, 7)
    one.links.flush()
    assert one.receive() == []
    assert two.receive() == [SessionClosed(1, 7)]
    two.links.send(1, 7, b"too late")
    two.links.flush()
    assert one.receive() == []


def test_closing_at_both_ends_is_reported_at_neither(joined: Joined) -> None:
    one, two = joined
    one.links.close_session(2, 7)
    two.links.close_session(1, 7)
    one.links.flush()
    two.links.flush()
    assert (one.receive(), two.receive()) == ([], [])


@pytest.mark.covers("X-41")
def test_a_learner_queue_past_its_bound_closes_its_sessions_at_both_ends(joined: Joined) -> None:
    one, two = joined
    closed: list[Inbound] = []
    sent = 0
    while not closed:
        one.links.send(2, 7, bytes(50_000))
        one.links.flush()
        closed = list(one.receive())
        sent += 1
    assert closed == [SessionClosed(2, 7)]
    assert one.receive() == []
    one.links.notify(2, b"votes are not held up")
    arrived: list[Inbound] = []
    while not arrived or not isinstance(arrived[-1], SessionClosed):
        one.links.flush()
        arrived += two.receive()
    assert arrived[-1] == SessionClosed(1, 7)
    frames = [item for item in arrived if isinstance(item, LearnerFrame)]
    assert 0 < len(frames) < sent
    one.links.send(2, 8, b"a fresh session")
    one.links.flush()
    assert two.receive() == [LearnerFrame(1, 8, b"a fresh session")]


def test_an_overflow_repeats_the_closes_that_it_dropped(joined: Joined) -> None:
    one, two = joined
    while one.links.flush() or not one.receive():
        one.links.send(2, 7, bytes(50_000))
        if one.links.frames_sent > 20:  # the ring is full: this Close waits, and the next overflow drops it
            one.links.close_session(2, 6)
    arrived: list[Inbound] = []
    for _ in range(20):
        one.links.flush()
        arrived += two.receive()
    assert [item for item in arrived if isinstance(item, SessionClosed)] == [SessionClosed(1, 6), SessionClosed(1, 7)]


@pytest.mark.covers("S24", "X-41")
def test_a_full_election_channel_keeps_the_newest_notification(joined: Joined) -> None:
    one, two = joined
    for number in range(400):
        one.links.notify(2, number.to_bytes(2, "big") * 500)
        one.links.flush()
    arrived: list[Inbound] = []
    for _ in range(10):
        arrived += two.receive()
        one.links.flush()
    numbers = [int.from_bytes(item.data[:2], "big") for item in arrived if isinstance(item, ElectionFrame)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 399


def test_a_fresh_attach_replaces_the_link_and_what_was_under_way(joined: Joined) -> None:
    one, two = joined
    two.links.send(1, 7, b"of the old link")
    two.links.flush()
    two.incarnation = 202
    join(one, two)
    assert one.receive() == [PeerDown(2, 102), PeerUp(2, 202)]
    assert two.receive() == [PeerDown(1, 101), PeerUp(1, 101)]
    two.links.send(1, 7, b"of the new link")
    two.links.flush()
    assert one.receive() == [LearnerFrame(2, 7, b"of the new link")]


def test_detach_cuts_at_once(joined: Joined) -> None:
    one, two = joined
    two.links.notify(1, b"under way")
    two.links.flush()
    one.links.detach(Detach("peer", 2))
    assert one.receive() == [PeerDown(2, 102)]
    one.links.detach(Detach("peer", 2))
    assert one.receive() == []


def test_a_link_closed_by_one_end_ends_at_the_other_after_its_last_frame(joined: Joined) -> None:
    one, two = joined
    two.links.send(1, 7, b"last")
    two.links.flush()
    two.links.detach(Detach("peer", 1))
    assert one.receive() == [LearnerFrame(2, 7, b"last"), PeerDown(2, 102)]


def test_death_is_reported_after_what_the_dead_had_published(joined: Joined) -> None:
    one, two = joined
    two.links.send(1, 7, b"last words")
    two.links.flush()
    two.links.send(1, 7, b"never flushed")
    two.die()
    assert one.receive() == [LearnerFrame(2, 7, b"last words"), PeerDown(2, 102)]
    assert one.receive() == []


@pytest.mark.covers("Z-9")
def test_death_of_an_old_incarnation_does_not_touch_its_successor(joined: Joined) -> None:
    one, two = joined
    two.die()
    (life_fd,) = one.waiter.wait(0, lambda: False)
    one.links.on_ready(life_fd)
    successor = Process(2)
    join(one, successor)
    assert one.receive() == [PeerDown(2, 102), PeerUp(2, 102)]
    assert one.receive() == []
    successor.close()


def test_with_heartbeats_only_a_death_is_not_seen(two: Process) -> None:
    one = Process(1, watch_peers=False)
    join(one, two)
    two.die()
    assert one.receive() == [PeerUp(2, 102)]
    assert one.receive() == []
    one.close()


class Client:
    """A load process's end of its link to a server."""

    def __init__(self, server: Process, number: int) -> None:
        self.bell = Bell.create()
        self.life_fd, self._life = os.pipe()
        self.memory_fd = create_link_memory(CLIENT_CHANNELS)
        self.link = ShmLink(self.memory_fd, CLIENT_CHANNELS, 0, server.bell, queue_bytes_max=1 << 20)
        (self.channel,) = self.link.channels
        fds = (self.memory_fd, self.bell.event_fd, self.bell.page_fd, self.life_fd)
        server.links.attach(Attach("client", number, 5000 + number, 1), [os.dup(fd) for fd in fds])

    def send(self, frame: bytes) -> None:
        self.channel.send(frame)
        self.channel.flush()

    def die(self) -> None:
        os.close(self._life)
        self._life = -1

    def close(self) -> None:
        self.link.close()
        self.bell.close()
        os.close(self.memory_fd)
        os.close(self.life_fd)
        if self._life >= 0:
            os.close(self._life)


@pytest.fixture
def client(one: Process) -> Iterator[Client]:
    client = Client(one, 4)
    yield client
    client.close()


def test_a_client_asks_and_is_answered(one: Process, client: Client) -> None:
    client.send(b"request")
    assert one.receive() == [ClientUp(1), ClientFrame(1, b"request")]
    one.links.reply(1, b"reply")
    one.links.flush()
    assert client.channel.receive() == [b"reply"]


def test_a_client_that_dies_is_down_after_its_last_request(one: Process, client: Client) -> None:
    client.send(b"request")
    client.die()
    assert one.receive() == [ClientUp(1), ClientFrame(1, b"request"), ClientDown(1)]


def test_a_closed_client_gets_its_last_reply(one: Process, client: Client) -> None:
    one.receive()
    one.links.reply(1, b"bye")
    one.links.close_client(1)
    assert client.channel.receive() == [b"bye"]
    assert client.link.has_ended()
    one.links.reply(1, b"nobody there")


def test_a_client_that_does_not_read_loses_its_link(
    one: Process, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    one.receive()
    for _ in range(50):
        one.links.reply(1, bytes(50_000))
        one.links.flush()
    assert one.receive() == [ClientDown(1)]
    assert "link to client 4 closed" in capfd.readouterr().err
    client.channel.receive()
    assert client.link.has_ended()


def test_a_reply_beyond_the_longest_frame_costs_the_client_its_link(
    one: Process, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    one.links.reply(1, bytes(FRAME_BYTES_MAX + 1))
    assert "at most 33554432 can be sent" in capfd.readouterr().err
    assert client.link.has_ended()


def test_client_numbers_are_never_used_twice(one: Process, client: Client) -> None:
    again = Client(one, 4)
    assert one.receive() == [ClientUp(1), ClientDown(1), ClientUp(2)]
    again.close()


def test_corrupt_memory_ends_the_link_with_one_line(
    one: Process, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    one.receive()
    os.pwrite(client.memory_fd, (1 << 50).to_bytes(8, "little"), 0)
    one.bell.announce()
    assert one.receive() == [ClientDown(1)]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("lab.node: link to client 4 closed: ")


def test_counters_outlive_their_links(joined: Joined) -> None:
    one, _ = joined
    one.links.notify(2, b"vote")
    one.links.flush()
    sent = one.links.bytes_sent
    assert sent >= 4
    one.links.detach(Detach("peer", 2))
    assert (one.links.bytes_sent, one.links.frames_sent) == (sent, 1)


@pytest.mark.parametrize(
    ("attach", "descriptors"),
    [(Attach("peer", 2, 1, 0), 3), (Attach("friend", 2, 1, 0), 4), (Attach("peer", 2, 1, 2), 4)],
)
def test_a_wrong_attach_is_refused_and_its_descriptors_closed(one: Process, attach: Attach, descriptors: int) -> None:
    fds = [os.dup(0) for _ in range(descriptors)]
    with pytest.raises(NodeError, match="descriptors"):
        one.links.attach(attach, fds)
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
