"""Links between simulated processes: frames wait in flight until the world delivers them (zab.md appendix A, Z-9)."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from lab.service.events import ClientDown, ClientId
from lab.service.host import ClientFrame, ClientUp, ElectionFrame, Inbound, LearnerFrame
from lab.zab.config import PeerId
from lab.zab.events import PeerDown, PeerUp, Session, SessionClosed

OnReply = Callable[[bytes | None], None]  # a frame for the client; None: the link has ended


class _Direction:
    """What travels from one end of a link to the other."""

    def __init__(self) -> None:
        self.election: deque[ElectionFrame] = deque()
        self.learner: deque[LearnerFrame | SessionClosed] = deque()
        self.ended: set[Session] = set()  # learner sessions that the receiving end knows to be over


class Ports:
    """The links of one process (`lab.service.host.Links`)."""

    def __init__(self, network: "Network", me: PeerId, incarnation: int) -> None:
        self.me = me
        self.incarnation = incarnation
        self.inbox: list[Inbound] = []
        self.clients: dict[ClientId, OnReply] = {}
        self._network = network
        self._last_client: ClientId = 0

    def receive(self) -> Sequence[Inbound]:
        arrived, self.inbox = self.inbox, []
        return arrived

    def notify(self, peer: PeerId, frame: bytes) -> None:
        direction = self._network.direction(self.me, peer)
        if direction is not None:
            direction.election.append(ElectionFrame(self.me, frame))

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        there, back = self._network.direction(self.me, peer), self._network.direction(peer, self.me)
        if there is not None and back is not None and session not in back.ended:
            there.learner.append(LearnerFrame(self.me, session, frame))

    def close_session(self, peer: PeerId, session: Session) -> None:
        there, back = self._network.direction(self.me, peer), self._network.direction(peer, self.me)
        if there is not None and back is not None and session not in back.ended:
            back.ended.add(session)
            there.learner.append(SessionClosed(self.me, session))

    def reply(self, client: ClientId, frame: bytes) -> None:
        if client in self.clients:
            self.clients[client](frame)

    def close_client(self, client: ClientId) -> None:
        on_reply = self.clients.pop(client, None)
        if on_reply is not None:
            on_reply(None)

    def flush(self) -> None: ...

    # -- the other end of a client's link

    def connect_client(self, on_reply: OnReply) -> ClientId:
        self._last_client += 1
        self.clients[self._last_client] = on_reply
        self.inbox.append(ClientUp(self._last_client))
        return self._last_client

    def client_frame(self, client: ClientId, frame: bytes) -> None:
        if client in self.clients:
            self.inbox.append(ClientFrame(client, frame))

    def end_clients(self) -> None:
        """The process died: every client's link has ended."""
        clients, self.clients = self.clients, {}
        for on_reply in clients.values():
            on_reply(None)

    def disconnect_client(self, client: ClientId) -> None:
        if self.clients.pop(client, None) is not None:
            self.inbox.append(ClientDown(client))


class Network:
    """Every live process is linked to every other one that the partition in force lets it reach."""

    def __init__(self) -> None:
        self._ports: dict[PeerId, Ports] = {}
        self._flying: dict[tuple[PeerId, PeerId], _Direction] = {}
        self._groups: tuple[frozenset[PeerId], ...] = ()  # empty: everybody reaches everybody

    # -- processes and partitions

    def join(self, me: PeerId, incarnation: int) -> Ports:
        """A process has started; an older one of this name that nobody knew to be dead is dead now."""
        self.leave(me)
        ports = self._ports[me] = Ports(self, me, incarnation)
        self._link_all()
        return ports

    def leave(self, me: PeerId) -> None:
        """The process is dead; its peers learn it at once, and what was still in flight is lost.

        Without this call only its silence tells them (DeathDetection.HEARTBEAT), until it joins again.
        """
        if me in self._ports:
            for peer in sorted(self._ports):
                self._unlink(me, peer)
            self._ports.pop(me).end_clients()

    def partition(self, groups: Iterable[Iterable[PeerId]]) -> None:
        """Cut the links between servers of different groups, both ways; a server in no group stands alone."""
        self._groups = tuple(frozenset(group) for group in groups)
        for a, b in sorted(self._flying):
            if a < b and not self._reach(a, b):
                self._unlink(a, b)
        self._link_all()

    def heal(self) -> None:
        self._groups = ()
        self._link_all()

    def _reach(self, a: PeerId, b: PeerId) -> bool:
        return not self._groups or any(a in group and b in group for group in self._groups)

    def _link_all(self) -> None:
        for a in sorted(self._ports):
            for b in sorted(self._ports):
                if a < b and (a, b) not in self._flying and self._reach(a, b):
                    self._flying[a, b], self._flying[b, a] = _Direction(), _Direction()
                    self._ports[a].inbox.append(PeerUp(b, self._ports[b].incarnation))
                    self._ports[b].inbox.append(PeerUp(a, self._ports[a].incarnation))

    def _unlink(self, a: PeerId, b: PeerId) -> None:
        if self._flying.pop((a, b), None) is not None:
            del self._flying[b, a]
            self._ports[a].inbox.append(PeerDown(b, self._ports[b].incarnation))
            self._ports[b].inbox.append(PeerDown(a, self._ports[a].incarnation))

    # -- frames in flight

    def direction(self, source: PeerId, target: PeerId) -> _Direction | None:
        return self._flying.get((source, target))

    def ways(self) -> list[tuple[PeerId, PeerId]]:
        """(source, target) of every direction in which something flies."""
        return [way for way in sorted(self._flying) if self._flying[way].election or self._flying[way].learner]

    def deliver(self, source: PeerId, target: PeerId, *, election: int = 1 << 30, learner: int = 1 << 30) -> int:
        """Hand over up to so many frames of each channel, oldest first; returns how many it were."""
        direction = self._flying.get((source, target))
        if direction is None:
            return 0
        inbox, count = self._ports[target].inbox, 0
        for _ in range(min(election, len(direction.election))):
            inbox.append(direction.election.popleft())
            count += 1
        for _ in range(min(learner, len(direction.learner))):
            frame = direction.learner.popleft()
            count += 1
            if frame.session in direction.ended:
                continue
            if isinstance(frame, SessionClosed):
                direction.ended.add(frame.session)
            inbox.append(frame)
        return count
