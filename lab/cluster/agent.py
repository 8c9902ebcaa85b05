"""`python -m lab.cluster.agent FD`: does on another host what a supervisor does on its own.

It decides nothing.  Its coordinator, at the other end of the stream FD, says which process to start, what to tell it
and when to end it; the agent makes the run's folder, starts the janitor, lends bells and sockets, and passes on what
processes say and how they end.  A process of its own, because the kernel's death signal follows the thread that started
a child (DESIGN 3): here that is the main thread.  EOF, or silence for LEASE_S, ends everything.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab.cluster.agent_child import AgentChild
from lab.cluster.agent_protocol import (
    LEASE_S,
    PIECE_BYTES,
    Answer,
    Done,
    Ended,
    Fetch,
    Fetched,
    Forward,
    HangUp,
    Heard,
    Held,
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
    Unframer,
    decode_request,
    frame,
)
from lab.cluster.cleanup import remove_tree
from lab.cluster.errors import ClusterError
from lab.cluster.host_key import HostKey
from lab.cluster.janitor_process import Janitor
from lab.cluster.run_folder import RunFolder, refuse_volatile

READ_BYTES = 1 << 18
SEND_TIMEOUT_S = 20.0  # for the coordinator to take what is said to it
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Agent:
    """One run's processes on this host."""

    def __init__(self, stream: socket.socket) -> None:
        """Takes over the stream to the coordinator."""
        stream.settimeout(SEND_TIMEOUT_S)
        self._stream = stream
        self._frames = Unframer()
        self._selector = selectors.DefaultSelector()
        self._selector.register(stream, selectors.EVENT_READ)
        self._children: dict[int, AgentChild] = {}
        self._folder: RunFolder | None = None
        self._janitor: Janitor | None = None
        self._key = HostKey("", "")
        self._heard_at = time.monotonic()

    def run(self) -> None:
        """Returns once the coordinator is gone; then everything has been ended and removed."""
        try:
            while self._turn():
                pass
        finally:
            self.close()

    def close(self) -> None:
        for child in self._children.values():
            child.close()
        self._selector.close()
        self._stream.close()
        if self._janitor is not None:
            self._janitor.finish()  # ends every process by its pid, then removes the folder
        elif self._folder is not None:
            self._folder.remove()

    def _turn(self) -> bool:
        left_s = self._heard_at + LEASE_S - time.monotonic()
        if left_s < 0.0:
            return False
        for key, ready in self._selector.select(left_s):
            if key.fileobj is self._stream:
                if not self._read_stream():
                    return False
            elif self._is_watched(key):
                child, channel = key.data
                if ready & selectors.EVENT_WRITE and child.flush(channel):
                    self._selector.modify(key.fd, selectors.EVENT_READ, key.data)
                if ready & selectors.EVENT_READ:
                    self._read_child(child, channel)
        return True

    def _is_watched(self, key: selectors.SelectorKey) -> bool:
        """False if what came before in this turn closed it; a process started since may have the number."""
        now = self._selector.get_map().get(key.fd)
        return now is not None and now.data == key.data

    # -- the coordinator

    def _read_stream(self) -> bool:
        data = self._stream.recv(READ_BYTES)
        if not data:
            return False
        self._heard_at = time.monotonic()
        for body in self._frames.feed(data):
            self._carry_out(decode_request(body))
        return True

    def _say(self, report: Report) -> None:
        self._stream.sendall(frame(report))

    def _carry_out(self, request: Request) -> None:
        match request:
            case Forward(process, channel, data):
                if process in self._children:
                    self._tell(self._children[process], channel, data)
            case HangUp(process, channel):
                if process in self._children:
                    self._forget_channel(self._children[process], channel)
            case Ping(sent_ns):
                self._say(Pong(sent_ns, time.monotonic_ns()))
            case _:
                try:
                    self._say(self._answer(request))
                except ClusterError as error:
                    self._say(Refused(request.number, str(error)))
                except OSError as error:
                    self._say(Refused(request.number, f"{type(request).__name__}: {error}"))

    def _answer(self, request: Prepare | Start | Signal | Fetch | Remove | MakeFolder | Resident) -> Answer:
        """Raises ClusterError or OSError if it cannot be done."""
        number = request.number
        match request:
            case Prepare():
                return self._prepare(request)
            case Start():
                return self._start(request)
            case Signal(_, process, signum):
                at_ns = time.monotonic_ns()
                if process in self._children:
                    self._children[process].strike(signal.Signals(signum))
                return Done(number, at_ns)
            case Fetch(_, path, offset):
                with self._inside(path).open("rb") as file:
                    file.seek(offset)
                    return Fetched(number, file.read(PIECE_BYTES))
            case Remove(_, path):
                where = self._inside(path)
                if where.is_file():
                    where.unlink()
                elif left := remove_tree(os.fsencode(where)):
                    raise ClusterError("; ".join(left))
                return Done(number)
            case MakeFolder(_, path, files):
                folder = self._inside(path)
                folder.mkdir(mode=0o700, parents=True)
                for name in files:
                    (folder / name).touch(mode=0o600)
                return Done(number)
            case Resident(_, process):
                return Held(number, self._rss_bytes(process))

    def _prepare(self, asked: Prepare) -> Prepared:
        if self._folder is not None:
            raise ClusterError("this agent has a run already")
        self._key = HostKey(asked.address, asked.key_file)  # first: a key that is no good leaves nothing behind
        self._folder = folder = RunFolder(Path(asked.data_dir) if asked.data_dir else None)
        if asked.durable:
            refuse_volatile(folder.path)
        self._janitor = Janitor(folder)
        return Prepared(asked.number, str(folder.path), os.getpid(), self._key.fingerprint)

    def _start(self, asked: Start) -> Started:
        assert self._folder is not None, "Prepare comes first"
        assert self._janitor is not None, "Prepare comes first"
        child = AgentChild(asked, self._folder.log_file(asked.name), self._key)
        self._children[asked.process] = child
        try:
            self._janitor.owns_process(child.pid)
            child.introduce(asked.first)
        except BaseException:
            del self._children[asked.process]
            child.strike(signal.SIGKILL)
            child.close()
            raise
        self._selector.register(child.life_fd, selectors.EVENT_READ, (child, -1))
        for index, channel in enumerate(child.channels):
            self._selector.register(channel.fileno(), selectors.EVENT_READ, (child, index))
        return Started(asked.number, child.pid, child.port, child.fds)

    def _inside(self, path: str) -> Path:
        """A path in the run's folder; nothing else is the coordinator's to touch."""
        assert self._folder is not None, "Prepare comes first"
        whole = Path(os.path.normpath(self._folder.path / path))
        if self._folder.path not in whole.parents:
            raise ClusterError(f"{path}: not in the run's folder")
        return whole

    def _rss_bytes(self, process: int) -> int:
        try:
            return int(Path(f"/proc/{self._children[process].pid}/statm").read_text().split()[1]) * PAGE_BYTES
        except (KeyError, FileNotFoundError, ProcessLookupError):
            return 0

    # -- the processes

    def _read_child(self, child: AgentChild, channel: int) -> None:
        """What it says; at its end, first what it still said.  `channel` -1: its life."""
        for index in range(len(child.channels)) if channel < 0 else (channel,):
            for data in child.hear(index):
                self._say(Heard(child.process, index, data))
        if channel < 0:
            how = child.how_it_ended()
            for index in range(len(child.channels)):
                self._forget_channel(child, index)
            self._selector.unregister(child.life_fd)
            del self._children[child.process]
            child.close()
            self._say(Ended(child.process, how))
        elif child.has_hung_up(channel):
            self._selector.unregister(child.channels[channel].fileno())

    def _tell(self, child: AgentChild, channel: int, data: bytes) -> None:
        if child.has_hung_up(channel):
            return
        if not child.tell(channel, data):
            raise ClusterError(f"process {child.pid} reads nothing of what it is told: this agent gives up")
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        if not child.flush(channel):
            self._selector.modify(child.channels[channel].fileno(), both, (child, channel))

    def _forget_channel(self, child: AgentChild, channel: int) -> None:
        fd = child.channels[channel].fileno()
        if fd >= 0 and fd in self._selector.get_map():
            self._selector.unregister(fd)
        child.hang_up(channel)


def main(arguments: Sequence[str]) -> int:
    for deaf_to in (signal.SIGINT, signal.SIGHUP):  # a Ctrl-C where the Dask worker runs is the worker's to handle
        signal.signal(deaf_to, lambda *_: None)  # not SIG_IGN, which children inherit
    stream = socket.socket(fileno=int(arguments[0]))
    stream.set_inheritable(False)
    try:
        Agent(stream).run()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the coordinator was gone before the agent read that
    except (ClusterError, OSError, ValueError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"lab.cluster.agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
