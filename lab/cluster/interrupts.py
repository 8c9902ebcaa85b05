"""Ctrl-C during a clean-up."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let a clean-up that has begun come to its end; a Ctrl-C meanwhile counts afterwards, unless one is under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    under_way = isinstance(sys.exception(), KeyboardInterrupt)
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if pressed and not under_way:
        raise KeyboardInterrupt
