"""A server that answers every request at once: no peers, no log, no Zab.  What remains is what load and links cost.

`python -m lab.node.null FD` speaks the control protocol of a server, and its clients' protocol, on the same links.  It
keeps the nodes in one dict, so that what clients saw can be verified as in any trial.
"""

import socket
import sys
import time

from lab.node.lifeline import die_with_parent

if __name__ == "__main__":
    try:
        die_with_parent(None)  # first, as in lab.node.__main__
    except OSError as error:
        sys.exit(f"lab.node.null: {error}")

from lab.node.allocator import keep_freed_memory, stop_collecting
from lab.node.config import NodeConfig
from lab.node.control import (
    Answer,
    Attach,
    Command,
    Detach,
    GetStatus,
    Inspect,
    Inspected,
    Phase,
    Reshape,
    ServerState,
    Status,
    Transition,
    encode_control,
)
from lab.node.errors import NodeError
from lab.node.inspect import ReplicaState, write_whole_state
from lab.node.linking import open_links
from lab.node.links import NodeLinks
from lab.node.main import main, place
from lab.node.node import LOOK_EVERY_TURNS, decode
from lab.service.events import ClientId
from lab.service.host import ClientFrame
from lab.service.requests import (
    Connect,
    Connected,
    Create,
    Data,
    Done,
    ErrorCode,
    Failed,
    GetData,
    Reply,
    Request,
    SetData,
    Sync,
    decode_requests,
    encode_frame,
)
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.waiter import SLEEP_MS_MAX, Waiter
from lab.zab.messages import MalformedError
from lab.zab.zxid import Zxid, make_zxid

EPOCH = 1


class NullNodes:
    """The nodes, and the answers; every write gets the next zxid."""

    def __init__(self) -> None:
        self.zxid: Zxid = make_zxid(EPOCH, 0)
        self.nodes: dict[str, tuple[Zxid, Zxid, int, bytes]] = {}  # czxid, mzxid, version, data

    def answer(self, requests: list[Request]) -> list[Reply]:
        """Of requests that attach no session."""
        nodes, replies, zxid = self.nodes, list[Reply](), self.zxid
        for request in requests:
            if type(request) is SetData and request.path in nodes:
                zxid += 1
                czxid, _, version, _ = nodes[request.path]
                nodes[request.path] = czxid, zxid, version + 1, request.data
                replies.append(Done(request.cxid, zxid, version + 1))
            elif type(request) is GetData and request.path in nodes:
                _, mzxid, version, data = nodes[request.path]
                replies.append(Data(request.cxid, zxid, mzxid, version, data))
            elif type(request) is Create:
                zxid += 1
                nodes[request.path] = zxid, zxid, 0, request.data
                replies.append(Done(request.cxid, zxid, 0))
            elif type(request) is Sync:
                replies.append(Done(request.cxid, zxid, 0))
            elif type(request) is SetData or type(request) is GetData:
                replies.append(Failed(request.cxid, zxid, ErrorCode.NO_NODE))
            elif not isinstance(request, Connect):
                replies.append(Failed(request.cxid, zxid, ErrorCode.UNIMPLEMENTED))
        self.zxid = zxid
        return replies


class NullServer:
    """The loop of such a server; `run` returns when the supervisor is gone."""

    def __init__(self, config: NodeConfig, control: ControlSocket, links: NodeLinks, waiter: Waiter) -> None:
        """Everything given stays the caller's."""
        self._config, self._control, self._links, self._waiter = config, control, links, waiter
        self._nodes = NullNodes()
        self._running = True

    def run(self) -> None:
        """Serve until EOF on the control socket.  Raises NodeError for a command that makes no sense."""
        control_fd, waiter, links = self._control.fileno(), self._waiter, self._links
        self._control.set_blocking(False)
        waiter.add(control_fd)
        me, state, phase = self._config.me, ServerState.LEADING, Phase.BROADCAST
        self._answer(Transition(time.monotonic_ns(), "entered", state, phase, EPOCH, me))
        turns = 0
        while self._running:
            for item in links.receive():
                if isinstance(item, ClientFrame):
                    self._serve(item.client, item.data)
            links.flush()
            turns += 1
            more = links.has_input()
            if more and turns % LOOK_EVERY_TURNS:
                continue
            ready = waiter.wait(0.0 if more else SLEEP_MS_MAX, links.has_input)
            for fd in ready:
                if fd != control_fd:
                    links.on_ready(fd)
            if control_fd in ready:
                self._obey()

    def _serve(self, client: ClientId, frame: bytes) -> None:
        try:
            requests = decode_requests(frame)
        except MalformedError:
            self._links.close_client(client)
            return
        if requests and type(first := requests[0]) is Connect:
            connected = Connected(first.session, self._nodes.zxid, first.attachment)
            self._links.reply(client, encode_frame([connected]))
        if replies := self._nodes.answer(requests):
            self._links.reply(client, encode_frame(replies))

    def _obey(self) -> None:
        while self._running:
            try:
                received = self._control.receive()
            except BlockingIOError:
                return
            if received is None:
                self._running = False
                return
            self._carry_out(*decode(*received))

    def _carry_out(self, command: Command, fds: list[int]) -> None:
        match command:
            case Attach():
                self._links.attach(command, fds)
            case Detach():
                self._links.detach(command)
            case Reshape():
                self._links.reshape(command)
            case GetStatus(number):
                self._answer(self._status(number))
            case Inspect(number, path, _):
                write_whole_state(path, ReplicaState(
                    server=self._config.me, role="leader", applied_zxid=self._nodes.zxid, digest=None,
                    nodes=self._nodes.nodes, log=None, took_effect={},
                ))  # fmt: skip
                self._answer(Inspected(number))
            case _:
                raise NodeError(f"{type(command).__name__}: a null server does not know that")

    def _status(self, number: int) -> Status:
        zxid, links = self._nodes.zxid, self._links
        return Status(
            number=number, at_ns=time.monotonic_ns(), state=ServerState.LEADING, phase=Phase.BROADCAST,
            leader=self._config.me, last_zxid=zxid, applied_zxid=zxid, bytes_sent=links.bytes_sent,
            frames_sent=links.frames_sent, txns_committed=0, cpu_ns=time.process_time_ns(), network=links.network(),
        )  # fmt: skip

    def _answer(self, answer: Answer) -> None:
        try:
            self._control.send(encode_control(answer))
        except (BrokenPipeError, ConnectionResetError):
            self._running = False  # as in lab.node.node


def serve_null(config: NodeConfig, control: ControlSocket, bell: Bell, bound: socket.socket | None) -> None:
    place(config)
    keep_freed_memory()
    waiter, links = open_links(config, bell, bound)
    try:
        stop_collecting()
        NullServer(config, control, links, waiter).run()
    finally:
        links.close()
        waiter.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], serve_null))
