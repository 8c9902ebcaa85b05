"""Dying with the process that started us, however it ends (DESIGN 3)."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(expected_parent_pid: int | None) -> None:
    """Have the kernel send SIGKILL to this process when its parent ends; a stopped process dies of it, too.

    "Parent" is the very thread that started this process.  A parent that ended before the kernel was asked would not be
    noticed, hence the check afterwards: raises ProcessLookupError if this process belongs to another one by then (or to
    another than `expected_parent_pid`, if the caller was told it).  Where there is no prctl nothing is done: EOF on
    the control socket ends the process there.
    """
    parent = os.getppid() if expected_parent_pid is None else expected_parent_pid
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        return
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent:
        raise ProcessLookupError(f"parent process {parent} has ended")
