"""Where a process sleeps: until its bell rings or one of its other descriptors becomes ready."""

import select
from collections.abc import Callable

from lab.transport.bell import Bell

SLEEP_MS_MAX = 250.0  # a bound, should a wake-up ever be lost; nothing relies on it


class Waiter:
    """epoll over this process's own bell and extra descriptors (control socket, pidfds)."""

    def __init__(self, bell: Bell) -> None:
        """`bell` stays the caller's."""
        self.bell = bell
        self._bell_fd = bell.fileno()
        self._poll = select.epoll()
        self._poll.register(self._bell_fd, select.EPOLLIN)

    def add(self, fd: int) -> None:
        self._poll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Stop watching `fd`, which must still be open."""
        self._poll.unregister(fd)

    def wait(self, timeout_ms: float, has_input: Callable[[], bool]) -> list[int]:
        """Sleep until rung, until an extra descriptor is ready, or for `timeout_ms`; returns the ready extra ones.

        Does not sleep if `has_input` holds once everybody can see that this process is about to; so a frame published
        before is found here, and one published later rings.  A descriptor that hung up counts as ready.  With a timeout
        of 0 this is only a look at the descriptors.
        """
        bell = self.bell
        if timeout_ms <= 0:
            ready = [fd for fd, _ in self._poll.poll(0)]
        else:
            bell.set_sleeping(True)
            timeout_s = 0.0 if has_input() else min(timeout_ms, SLEEP_MS_MAX) / 1e3
            ready = [fd for fd, _ in self._poll.poll(timeout_s)]
            bell.set_sleeping(False)
        if self._bell_fd in ready:
            bell.drain()
            ready.remove(self._bell_fd)
        return ready

    def close(self) -> None:
        self._poll.close()
