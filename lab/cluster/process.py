"""Child processes of a run: started so that none outlives it or disturbs its output (DESIGN 3).

A child gets its own process group (a Ctrl-C at the terminal is the harness's to handle), no standard input, and a log
file for what it prints.  Children start from the main thread: PR_SET_PDEATHSIG, by which a server dies with the process
that started it, follows the thread that did.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from select import POLLIN, poll

import lab
from lab.cluster.errors import ClusterError
from lab.transport.pidfd import open_pidfd

SOURCE_ROOT = str(Path(lab.__file__).resolve().parents[1])  # children run the same code wherever they start
PAUSE_S = 0.0005
LOG_TAIL_BYTES = 4096
COMPILED = "compiled"  # code, in a run's folder
LAST_WORDS_BYTES = 4096  # with less room than that on the log's disk, a child may have ended without a word


class Child:
    """One running process of ours.  Whoever starts it ends it: `kill` and `wait`, then `close`."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log
        self.pid = popen.pid
        self.pidfd = open_pidfd(popen.pid)

    def send_signal(self, number: signal.Signals) -> None:
        """To a process that has ended: nothing."""
        self._popen.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end and reap; False if it has not ended by then."""
        readable = poll()
        readable.register(self.pidfd, POLLIN)
        if not readable.poll(timeout_s * 1e3):
            return False
        self._popen.wait()
        return True

    def kill(self, timeout_s: float) -> None:
        """SIGKILL, which needs no consent and ends stopped processes, too."""
        self.send_signal(signal.SIGKILL)
        if not self.wait(timeout_s):
            raise ClusterError(f"process {self.pid} is still there {timeout_s:g} s after SIGKILL: is its disk stuck?")

    def stop(self, timeout_s: float) -> None:
        """SIGSTOP, and wait until the kernel says that it stands still."""
        self.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + timeout_s
        while os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                raise ClusterError(f"process {self.pid} has not stopped {timeout_s:g} s after SIGSTOP")
            time.sleep(PAUSE_S)

    def resume(self) -> None:
        self.send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        """How it ended and the last line of its log, for a message to people."""
        code = self._popen.returncode
        if code is None:
            how = "running"
        elif code < 0:
            how = f"ended by {signal.Signals(-code).name}"
        else:
            how = f"exit status {code}"
        return f"{how}: {_last_line(self.log) or _why_silent(self.log)}"

    def close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError as error:
        return f"({log}: {error.strerror})"
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _why_silent(log: Path) -> str:
    """The log's disk is the data's: where that is full, the message that says so finds no room either."""
    disk = os.statvfs(log.parent)
    if disk.f_bavail * disk.f_frsize < LAST_WORDS_BYTES:
        return f"no space left on the disk of {log.parent}: free space there or choose another --data-dir"
    return f"(nothing in {log})"


def start_child(
    command: Sequence[str], fd: int, log: Path, *, own_session: bool = False, also: Sequence[int] = ()
) -> Child:
    """Start `python *command fd`; the child inherits `fd` and `also` under the same numbers, everything else is closed.

    Raises ClusterError if the system starts no more processes.
    """
    return _start([*command, str(fd)], (fd, *also), log, own_session=own_session)


def start_program(program: Sequence[str], log: Path) -> Child:
    """Start a program that is not ours; it inherits nothing and ends with this process.

    Raises ClusterError as `start_child` does; one that cannot be executed ends at once and says why in the log.
    """
    return _start(["-m", "lab.cluster.launch", str(os.getpid()), *program], (), log, own_session=False)


def _start(arguments: Sequence[str], fds: Sequence[int], log: Path, *, own_session: bool) -> Child:
    assert threading.current_thread() is threading.main_thread(), "PDEATHSIG follows the starting thread"
    try:
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
                env=_environment(log.parent),
                start_new_session=own_session,
                process_group=None if own_session else 0,
            )
    except OSError as error:
        raise ClusterError(f"cannot start {arguments[1]} (log {log}): {error.strerror}") from error
    try:
        return Child(popen, log)
    except BaseException:
        popen.kill()
        popen.wait()
        raise


def _environment(folder: Path) -> dict[str, str]:
    """Where this process may not leave compiled code beside the sources, children keep it in the run's `folder`.

    Else each of them would compile all that it imports: 0.1 s of CPU, twice what the rest of a server's start takes.
    """
    path = os.pathsep.join(filter(None, (SOURCE_ROOT, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    if sys.dont_write_bytecode:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(folder / COMPILED)
    return environment
