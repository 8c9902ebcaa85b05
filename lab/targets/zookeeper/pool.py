"""A load process's sessions with a real ZooKeeper: one nonblocking TCP socket each, batches of requests in one send.

kazoo would measure kazoo: a thread for each client and thousands of operations a second, where ZooKeeper serves tens of
thousands.  Here a batch is one join and one send, and replies are cut at their lengths and otherwise left as they are.
"""

import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from lab.targets.errors import OpeningError
from lab.targets.opening import Answers, Arrival
from lab.targets.zookeeper import HOST, jute, replies
from lab.targets.zookeeper.jute import JuteError
from lab.targets.zookeeper.session import Session, State

SESSION_TIMEOUT_MS = 30_000  # asked for; ZooKeeper gives a session up that is silent for so long
PING_SHARE = 3  # an idle session pings after this part of its timeout
RECEIVE_BYTES = 1 << 18
CHECK_NS = 25_000_000  # how often, at least, patience is measured
PAUSE_NS, PAUSE_NS_MAX = 1_000_000, 16_000_000  # before a server that refused is asked again; doubles
CXID_LAST = jute.CXID_MAX - (1 << 16)  # far enough for one more batch


class Address(msgspec.Struct, frozen=True):
    """A connector's text, in JSON."""

    target: str
    client: int
    ports: dict[int, int]  # of every server, by its id
    servers: list[int]  # those to attach to first, a session each


class _Place:
    """One session and its connection, if it has one."""

    def __init__(self, server: int) -> None:
        self.session = Session(SESSION_TIMEOUT_MS)
        self.wanted = server  # where it attaches next
        self.server = server
        self.socket: socket.socket | None = None
        self.unsent = b""
        self.refusals = 0
        self.retry_ns = 0
        self.sent_ns = 0  # the latest frame, for the ping
        self.heard = True  # since patience was last measured
        self.owed_since_ns = 0

    def fileno(self) -> int:
        assert self.socket is not None
        return self.socket.fileno()


