"""A full memory fence.

x86-64 may let a load overtake an earlier store to another address, and both hand-shakes of this package ("I wrote, do
you sleep?" against "I sleep, did you write?", and the same about room) break if it does.  Python has no fence, but
taking a free lock is one atomic read-modify-write, hence a full barrier on x86-64 (any LOCK-prefixed instruction) and
an acquire-release pair elsewhere; the lock is private to the process and only its main thread takes it, so it never
blocks.  Measured at 70 ns.  Waits are bounded anyway (`waiter.SLEEP_MS_MAX`), so on a CPU for which this is too weak a
reader would be late, not stuck.
"""

import os
from _thread import allocate_lock  # `threading` costs 1 ms to import

STORES_IN_ORDER = os.uname().machine in ("x86_64", "amd64")  # other CPUs see one process's stores in any order

_free = allocate_lock()
acquire, release = _free.acquire, _free.release  # one after the other they are `full_fence`, less a call


def full_fence() -> None:
    """No load after this call is carried out before a store that stands ahead of it."""
    acquire()
    release()
