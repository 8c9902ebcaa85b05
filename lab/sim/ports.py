"""The links of one simulated process, as its host sees them: those to clients, and what every kind of network adds."""

from collections.abc import Callable, Sequence
from math import inf

from lab.service.events import ClientDown, ClientId
from lab.service.host import ClientFrame, ClientUp, Inbound
from lab.zab.config import PeerId
from lab.zab.events import Session

OnReply = Callable[[bytes | None], None]  # a frame for the client; None: the link has ended


class Ports:
    """`lab.service.host.Links`; those to clients are ideal whatever the network between servers is."""

    def __init__(self, me: PeerId, incarnation: int) -> None:
        self.me = me
        self.incarnation = incarnation
        self.inbox: list[Inbound] = []
        self.clients: dict[ClientId, OnReply] = {}
        self._last_client: ClientId = 0

    # -- links to servers

    def receive(self) -> Sequence[Inbound]:
        raise NotImplementedError

    def notify(self, peer: PeerId, frame: bytes) -> None:
        raise NotImplementedError

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        raise NotImplementedError

    def close_session(self, peer: PeerId, session: Session) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def wants_turn(self) -> bool:
        """Whether `receive` or `flush` would find something to do."""
        return bool(self.inbox)

    def deadline_ms(self) -> float:
        """When, by the server's clock, that is so even if nothing arrives."""
        return inf

    # -- links to clients

    def reply(self, client: ClientId, frame: bytes) -> None:
        if client in self.clients:
            self.clients[client](frame)

    def close_client(self, client: ClientId) -> None:
        on_reply = self.clients.pop(client, None)
        if on_reply is not None:
            on_reply(None)

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
