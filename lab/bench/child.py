"""Running one pyperf command so that nothing of it stays, whatever ends it."""

import contextlib
import os
import signal
import subprocess
import time
from typing import IO

import psutil

PATIENCE_S = 10.0  # for a child that was asked to end


def run_child(command: list[str], log: IO[bytes]) -> int:
    """Run the command to its end and return its status; its output goes to `log`.

    It leads a session of its own, so that a Ctrl-C at the terminal reaches this process only, which then ends the
    session.  Started from the main thread (the child dies with the thread that started it).
    """
    with subprocess.Popen(
        [*command, "--parent", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        try:
            return child.wait()
        finally:
            end_session(child)


def end_session(leader: subprocess.Popen[bytes]) -> None:
    """Ask the leader to end, then kill what is left of its session, stopped processes too; returns when it is gone."""
    if leader.poll() is None:
        leader.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            leader.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while (members := session_members(leader.pid)) and time.monotonic() < deadline:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        leader.poll()
        time.sleep(0.005)
    leader.wait()


def session_members(session: int) -> list[int]:
    """Live processes of that session, zombies left out."""
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
    return members
