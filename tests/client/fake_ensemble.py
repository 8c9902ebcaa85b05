"""Servers without Zab: one thread answers every request at once, over real shared-memory links.

All of them share one tree, so what one acknowledged every other one shows.  Faults: a server can die, freeze, refuse or
close sessions, answer nonsense, or have its link to a client cut.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from lab.client.history import ReplicaState, Znode
from lab.node.control import Attach, Detach, Welcome, encode_control
from lab.service.requests import (
    Children,
    Closed,
    Connect,
    Connected,
    Create,
    Data,
    Delete,
    Done,
    ErrorCode,
    Exists,
    Failed,
    GetChildren,
    GetData,
    Reply,
    Request,
    SetData,
    Stat,
    StatReply,
    Sync,
    decode_requests,
    encode_frame,
)
from lab.targets.target import Connector
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.shm import CLIENT_CHANNELS, ShmLink, create_link_memory
from lab.transport.waiter import Waiter

QUEUE_BYTES_MAX = 64 << 20


class ClientSide:
    """What the ensemble knows of one client process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.control, self.its_control = ControlSocket.pair()
        self.bell = Bell.create()
        self.life, self.its_life = os.pipe()

    def close(self) -> None:
        self.control.close()
        self.bell.close()
        os.close(self.life)
        if self.its_life >= 0:
            os.close(self.its_life)


class ServerLink:
    def __init__(self, server: int, client: ClientSide, memory: int) -> None:
        self.server, self.client = server, client
        self.shm = ShmLink(memory, CLIENT_CHANNELS, 0, client.bell, queue_bytes_max=QUEUE_BYTES_MAX)
        (self.channel,) = self.shm.channels
        self.life, self.its_life = os.pipe()
        self.attachment: Connect | None = None
        self.is_dead = False

    def close(self) -> None:
        self.shm.close()
        for fd in (self.life, self.its_life):
            if fd >= 0:
                os.close(fd)
        self.life = self.its_life = -1


