"""Ending what a run owns: its processes by identity, its control groups, its folders.

Standard library only: the janitor loads nothing else.  What a run owns is a sequence of records, each ended by a zero
byte: `process PID STARTED`, `group PATH`, `folder PATH`, `base PATH` (a folder that goes only if it is empty).  The
same records travel to the janitor and stand in the run folder for the next run's sweep.
"""

import os
import select
import signal
import time

END_OF_RECORD = b"\0"  # the one byte that no path contains
PAUSE_S = 0.002


def running_since(pid: int) -> int | None:
    """When this process started, in clock ticks since boot; None if there is none (a zombie has ended).

    Together with the pid it is a process's identity: a pid alone may have been given to another process since.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()  # the name, in brackets, may contain anything
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def process_record(pid: int) -> bytes:
    """The record of a running process; of one that has just ended it names nobody."""
    return b"process %d %d" % (pid, running_since(pid) or 0) + END_OF_RECORD


def path_record(kind: str, path: str | os.PathLike[str]) -> bytes:
    return kind.encode() + b" " + os.fsencode(path) + END_OF_RECORD


class Estate:
    """What a run owns, gathered from its records."""

    def __init__(self) -> None:
        self.processes: dict[int, int] = {}
        self.groups: list[bytes] = []
        self.folders: list[bytes] = []
        self.bases: list[bytes] = []
        self._partial = b""

    def read(self, data: bytes) -> None:
        """Take in records; one that is not complete yet waits for the rest."""
        *records, self._partial = (self._partial + data).split(END_OF_RECORD)
        for record in records:
            kind, _, rest = record.partition(b" ")
            if kind == b"process":
                pid, started = rest.split()
                self.processes[int(pid)] = int(started)
            elif kind == b"group":
                self.groups.append(rest)
            elif kind == b"folder":
                self.folders.append(rest)
            elif kind == b"base":
                self.bases.append(rest)

    def clear(self, timeout_s: float) -> list[str]:
        """End the processes, then remove groups and folders; returns what is left at the deadline, in words."""
        deadline = time.monotonic() + timeout_s
        left = [f"process {pid} still runs" for pid in end_processes(self.processes, deadline)]
        for group in reversed(self.groups):  # inner groups were made later
            left += remove_group(group, deadline)
        for folder in self.folders:
            left += remove_tree(folder)
        for base in self.bases:
            remove_if_empty(base)
        return left


def end_processes(processes: dict[int, int], deadline: float) -> list[int]:
    """SIGKILL each that is still the one meant, stopped or not; returns those left at the deadline."""
    waiting: dict[int, int] = {}
    poll = select.poll()
    try:
        for pid, started in processes.items():
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            waiting[pidfd] = pid
            if running_since(pid) == started:  # asked after opening: from here on the pidfd cannot mean another process
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                poll.register(pidfd, select.POLLIN)
            else:
                os.close(pidfd)
                del waiting[pidfd]
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            for pidfd, _ in poll.poll(left_s * 1e3):
                poll.unregister(pidfd)
                os.close(pidfd)
                del waiting[pidfd]
        return sorted(waiting.values())
    finally:
        for pidfd in waiting:
            os.close(pidfd)


def remove_group(path: bytes, deadline: float) -> list[str]:
    """Remove a control group; it stays busy for a moment after its last process ended."""
    while True:
        try:
            os.rmdir(path)
            return []
        except OSError as error:
            if not os.path.lexists(path):  # a read-only hierarchy refuses even what was never made in it
                return []
            if time.monotonic() > deadline:
                return [f"control group {os.fsdecode(path)}: {error.strerror}"]
        time.sleep(PAUSE_S)


def remove_tree(path: bytes) -> list[str]:
    """Remove a folder with everything in it; being removed by somebody else at the same time is no error."""
    from shutil import rmtree  # 6 ms to load, which only the end of a run has to pay

    for _ in range(3):
        try:
            rmtree(path)
            return []
        except FileNotFoundError:
            if not os.path.lexists(path):
                return []
        except OSError as error:
            return [f"folder {os.fsdecode(path)}: {error.strerror}"]
    return [f"folder {os.fsdecode(path)}: somebody else keeps removing and making files in it"]


def remove_if_empty(path: bytes | str | os.PathLike[str]) -> None:
    """Remove a folder that nobody uses any more; one that is used, or gone, stays as it is."""
    try:
        os.rmdir(path)
    except OSError:
        return
