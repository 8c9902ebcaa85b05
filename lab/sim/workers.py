"""Processes that share out independent pieces of work: seeds, mutants."""

import gc
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def working(workers: int, lifeline: Callable[[], object]) -> Iterator[ProcessPoolExecutor]:
    """So many fresh processes, each of which calls `lifeline` first; what has not begun at the end is given up."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(lifeline,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(lifeline: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    gc.freeze()  # what was imported stays anyway: no collection looks at it again
    lifeline()