class ZooKeeperSessions:
    """`lab.targets.opening.Sessions`."""

    set_data: Any = staticmethod(jute.set_data)
    get_data: Any = staticmethod(jute.get_data)
    create: Any = staticmethod(jute.create)
    sync: Any = staticmethod(jute.sync)

    def __init__(self, address: Address, patience_ns: int) -> None:
        """One session for each of the address's servers; nothing is sent yet."""
        self.attached: list[int] = []
        self._ports = address.ports
        self._patience_ns = patience_ns
        self._places = [_Place(server) for server in address.servers]
        self._watched: list[int] = []
        self._lost: list[Arrival] = []  # what came to light outside of `receive`

    @property
    def ids(self) -> list[int]:
        return [place.session.id for place in self._places]

    def watch(self, fd: int) -> None:
        self._watched.append(fd)

    def open(self, timeout_s: float) -> None:
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while len(self.attached) < len(self._places):
            self.receive()
            if time.monotonic_ns() > deadline_ns:
                place = next(place for place in self._places if place.session.state is not State.ATTACHED)
                reason = place.session.reason
                raise OpeningError(f"server {place.wanted} has accepted no session within {timeout_s:g} s: {reason}")
            if len(self.attached) < len(self._places) and self.wait(deadline_ns):
                raise OpeningError("told to end before every session was attached")

    def send(self, index: int, requests: Sequence[bytes]) -> bool:
        place = self._places[index]
        if jute.xid_of(requests[-1]) >> jute.KIND_BITS > CXID_LAST:
            raise OpeningError(f"ZooKeeper's xids number {CXID_LAST:,} requests of one client at most: measure shorter")
        if not self._write(place, b"".join(requests)):
            self._leave(index, place.session.reason)
            return False
        if not place.session.outstanding:
            place.heard = True
        place.session.sent(len(requests))
        return True

    def receive(self) -> list[Arrival]:
        arrived, self._lost = self._lost, []
        open_places = [place for place in self._places if place.socket is not None]
        if not open_places:
            return arrived
        waiting = [place for place in open_places if place.unsent]
        readable, writable, _ = select.select(open_places, waiting, [], 0.0)
        for place in writable:
            if not self._write(place, b""):
                self._leave(self._places.index(place), place.session.reason)
        for place in readable:
            if place.socket is not None:
                self._read(self._places.index(place), arrived)
        arrived += self._lost
        self._lost = []
        return arrived

    def wait(self, until_ns: int) -> list[int]:
        now = time.monotonic_ns()
        self._sleep(max(0, min(until_ns, now + CHECK_NS) - now) / 1e9)
        return self.look()

    def look(self) -> list[int]:
        self._check(time.monotonic_ns())
        return select.select(self._watched, [], [], 0.0)[0]

    def decode(self, frame: bytes) -> Answers:
        return replies.decode_answers(frame)

    def failure(self, frame: bytes) -> str:
        return replies.failure(frame)

    def without_reads(self, frame: bytes) -> bytes:
        return replies.without_reads(frame)

    def epoch_of(self, zxid: int) -> int:
        return zxid >> 32

    def close(self) -> None:
        """Sessions are left for ZooKeeper to expire, as those of a process that ends are."""
        for place in self._places:
            _hang_up(place)

    # -- one session

    def _read(self, index: int, arrived: list[Arrival]) -> None:
        place = self._places[index]
        session = place.session
        assert place.socket is not None
        was_attached = session.state is State.ATTACHED
        try:
            data = place.socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("it hung up")
            frame, count = session.receive(data)
        except BlockingIOError:
            return
        except (OSError, JuteError) as error:
            self._leave(index, _words(error))
            return
        place.heard = True
        if count:
            arrived.append((index, frame, count))
        if not was_attached and session.state is State.ATTACHED:
            place.refusals = 0
            self._note_attached()

    def _write(self, place: _Place, data: bytes) -> bool:
        """Send as much as the socket takes and keep the rest; False, with the session's reason, if it broke."""
        assert place.socket is not None
        data = place.unsent + data if place.unsent else data
        try:
            taken = place.socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            place.session.reason = _words(error)
            return False
        place.unsent = data[taken:]
        place.sent_ns = time.monotonic_ns()
        return True

    def _leave(self, index: int, reason: str) -> None:
        """The attachment has ended: what was outstanding is lost, and the next server is tried."""
        place = self._places[index]
        lost = place.session.detach(f"server {place.server}: {reason}")
        if lost:
            self._lost.append((index, None, lost))
        _hang_up(place)
        if place.session.id:  # it was attached once, so it may go anywhere
            others = sorted(self._ports)
            place.wanted = next((server for server in others if server > place.server), others[0])
        place.refusals += 1
        rounds = place.refusals // len(self._ports)
        pause = min(PAUSE_NS << min(rounds - 1, 10), PAUSE_NS_MAX) if rounds else 0
        place.retry_ns = time.monotonic_ns() + pause
        self._note_attached()

    def _dial(self, index: int) -> None:
        place = self._places[index]
        place.server, place.unsent, place.heard = place.wanted, b"", True
        place.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        place.socket.setblocking(False)
        place.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = place.session.connect()
        try:
            place.socket.connect((HOST, self._ports[place.server]))
        except BlockingIOError:
            place.unsent = greeting  # sent once the socket can be written to
            return
        except OSError as error:
            self._leave(index, _words(error))
            return
        if not self._write(place, greeting):
            self._leave(index, place.session.reason)

    def _note_attached(self) -> None:
        self.attached = [i for i, place in enumerate(self._places) if place.session.state is State.ATTACHED]

    def _check(self, now: int) -> None:
        """Dial where a pause is over, ping where nothing was sent for long, give up who owes something for too long."""
        for index, place in enumerate(self._places):
            session = place.session
            if place.socket is None:
                if now >= place.retry_ns:
                    self._dial(index)
                continue
            if place.heard or not (session.outstanding or session.state is State.CONNECTING):
                place.heard, place.owed_since_ns = False, now
            elif now - place.owed_since_ns > self._patience_ns:
                self._leave(index, f"no answer for {self._patience_ns / 1e6:g} ms")
                continue
            idle = now - place.sent_ns > session.timeout_ms * 1_000_000 // PING_SHARE
            if idle and session.state is State.ATTACHED and not self._write(place, jute.ping()):
                self._leave(index, session.reason)

    def _sleep(self, seconds: float) -> None:
        """Until something can be read or written that somebody waits for; to the microsecond (select's timer)."""
        places = [place for place in self._places if place.socket is not None]
        if not places:
            now = time.monotonic_ns()
            due_ns = min(place.retry_ns for place in self._places)
            seconds = min(seconds, max(0, due_ns - now) / 1e9)
        readers: list[_Place | int] = [*places, *self._watched]
        select.select(readers, [place for place in places if place.unsent], [], seconds)


def _hang_up(place: _Place) -> None:
    if place.socket is not None:
        with suppress(OSError):
            place.socket.close()
        place.socket = None


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def open_zookeeper_sessions(connector: str, *, patience_ms: float) -> ZooKeeperSessions:
    return ZooKeeperSessions(msgspec.json.decode(connector, type=Address), int(patience_ms * 1e6))
