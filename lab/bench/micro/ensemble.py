"""Three servers in one process, without an operating system in between: what a write costs all of them in CPU.

Hosts, servers and stores are those of a server process.  The clock stands still and the disks forget what is logged, so
that the same frames mean the same steps every time.  Links are handed in: frames as they are, or over real rings.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from lab.bench.micro.disk import HeldDisk
from lab.bench.micro.inputs import PATHS, SESSION
from lab.service.events import ClientId
from lab.service.host import ClientFrame, ClientUp, ElectionFrame, Host, Inbound, LearnerFrame, Links
from lab.service.requests import Connect, Create, encode_frame
from lab.service.server import Server
from lab.storage.layout import INITIALIZE
from lab.storage.store import FileStore
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import Observed
from lab.zab.events import PeerUp, Session, SessionClosed, SnapshotRead
from lab.zab.messages import Phase

MEMBERS: tuple[PeerId, ...] = (1, 2, 3)
LEADER: PeerId = 3  # all are equal and may vote: the greatest id wins
CLIENT: ClientId = 1

_DATA_DIR = "/data"
_TURNS_MAX = 100  # of every server, to elect a leader and synchronize: ten are enough


class Wiring(Protocol):
    """The links between the servers, and from a client to the leader."""

    links: Mapping[PeerId, Links]

    def submit(self, frame: bytes) -> None:
        """A frame of the client arrives at the leader."""

    def take_replies(self) -> list[bytes]:
        """What the client was sent since the last call."""


class DirectLinks:
    """A frame stands in its receiver's inbox as soon as it is sent."""

    def __init__(self, me: PeerId, inboxes: dict[PeerId, list[Inbound]]) -> None:
        self._me = me
        self._inboxes = inboxes
        self.replies: list[bytes] = []

    def receive(self) -> Sequence[Inbound]:
        arrived, self._inboxes[self._me] = self._inboxes[self._me], []
        return arrived

    def notify(self, peer: PeerId, frame: bytes) -> None:
        self._inboxes[peer].append(ElectionFrame(self._me, frame))

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        self._inboxes[peer].append(LearnerFrame(self._me, session, frame))

    def close_session(self, peer: PeerId, session: Session) -> None:
        self._inboxes[peer].append(SessionClosed(self._me, session))

    def reply(self, client: ClientId, frame: bytes) -> None:  # noqa: ARG002 - there is one
        self.replies.append(frame)

    def close_client(self, client: ClientId) -> None:
        raise AssertionError(f"the link to client {client} was closed")

    def flush(self) -> None:
        """There is nothing between sent and received."""


class DirectWiring:
    """Links that hand frames over as they are."""

    def __init__(self) -> None:
        self._inboxes: dict[PeerId, list[Inbound]] = {
            me: [PeerUp(peer, 1) for peer in MEMBERS if peer != me] for me in MEMBERS
        }
        self._inboxes[LEADER].append(ClientUp(CLIENT))
        self._ends = {me: DirectLinks(me, self._inboxes) for me in MEMBERS}
        self.links: Mapping[PeerId, Links] = self._ends

    def submit(self, frame: bytes) -> None:
        self._inboxes[LEADER].append(ClientFrame(CLIENT, frame))

    def take_replies(self) -> list[bytes]:
        end = self._ends[LEADER]
        replies, end.replies = end.replies, []
        return replies


class StandingClock:
    """No tick is ever due."""

    def now_ms(self) -> float:
        return 0.0


class NoSnapshots:
    """Nobody lags behind here, so nobody is sent a tree."""

    def open(self, learner: PeerId, session: Session, chunks: Iterator[bytes]) -> None:  # noqa: ARG002
        raise AssertionError(f"server {learner} asks for a snapshot")

    def ask(self, learner: PeerId, session: Session) -> None:  # noqa: ARG002
        raise AssertionError(f"server {learner} asks for a chunk")

    def receive(self) -> Sequence[SnapshotRead]:
        return ()

    def close(self, learner: PeerId, session: Session | None = None) -> None:
        """There is none."""


def _ignore(observed: Observed) -> None:
    """Nobody watches."""


class Ensemble:
    """Servers that serve, with one client's session at the leader and a tree of all keys."""

    def __init__(self, wiring: Wiring | None = None) -> None:
        self.wiring = wiring if wiring is not None else DirectWiring()
        config = ZabConfig(voters=MEMBERS, snap_count=0)
        self.hosts = {me: _host(me, config, self.wiring.links[me]) for me in MEMBERS}
        self.leader = self.hosts[LEADER]
        self.followers = [self.hosts[me] for me in MEMBERS if me != LEADER]
        for host in self.hosts.values():
            host.start()
        self._settle()
        peers = [host.server.peer for host in self.hosts.values()]
        assert all((peer.leader, peer.phase) == (LEADER, Phase.BROADCAST) for peer in peers), [
            (peer.leader, peer.phase) for peer in peers
        ]
        creates = [Create(cxid, path, b"") for cxid, path in enumerate(PATHS, 1)]
        self.wiring.submit(encode_frame([Connect(SESSION, 1, 0), *creates]))
        self._settle()
        self.wiring.take_replies()

    def _settle(self) -> None:
        for _ in range(_TURNS_MAX):
            if not any([host.turn() for host in self.hosts.values()]):  # noqa: C419 - everybody has a turn
                return
        raise AssertionError(f"after {_TURNS_MAX} turns of every server there is still something to do")

    def commit(self) -> None:
        """The six turns in which what arrived at the leader is proposed, logged, committed, answered and applied."""
        leader, followers = self.leader, self.followers
        leader.turn()
        for follower in followers:
            follower.turn()
        leader.turn()
        for follower in followers:
            follower.turn()


def _host(me: PeerId, config: ZabConfig, links: Links) -> Host:
    disk = HeldDisk(forgets_logs=True)
    disk.mkdir(_DATA_DIR)
    disk.create(f"{_DATA_DIR}/{INITIALIZE}")
    store = FileStore(_DATA_DIR, fsync=False, disk=disk)
    server = Server(me, config, store.recover(), random.Random(me))
    return Host(server, store, links, StandingClock(), NoSnapshots(), tick_ms=100.0, observe=_ignore)
