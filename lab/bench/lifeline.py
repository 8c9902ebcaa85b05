"""How a measuring process ends: with its parent, and cleanly at the first signal (DESIGN 3)."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The first INT, TERM or HUP arrived: clean up and leave with `status`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def die_with_parent(parent: int) -> None:
    """Be killed when the thread that started this process ends; leave at once if process `parent` is gone already.

    Elsewhere than on Linux only the second half holds.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent ends, so that they can be waited for.  Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def interruptible() -> Iterator[None]:
    """The first of SIGNALS raises Interrupted in the main thread, so that `finally` clauses run; later ones do nothing.

    They stay deaf after the block too if one came: what follows is the end of the process.  A signal that was ignored
    when the process started (nohup) stays ignored.
    """
    seen = False

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal seen
        if not seen:
            seen = True
            raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            # Ignored by the kernel: at its very end the interpreter would put a handler of ours back to the default.
            signal.signal(number, signal.SIG_IGN if seen else handler)
