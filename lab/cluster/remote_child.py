"""A process on another host, as `lab.cluster.process.Child` is one here."""

import os
import select
import signal
import socket
from pathlib import Path
from typing import Protocol

from lab.cluster.errors import ClusterError


class Asked(Protocol):
    """What it needs of the link to its host (`lab.cluster.host_link.HostLink`)."""

    name: str

    @property
    def lost(self) -> str: ...

    def signal(self, process: int, number: signal.Signals) -> int: ...

    def rss_bytes(self, process: int) -> int: ...

    def forget(self, process: int) -> None: ...


class RemoteChild:
    """The local ends of its channels, and a pipe that ends with it."""

    def __init__(self, host: Asked, process: int, channels: list[socket.socket], log: Path) -> None:
        self.host = host
        self.channels = channels  # whoever started it uses and closes them
        self.log = log  # where it lies on its host
        self.pid = self.port = 0
        self.fds: list[int] = []  # under which it has its own ends of the channels
        self._process = process
        self._how = ""
        self.struck_ns = 0  # when the last signal was sent there, by this host's clock
        self.pidfd, self._held_fd = os.pipe()

    def send_signal(self, number: signal.Signals) -> None:
        """To a process that has ended, or whose host is lost: nothing.  SIGSTOP: returns once it stands still."""
        if not self._how and not self.host.lost:
            self.struck_ns = self.host.signal(self._process, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; False if it has not ended by then."""
        if self.pidfd < 0:
            return True
        readable = select.poll()
        readable.register(self.pidfd, select.POLLIN)
        return bool(readable.poll(timeout_s * 1e3))

    def kill(self, timeout_s: float) -> None:
        self.send_signal(signal.SIGKILL)
        if not self.wait(timeout_s):
            raise ClusterError(f"process {self.pid} on {self.host.name} is still there {timeout_s:g} s after SIGKILL")

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002 - the agent has a deadline of its own
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        return f"on {self.host.name}: {self._how or 'running'}"

    def rss_bytes(self) -> int:
        """0 once it has ended."""
        return 0 if self._how or self.host.lost else self.host.rss_bytes(self._process)

    def has_ended(self, how: str) -> None:
        """Told once, by the link."""
        if self._held_fd >= 0:
            self._how = how
            os.close(self._held_fd)
            self._held_fd = -1

    def close(self) -> None:
        """Know nothing of it any more."""
        self.host.forget(self._process)
        self.has_ended("given up")
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
