"""Running somebody's script so that nothing of it stays: the processes that it started, and its files.

A script that forks is not ended by ending it.  Between it and us stands a *warden*, `python -m lab.bench.warden`, in a
session of its own.  It runs the script as the leader of a process group, in a new folder, and holds one end of a pipe
whose other end only we hold.  When the script ends, or the pipe does because we ended, however that was, it kills
the whole group, waits until it is gone and removes the folder.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from select import POLLIN, poll
from types import FrameType

from lab.bench.lifeline import SIGNALS, adopt_orphans, die_with_parent

PREFIX = "zab-reference-"


def run_warded(command: Sequence[str], data_dir: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run it to its end in a folder of its own under `data_dir`.  Raises subprocess.TimeoutExpired."""
    read_fd, hold_fd = os.pipe()
    try:
        warden = subprocess.Popen(
            [sys.executable, "-m", "lab.bench.warden", str(read_fd), str(data_dir), *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=(read_fd,),
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(hold_fd)
        raise
    finally:
        os.close(read_fd)
    with warden:  # waits for its end, which is that of all others
        try:
            said, complained = warden.communicate(timeout=timeout_s)
        finally:
            os.close(hold_fd)
    return subprocess.CompletedProcess(command, warden.returncode, said, complained)


def main(hold_fd: int, data_dir: str, command: Sequence[str]) -> int:
    """Returns the command's exit status, 128 + n if signal n ended it."""
    for number in (*SIGNALS, signal.SIGQUIT):
        signal.signal(number, _deaf)
    adopt_orphans()
    here = os.getpid()
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=data_dir) as folder:
        leader = subprocess.Popen(command, cwd=folder, start_new_session=True, preexec_fn=lambda: die_with_parent(here))
        _wait(hold_fd, leader.pid)
        leader.returncode = _end_group(leader.pid)
    return leader.returncode if leader.returncode >= 0 else 128 - leader.returncode


def _deaf(number: int, frame: FrameType | None) -> None:
    """A handler, because a signal that is ignored would be ignored by the command, too."""


def _wait(hold_fd: int, pid: int) -> None:
    """Until that child ends or the other end of the pipe is closed; the child is not reaped."""
    pidfd = os.pidfd_open(pid)
    try:
        either = poll()
        either.register(pidfd, POLLIN)
        either.register(hold_fd, POLLIN)
        either.poll()
    finally:
        os.close(pidfd)


def _end_group(leader: int) -> int:
    """Kill the group of that child and wait for all of it; returns the child's status as `subprocess` has it."""
    os.killpg(leader, signal.SIGKILL)  # its number cannot be somebody else's: the leader is not reaped yet
    status = 0
    with contextlib.suppress(ChildProcessError):  # nobody of the group is left
        while True:
            pid, found = os.waitpid(-leader, 0)
            status = found if pid == leader else status
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
