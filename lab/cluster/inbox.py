"""What servers say and how processes end, gathered whenever the supervisor waits; there is no thread behind it."""

import selectors
from collections import deque

import msgspec

from lab.cluster.endpoints import Server
from lab.cluster.errors import ClusterError
from lab.cluster.wiring import Endpoint
from lab.node.control import Inspected, Status, Transition, decode_answer

TRANSITIONS_MAX = 100_000  # reports that nobody has taken; the oldest go first


class Inbox:
    """Reads the control sockets of servers and watches the ends of all processes."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.transitions: deque[tuple[int, Transition]] = deque(maxlen=TRANSITIONS_MAX)
        self.answers: dict[int, Status | Inspected] = {}  # by number of the question

    def add(self, process: Endpoint) -> None:
        self._selector.register(process.life_fd, selectors.EVENT_READ, process)
        if isinstance(process, Server):
            self._selector.register(process.control.fileno(), selectors.EVENT_READ, process)

    def remove(self, process: Endpoint) -> None:
        """Take what the process still said, and look at it no more.  Its descriptors must still be open."""
        watched = self._selector.get_map()
        if isinstance(process, Server) and process.control.fileno() in watched:
            self._read(process)
        for fd in (process.life_fd, process.control.fileno()):
            if fd in watched:
                self._selector.unregister(fd)

    def pump(self, timeout_s: float) -> list[Endpoint]:
        """Wait until a process says something or ends, and take it in; returns those that ended, already removed."""
        ended: list[Endpoint] = []
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            process = key.data
            if key.fd == process.life_fd:
                ended.append(process)
            elif key.fd in self._selector.get_map():
                self._read(process)
        for process in ended:
            self.remove(process)
        return ended

    def _read(self, server: Server) -> None:
        while True:
            try:
                datagram = server.control.receive()
            except BlockingIOError:
                return
            if datagram is None:  # it is ending, which its pidfd will tell
                self._selector.unregister(server.control.fileno())
                return
            try:
                answer = decode_answer(datagram[0])
            except msgspec.MsgspecError as error:
                raise ClusterError(f"{server.name} sent a malformed control record: {error}") from error
            if not isinstance(answer, Inspected):
                answer = msgspec.structs.replace(answer, at_ns=server.ours(answer.at_ns))
            if isinstance(answer, Transition):
                self.transitions.append((server.number, answer))
                if answer.what == "entered":
                    server.entered = answer
            else:
                self.answers[answer.number] = answer

    def close(self) -> None:
        self._selector.close()