class FakeEnsemble:
    def __init__(self, servers: int = 3, epoch: int = 1) -> None:
        self.servers = list(range(1, servers + 1))
        self.zxid = epoch << 32
        self.nodes: dict[str, Znode] = {}
        self.frozen: set[int] = set()
        self.refusing: set[int] = set()
        self.connects: list[tuple[int, Connect]] = []
        self.log: list[tuple[int, str]] = []  # (server, kind of request)
        self.on_request: Callable[[int, Request], Reply | None] | None = None  # may give an answer of its own
        self._lock = threading.RLock()
        self._bell = Bell.create()
        self._waiter = Waiter(self._bell)
        self._clients: list[ClientSide] = []
        self._links: list[ServerLink] = []
        self._dead: list[ServerLink] = []
        self._ends = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="fake ensemble")
        self._thread.start()

    # -- what a test does

    def connector(self, client: int, servers: Sequence[int]) -> Connector:
        """As an own target's: the descriptor belongs to the caller."""
        with self._lock:
            side = ClientSide(client)
            self._clients.append(side)
            welcome = Welcome(client, 7, [(server, "voter") for server in self.servers])
            side.control.send(encode_control(welcome), (side.bell.event_fd, side.bell.page_fd, side.its_life))
            os.close(side.its_life)
            side.its_life = -1
            for server in self.servers:
                self._join(server, side)
            fd = os.dup(side.its_control.fileno())
            side.its_control.close()
        text = msgspec.json.encode({"client": client, "fd": fd, "servers": list(servers)}).decode()
        return Connector(text, (fd,))

    def kill(self, server: int) -> None:
        """As by SIGKILL: what was published stays readable, the life ends."""
        with self._lock:
            for link in self._of(server):
                link.is_dead = True
                self._links.remove(link)
                self._dead.append(link)
                os.close(link.its_life)
                link.its_life = -1

    def exit(self, server: int) -> None:
        """As by itself: its links are closed, and the life ends."""
        with self._lock:
            links = self._of(server)
            self.kill(server)
            for link in links:
                link.shm.close()

    def restart(self, server: int) -> None:
        with self._lock:
            for client in self._clients:
                self._join(server, client)

    def cut(self, server: int) -> None:
        with self._lock:
            for link in self._of(server):
                link.client.control.send(encode_control(Detach("server", server)))
                self._links.remove(link)
                link.close()

    def close_sessions(self, server: int, reason: str = "no quorum") -> None:
        with self._lock:
            for link in self._of(server):
                if link.attachment is not None:
                    self._reply(link, [Closed(link.attachment.session, reason, link.attachment.attachment)])
                    link.attachment = None
                    link.channel.flush()

    def freeze(self, server: int) -> None:
        with self._lock:
            self.frozen.add(server)

    def thaw(self, server: int) -> None:
        with self._lock:
            self.frozen.discard(server)
        self._bell.ring()

    def new_epoch(self) -> None:
        with self._lock:
            self.zxid = ((self.zxid >> 32) + 1) << 32

    def say(self, server: int, *replies: Reply) -> None:
        """Send something that nobody asked for."""
        with self._lock:
            for link in self._of(server):
                self._reply(link, list(replies))
                link.channel.flush()

    def wait_for(self, holds: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            if self._error is not None:
                raise AssertionError("the fake ensemble failed") from self._error
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.001)

    def replicas(self) -> list[ReplicaState]:
        with self._lock:
            log = [(1 << 32, self.zxid)]
            return [ReplicaState(s, "follower", self.zxid, 1, dict(self.nodes), log, {}) for s in self.servers]

    def close(self) -> None:
        self._ends = True
        self._bell.ring()
        self._thread.join()
        for link in self._links + self._dead:
            link.close()
        for client in self._clients:
            client.close()
        self._waiter.close()
        self._bell.close()
        if self._error is not None:
            raise AssertionError("the fake ensemble failed") from self._error

    def __enter__(self) -> "FakeEnsemble":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the thread

    def _of(self, server: int) -> list[ServerLink]:
        return [link for link in self._links if link.server == server]

    def _join(self, server: int, client: ClientSide) -> None:
        memory = create_link_memory(CLIENT_CHANNELS)
        link = ServerLink(server, client, memory)
        attach = Attach("server", server, 9, 1)
        fds = (memory, self._bell.event_fd, self._bell.page_fd, link.life)
        client.control.send(encode_control(attach), fds)
        os.close(memory)
        self._links.append(link)

    def _serve(self) -> None:
        try:
            while not self._ends:
                if not self._turn():
                    self._waiter.wait(100, self._has_input)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self._error = error

    def _has_input(self) -> bool:
        with self._lock:
            return any(link.channel.has_input() for link in self._links if link.server not in self.frozen)

    def _turn(self) -> bool:
        busy = False
        with self._lock:
            for link in list(self._links):
                if link.server in self.frozen:
                    continue
                for frame in link.channel.receive():
                    busy = True
                    self._on_frame(link, frame)
                if not link.is_dead:
                    link.channel.flush()
        return busy

    def _on_frame(self, link: ServerLink, frame: bytes) -> None:
        requests = decode_requests(frame)
        if isinstance(requests[0], Connect):
            self._connect(link, requests.pop(0))
        if link.attachment is not None and requests:
            replies = [self._answer(link.server, request) for request in requests]
            self._reply(link, replies)

    def _connect(self, link: ServerLink, connect: Connect) -> None:
        self.connects.append((link.server, connect))
        if link.server in self.refusing:
            link.attachment = None
            self._reply(link, [Closed(connect.session, "this server does not serve", connect.attachment)])
        else:
            link.attachment = connect
            self.zxid += 1
            self._reply(link, [Connected(connect.session, self.zxid, connect.attachment)])

    def _reply(self, link: ServerLink, replies: list[Reply]) -> None:
        if not link.is_dead:
            assert link.channel.send(encode_frame(replies))

    def _answer(self, server: int, request: Request) -> Reply:
        if self.on_request is not None and (own := self.on_request(server, request)) is not None:
            return own
        self.log.append((server, type(request).__name__))
        if isinstance(request, Sync):
            return Done(request.cxid, self.zxid, 0)
        node = self.nodes.get(request.path)
        match request:
            case GetChildren(cxid, path):
                names = sorted(p.rpartition("/")[2] for p in self.nodes if p.rpartition("/")[0] == path.rstrip("/"))
                return Children(cxid, self.zxid, names)
            case Create(cxid, path, data):
                self.zxid += 1
                if node is not None:
                    return Failed(cxid, self.zxid, ErrorCode.NODE_EXISTS)
                self.nodes[path] = Znode(self.zxid, self.zxid, 0, data)
                return Done(cxid, self.zxid, 0)
        if node is None:
            self.zxid += not isinstance(request, GetData | Exists)
            return Failed(request.cxid, self.zxid, ErrorCode.NO_NODE)
        match request:
            case GetData(cxid):
                return Data(cxid, self.zxid, node.mzxid, node.version, node.data)
            case Exists(cxid):
                return StatReply(cxid, self.zxid, Stat(node.czxid, node.mzxid, 0, node.version, 0, len(node.data), 0))
            case SetData(cxid, path, data, version):
                self.zxid += 1
                if version not in (-1, node.version):
                    return Failed(cxid, self.zxid, ErrorCode.BAD_VERSION)
                self.nodes[path] = Znode(node.czxid, self.zxid, node.version + 1, data)
                return Done(cxid, self.zxid, node.version + 1)
            case Delete(cxid, path):
                self.zxid += 1
                del self.nodes[path]
                return Done(cxid, self.zxid, node.version)
        raise AssertionError(request)
