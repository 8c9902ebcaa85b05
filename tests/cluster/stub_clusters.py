"""Ensembles of stubs, and waiting for an event with a deadline."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from lab.client.history import ReplicaState
from lab.cluster.supervisor import Cluster

STUB = Path(__file__).with_name("stub_node.py")
DEADLINE_S = 30.0


def wait_until(holds: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"still not after {DEADLINE_S:g} s: {what}"
        time.sleep(0.005)


def open_descriptors() -> set[str]:
    return {f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}" for fd in os.listdir("/proc/self/fd") if _is_open(fd)}


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


class StubCluster(Cluster):
    """A cluster whose servers tell, as znodes, what they know of their links."""

    def known_to(self, server: int) -> dict[str, str]:
        state = msgspec.msgpack.decode(self.inspect(server)[0], type=ReplicaState)
        return {path: node.data.decode() for path, node in state.nodes.items()}

    def wait_until_known(self, server: int, path: str, value: str | None = None) -> None:
        wait_until(
            lambda: path in (known := self.known_to(server)) and value in (None, known[path]),
            f"server {server} knows {path} {value or ''}",
        )

    def wait_until_unknown(self, server: int, path: str) -> None:
        wait_until(lambda: path not in self.known_to(server), f"server {server} has forgotten {path}")


@contextmanager
def raised_by_python(*code: str) -> Iterator[int]:
    """A process of ours that runs Python code; ended on the way out."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "\n".join(code)], os.environ)
    try:
        yield pid
    finally:
        end(pid)


def end(pid: int) -> None:
    try:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return
