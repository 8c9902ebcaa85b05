"""Both ends of a link in one process, and child processes that never outlive a test."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lab.transport.bell import Bell
from lab.transport.shm import Channel, ShmLink, create_link_memory


class Ends:
    """A link of one channel with both ends here: `one` sends to `other`."""

    def __init__(self, capacity: int, queue_bytes_max: int, checksums: bool) -> None:
        channels = (capacity,)
        self.memory_fd = create_link_memory(channels)
        self.bells = (Bell.create(), Bell.create())
        self.links = [
            ShmLink(
                self.memory_fd,
                channels,
                side,
                self.bells[1 - side],
                queue_bytes_max=queue_bytes_max,
                checksums=checksums,
            )
            for side in (0, 1)
        ]
        self.one: Channel = self.links[0].channels[0]
        self.other: Channel = self.links[1].channels[0]

    def close(self) -> None:
        for link in self.links:
            link.close()
        for bell in self.bells:
            bell.close()
        os.close(self.memory_fd)


@contextmanager
def open_ends(capacity: int = 1024, queue_bytes_max: int = 1 << 20, checksums: bool = False) -> Iterator[Ends]:
    ends = Ends(capacity, queue_bytes_max, checksums)
    try:
        yield ends
    finally:
        ends.close()


@pytest.fixture(scope="session", name="open_ends")  # hypothesis calls it once per example
def _open_ends() -> Callable[..., object]:
    return open_ends


@pytest.fixture
def in_child() -> Iterator[Callable[[Callable[[], None]], int]]:
    """Run a function in a forked child, which exits with 0 once it returns and with 1 if it raises; gives its pid."""
    children: list[int] = []

    def start(function: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
        return pid

    yield start
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue  # the test reaped it
