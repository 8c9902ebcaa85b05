"""Server processes and what a supervisor holds of them, all ended and closed after the test."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.node.config import Durability, NodeConfig
from lab.node.control import Answer, Attach, Command, Configure, decode_answer, encode_control
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.pidfd import open_pidfd
from lab.transport.shm import PEER_CHANNELS, create_link_memory
from lab.zab.config import ZabConfig

DEADLINE_S = 30.0


class ServerProcess:
    """One `python -m lab.node`, commanded as its supervisor would."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.control, theirs = ControlSocket.pair()
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "lab.node", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stderr=output,
            )
        theirs.close()
        self.pidfd = open_pidfd(self.popen.pid)
        self.bell = Bell.create()
        self.config: NodeConfig | None = None

    def configure(self, config: NodeConfig) -> None:
        self.config = config
        self.send(Configure(config), (self.bell.event_fd, self.bell.page_fd))

    def send(self, command: Command, fds: tuple[int, ...] = ()) -> None:
        self.control.send(encode_control(command), fds)

    def answer(self, wanted: Callable[[Answer], bool]) -> Answer:
        """The next answer that `wanted` accepts; others are dropped."""
        deadline = time.monotonic() + DEADLINE_S
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
            received = self.control.receive()
            assert received is not None, f"the server ended: {self.end()} {self.log.read_text()}"
            answer = decode_answer(received[0])
            if wanted(answer):
                return answer
        raise AssertionError(f"no such answer within {DEADLINE_S} s")

    def end(self) -> int:
        """Wait for the process to end by itself; its exit status."""
        return self.popen.wait(DEADLINE_S)

    def close(self) -> None:
        self.control.close()
        self.popen.kill()
        self.popen.wait()
        self.bell.close()
        os.close(self.pidfd)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[], ServerProcess]]:
    started: list[ServerProcess] = []

    def start() -> ServerProcess:
        started.append(ServerProcess(tmp_path / f"server-{len(started)}.log"))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def node_config() -> Callable[..., NodeConfig]:
    return _node_config


@pytest.fixture
def join() -> Callable[[ServerProcess, ServerProcess], None]:
    return _join


def _node_config(me: int, voters: int, data_dir: Path, **changes: object) -> NodeConfig:
    zab = ZabConfig(voters=tuple(range(1, voters + 1)))
    settings: dict[str, object] = {"durability": Durability.MEMORY, "initialize": True, **changes}
    return NodeConfig(me=me, incarnation=1000 + me, zab=zab, data_dir=str(data_dir), **settings)  # type: ignore[arg-type]


def _join(one: ServerProcess, other: ServerProcess) -> None:
    """A fresh link between two servers."""
    assert one.config is not None
    assert other.config is not None
    memory_fd = create_link_memory(PEER_CHANNELS)
    for side, (me, you) in enumerate(((one, other), (other, one))):
        assert you.config is not None
        attach = Attach("peer", you.config.me, you.config.incarnation, side)
        me.send(attach, (memory_fd, you.bell.event_fd, you.bell.page_fd, you.pidfd))
    os.close(memory_fd)
