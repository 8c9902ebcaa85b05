"""A coordinator's end of the stream to one host's agent: questions and answers, processes there, its clock."""

import itertools
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lab.cluster.agent_protocol import (
    CHANNELS,
    Answer,
    Done,
    Ended,
    Fetch,
    Fetched,
    Heard,
    Held,
    Kind,
    MakeFolder,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    Remove,
    Report,
    Request,
    Resident,
    Signal,
    Start,
    Started,
)
from lab.cluster.clocks import RemoteClock
from lab.cluster.errors import ClusterError
from lab.cluster.remote_child import RemoteChild
from lab.cluster.shuttle import Shuttle

ANSWER_TIMEOUT_S = 30.0
SAMPLES_AT_START = 16

A = TypeVar("A", bound=Answer)


class HostLink:
    """Call from one thread.  Raises ClusterError, naming the host, for what it refuses and once it is lost."""

    def __init__(self, name: str, stream: socket.socket, why_lost: Callable[[], str] = str) -> None:
        """Takes over the stream.  `why_lost` is asked, by another thread, for what is known of the stream's end."""
        self.name = name
        self.folder = Path()  # of the run, there
        self.key = b""  # the fingerprint of the key that it holds
        self.clock = RemoteClock()
        self._why_lost = why_lost
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()  # guards the next three and the clock
        self._lost = ""
        self._answers: dict[int, Answer] = {}
        self._children: dict[int, RemoteChild] = {}
        self._closed = False
        self._shuttle = Shuttle(name, stream, self._on_report, self._on_lost)
        self._shuttle.start()

    @property
    def lost(self) -> str:
        """Why nothing is to be expected of that host any more; empty as long as it is there."""
        return self._lost

    def prepare(self, *, data_dir: str = "", durable: bool = False, address: str = "", key_file: str = "") -> None:
        """Make the run's folder there, and take samples of its clock."""
        prepared = self.call(lambda n: Prepare(n, data_dir, durable, address, key_file), Prepared)
        self.folder, self.key = Path(prepared.folder), prepared.key
        for wanted in range(len(self.clock) + 1, len(self.clock) + 1 + SAMPLES_AT_START):
            self.send(Ping(time.monotonic_ns()))
            self._wait_for(lambda wanted=wanted: len(self.clock) >= wanted, ANSWER_TIMEOUT_S)  # type: ignore[misc]

    def start(self, kind: Kind, name: str, command: Sequence[str], first: bytes = b"") -> RemoteChild:
        """Start `python *command FD` there; `first`: see Start."""
        process = next(self._numbers)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(CHANNELS[kind])]
        child = RemoteChild(self, process, [ours for ours, _ in pairs], self.folder / f"{name}.log")
        with self._changed:
            self._children[process] = child
        self._shuttle.relay(process, [far for _, far in pairs])
        try:
            started = self.call(lambda n: Start(n, process, kind, name, list(command), first), Started)
        except BaseException:
            for ours in child.channels:
                ours.close()
            child.close()
            raise
        child.pid, child.port, child.fds = started.pid, started.port, started.fds
        return child

    def signal(self, process: int, number: signal.Signals) -> int:
        """Returns when it was sent, by this host's clock."""
        return self.clock.ours(self.call(lambda n: Signal(n, process, int(number)), Done).at_ns)

    def rss_bytes(self, process: int) -> int:
        return self.call(lambda n: Resident(n, process), Held).rss_bytes

    def fetch(self, path: str) -> bytes:
        """A whole file of the run's folder there."""
        pieces: list[bytes] = []
        while True:
            offset = sum(map(len, pieces))
            piece = self.call(lambda n, offset=offset: Fetch(n, path, offset), Fetched)  # type: ignore[misc]
            if not piece.data:
                return b"".join(pieces)
            pieces.append(piece.data)

    def remove(self, path: str) -> None:
        """A file or folder of the run's folder there, if it is there."""
        self.call(lambda n: Remove(n, path), Done)

    def make_folder(self, path: str, files: Sequence[str] = ()) -> None:
        """A private folder in the run's folder there, with these empty files."""
        self.call(lambda n: MakeFolder(n, path, list(files)), Done)

    def call(self, make: Callable[[int], Request], kind: type[A], timeout_s: float = ANSWER_TIMEOUT_S) -> A:
        """Ask, and wait for the answer."""
        number = next(self._numbers)
        self.send(make(number))
        self._wait_for(lambda: number in self._answers, timeout_s)
        with self._changed:
            answer = self._answers.pop(number)
        if isinstance(answer, Refused):
            raise ClusterError(f"{self.name}: {answer.reason}")
        assert isinstance(answer, kind), (answer, kind)
        return answer

    def send(self, request: Request) -> None:
        """To a host that is lost: nothing."""
        if not self._lost:
            self._shuttle.send(request)

    def forget(self, process: int) -> None:
        with self._changed:
            self._children.pop(process, None)
        if not self._lost:
            self._shuttle.end_relay(process)

    def close(self) -> None:
        """End everything there: its agent sees the end of the stream.  A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._shuttle.close()

    def _wait_for(self, done: Callable[[], bool], timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: done() or self._lost, timeout_s)
            if not done():
                raise ClusterError(self._lost or f"{self.name}: its agent has not answered for {timeout_s:g} s")

    # -- called by the shuttle's thread

    def _on_report(self, report: Report) -> None:
        with self._changed:
            match report:
                case Pong(sent_ns, at_ns):
                    self.clock.add(sent_ns, at_ns, time.monotonic_ns())
                case Ended(process, how):
                    child = self._children.pop(process, None)
                    if child is not None:
                        self._shuttle.end_relay_then(process, lambda: child.has_ended(how))
                case Heard():
                    raise AssertionError("the shuttle passes on what processes say")
                case _:
                    self._answers[report.number] = report
            self._changed.notify_all()

    def _on_lost(self, reason: str) -> None:
        with self._changed:
            self._lost = f"host {self.name} is lost: {self._why_lost() or reason}"
            for child in self._children.values():
                child.has_ended(self._lost)
            self._children.clear()
            self._changed.notify_all()
