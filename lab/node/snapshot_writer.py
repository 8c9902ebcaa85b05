"""The forked child that writes a snapshot of the own disk (`lab.storage.snapshots.Writer`, Z-8)."""

import os
import signal
from collections.abc import Iterable

from lab.node.forked import fork_child
from lab.storage.disk import Disk
from lab.storage.snapshot import write_snapshot
from lab.storage.snapshots import Report
from lab.transport.pidfd import open_pidfd
from lab.transport.waiter import Waiter
from lab.zab.zxid import Zxid

_STDERR = 2
BACKGROUND = 10  # how much nicer the child is: servers and clients want the CPU now, a snapshot has time


class ForkedWriter:
    """One child, from its fork until it is reaped.  Its end wakes the server's loop, which asks for the outcome."""

    def __init__(
        self, waiter: Waiter, report: Report, disk: Disk, path: str, zxid: Zxid, chunks: Iterable[bytes]
    ) -> None:
        """`report` is told of a child that could not be made or was killed; others say themselves what went wrong."""
        self._waiter = waiter
        self._report = report
        self._path = path
        self._outcome: bool | None = None

        def write() -> None:
            os.nice(BACKGROUND)
            for _ in write_snapshot(disk.open(path), zxid, chunks):
                pass

        try:
            self._pid = fork_child(write, _STDERR)
        except OSError as error:
            report(f"{path}: cannot fork a process to write it: {error.strerror}")
            self._outcome = False
            return
        self._pidfd = open_pidfd(self._pid)
        waiter.add(self._pidfd)

    def outcome(self) -> bool | None:
        if self._outcome is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._end(status)
        return self._outcome

    def _end(self, status: int) -> None:
        self._waiter.remove(self._pidfd)
        os.close(self._pidfd)
        self._outcome = status == 0
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            self._report(f"{self._path}: the process that wrote it was ended by {name}; the next one comes in its turn")

    def kill(self) -> None:
        if self._outcome is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._waiter.remove(self._pidfd)
            os.close(self._pidfd)
            self._outcome = False
