"""A simulated client: one session, its requests and what came of them."""

from collections import deque
from collections.abc import Callable
from enum import Enum

import msgspec

from lab.service.events import ClientId
from lab.service.requests import (
    Closed,
    Connect,
    Connected,
    Failed,
    MultiFailed,
    Reply,
    Request,
    decode_replies,
    encode_frame,
)
from lab.sim.errors import InvariantError
from lab.sim.ports import Ports
from lab.zab.zxid import Zxid, show


class Outcome(Enum):
    """As far as the client knows (style: definite or unknown)."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Operation:
    """One request and its outcome."""

    def __init__(self, session: int, request: Request, floor: Zxid) -> None:
        self.session = session
        self.request = request
        self.floor = floor  # greatest zxid acknowledged to anybody when this was sent: a write's must be above it
        self.outcome = Outcome.PENDING
        self.reply: Reply | None = None
        self.answered = 0  # how many replies anybody had got when this one's came

    @property
    def zxid(self) -> Zxid:
        """Of the reply, which must be there."""
        assert self.reply is not None
        return self.reply.zxid  # type: ignore[union-attr]


class Acknowledged(msgspec.Struct):
    """What all clients together know to be done."""

    zxid: Zxid = 0
    replies: int = 0


class Client:
    """Sends requests in its session and keeps every operation; the world tells it when to attach itself anew."""

    def __init__(self, session: int, acknowledged: Acknowledged) -> None:
        self.session = session
        self.operations: list[Operation] = []
        self.ready = False  # the session is attached
        self.watch: Callable[[Connected | Closed | Operation], None] | None = None  # sees what comes of everything
        self._acknowledged = acknowledged
        self._pending: deque[Operation] = deque()
        self._attachment = 0
        self._cxid = 0
        self._last_zxid: Zxid = 0
        self._ports: Ports | None = None
        self._id: ClientId = 0

    @property
    def attached(self) -> bool:
        """Whether there is a link, over which the session is or is being attached."""
        return self._ports is not None

    @property
    def pending(self) -> int:
        return len(self._pending)

    def next_cxid(self) -> int:
        self._cxid += 1
        return self._cxid

    def attach(self, ports: Ports) -> None:
        """Open a link to this server and ask to attach the session; an earlier link ends."""
        self.detach()
        self._attachment += 1
        self._ports, attachment = ports, self._attachment
        self._id = ports.connect_client(lambda frame: self._on_frame(frame, attachment))
        self._send([Connect(self.session, attachment, self._last_zxid)])

    def detach(self) -> None:
        """End the link; what is pending stays unknown."""
        if self._ports is not None:
            self._ports.disconnect_client(self._id)
            self._end()

    def submit(self, *requests: Request) -> None:
        """Send requests in one frame."""
        assert self._ports is not None, "no link"
        for request in requests:
            operation = Operation(self.session, request, self._acknowledged.zxid)
            self.operations.append(operation)
            self._pending.append(operation)
        self._send(list(requests))

    def _send(self, requests: list[Request]) -> None:
        assert self._ports is not None
        self._ports.client_frame(self._id, encode_frame(requests))

    def _end(self) -> None:
        self._ports, self.ready = None, False
        pending, self._pending = self._pending, deque()
        for operation in pending:
            operation.outcome = Outcome.UNKNOWN
            self._show(operation)

    def _on_frame(self, frame: bytes | None, attachment: int) -> None:
        if attachment != self._attachment or self._ports is None:
            return  # of an earlier link
        if frame is None:
            self._end()
            return
        for reply in decode_replies(frame):
            self._on_reply(reply)

    def _on_reply(self, reply: Reply) -> None:
        match reply:
            case Connected():
                self.ready = True
                self._see(reply.zxid)
                self._show(reply)
            case Closed():
                self._show(reply)
                self.detach()
            case _:
                operation = self._pending.popleft()
                assert not isinstance(operation.request, Connect)
                if operation.request.cxid != reply.cxid:
                    raise InvariantError("INV-22", f"session {self.session}: {reply} answers {operation.request}")
                operation.reply = reply
                self._acknowledged.replies += 1
                operation.answered = self._acknowledged.replies
                operation.outcome = Outcome.FAILED if isinstance(reply, Failed | MultiFailed) else Outcome.ACKNOWLEDGED
                self._see(reply.zxid)
                self._show(operation)

    def _show(self, event: Connected | Closed | Operation) -> None:
        if self.watch is not None:
            self.watch(event)

    def _see(self, zxid: Zxid) -> None:
        if zxid < self._last_zxid:
            raise InvariantError(
                "INV-23", f"session {self.session} goes back from {show(self._last_zxid)} to {show(zxid)}"
            )
        self._last_zxid = zxid
        self._acknowledged.zxid = max(self._acknowledged.zxid, zxid)
