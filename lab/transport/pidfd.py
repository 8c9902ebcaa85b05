"""Seeing a process die."""

import os


def open_pidfd(pid: int) -> int:
    """A descriptor of this very process, never of a later one with its pid; readable once it has died.

    Open it while `pid` is surely that process: by its parent, before it is waited for.
    """
    if not hasattr(os, "pidfd_open"):
        raise OSError("pidfd_open is missing: a Linux of 5.3 or later is needed")
    return os.pidfd_open(pid)  # close-on-exec
