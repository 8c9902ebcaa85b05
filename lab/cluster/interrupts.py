"""Signals that end a harness, while its clean-up is at work."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let a clean-up that has begun come to its end: a signal meanwhile is delivered after it.

    If the clean-up was itself begun by an interrupt, a further one has nothing to add and is dropped.  Only signals
    that Python handles are held up: one that ends the process does so, and the rest is the janitor's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    under_way = isinstance(sys.exception(), KeyboardInterrupt)
    arrived: list[int] = []
    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if arrived and not under_way:
        signal.raise_signal(signal.Signals(arrived[0]))
