"""Reading back what one server holds: `sync`, then every node (DESIGN 4: how foreign targets are verified)."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from lab.client.history import ReplicaState, Znode
from lab.targets.target import TargetError
from lab.targets.zookeeper import HOST, jute
from lab.targets.zookeeper.jute import KIND_BITS, JuteError
from lab.targets.zookeeper.replies import Reply, error_text, names_in, opened
from lab.targets.zookeeper.session import Session, State

TIMEOUT_S = 60.0
SESSION_TIMEOUT_MS = 30_000
RECEIVE_BYTES = 1 << 18
BATCH = 500  # requests in flight, below the number at which ZooKeeper throttles (globalOutstandingLimit)
OWN_NODES = "/zookeeper"  # ZooKeeper's own: quotas, configuration
NO_NODE = -101


def read_replica(server: int, role: str, port: int) -> ReplicaState:
    """What that server holds once it has applied all that the leader had committed when it was asked.

    Raises TargetError naming the server.
    """
    try:
        with socket.create_connection((HOST, port), TIMEOUT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asking = _Asking(connection)
            (synced,) = asking.ask([jute.sync])
            if synced.error:
                raise TargetError(f"zookeeper: server {server}: sync failed: {error_text(synced.error)}")
            nodes = dict(_walk(asking))
            asking.say_goodbye()
    except (OSError, JuteError) as error:
        raise TargetError(f"zookeeper: server {server} cannot be read back: {error}") from error
    return ReplicaState(server, role, asking.zxid, None, nodes, None, {})


def _walk(asking: "_Asking") -> Iterator[tuple[str, Znode]]:
    """Every node below the root, level by level."""
    level = [""]
    while level:
        below = []
        lists = asking.ask([partial(jute.get_children, path=path or "/") for path in level])
        for path, found in zip(level, lists, strict=True):
            names = [] if found.error == NO_NODE else names_in(_body(found))
            below += [child for name in names if (child := f"{path}/{name}") != OWN_NODES]
        answers = asking.ask([partial(jute.get_data, path=path) for path in below])
        for path, answer in zip(below, answers, strict=True):
            if answer.error != NO_NODE:
                _body(answer)
                assert answer.node is not None, answer
                yield path, answer.node
        level = below


def _body(reply: Reply) -> bytes:
    if reply.error:
        raise JuteError(f"request {reply.xid >> KIND_BITS} failed: {error_text(reply.error)}")
    return reply.body


class _Asking:
    """One blocking session: requests in batches, every reply opened."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._session = Session(SESSION_TIMEOUT_MS)
        self._next = 1
        self._deadline = time.monotonic() + TIMEOUT_S
        self.zxid = 0  # the greatest that was told
        connection.sendall(self._session.connect())
        while self._session.state is not State.ATTACHED:
            self._receive()

    def ask(self, makers: Sequence[Callable[[int], bytes]]) -> list[Reply]:
        """The replies, in order."""
        found: list[Reply] = []
        for begin in range(0, len(makers), BATCH):
            part = makers[begin : begin + BATCH]
            self._connection.sendall(b"".join(make(self._next + i) for i, make in enumerate(part)))
            self._session.sent(len(part))
            frame = b""
            while self._session.outstanding:
                frame += self._receive()
            answers = [opened(reply) for _, reply in jute.replies(frame)]
            cxids = [answer.xid >> KIND_BITS for answer in answers]
            if cxids != list(range(self._next, self._next + len(part))):
                raise JuteError(f"replies to {cxids[:9]}, asked for were {self._next} to {self._next + len(part) - 1}")
            self._next += len(part)
            self.zxid = max(self.zxid, *(answer.zxid for answer in answers))
            found += answers
        return found

    def say_goodbye(self) -> None:
        """Close the session, so that nobody has to wait for its end."""
        self._connection.sendall(jute.close_session(self._next))

    def _receive(self) -> bytes:
        if time.monotonic() > self._deadline:
            raise TimeoutError(f"not done within {TIMEOUT_S:g} s")
        data = self._connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("it hung up")
        return self._session.receive(data)[0]
