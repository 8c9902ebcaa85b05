"""A copy of this process that does one thing with the memory as it is now, and ends (zab.md Z-8)."""

import os
import signal
from collections.abc import Callable

from lab.node.lifeline import die_with_parent


def fork_child(work: Callable[[], None], keep_fd: int) -> int:
    """Run `work` in a forked child, whose only descriptors are the standard ones and `keep_fd`; returns its pid.

    The child dies with this process, touches nothing of it but memory, and leaves by `_exit`: with 0, or with 1 after a
    line on stderr.  Only for a process of one thread: of others the child would have the locks and nobody to free them.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(parent)
        os.closerange(3, keep_fd)
        os.closerange(keep_fd + 1, os.sysconf("SC_OPEN_MAX"))
        work()
        status = 0
    except BrokenPipeError:
        pass  # nobody wants it any more
    except BaseException as error:  # noqa: BLE001 - nothing of the parent's code may run in the child
        os.write(2, f"lab.node: child {os.getpid()}: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)
