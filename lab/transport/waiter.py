"""Where a process waits: until its bell rings or one of its other descriptors becomes ready.

Sleeping is dear: whoever has something for a sleeper pays a system call, and the kernel up to 50 us to bring it back on
another core.  So a process may first look again a few times, giving its core away in between.
"""

import os
import select
import time
from collections.abc import Callable
from enum import StrEnum

from lab.transport.bell import Bell

SLEEP_MS_MAX = 250.0  # a bound, should a wake-up ever be lost; nothing relies on it
PATIENCE_NS = 200_000  # for so long an adaptive waiter looks again: four times what being woken on another core takes
LOOK_EVERY_WAITS = 8  # one that need not sleep looks at its descriptors this often: 1 us of system call
SPIN_NS = 2_000_000  # without input a spinning one looks at them this often

monotonic_ns = time.monotonic_ns
_yield = getattr(os, "sched_yield", lambda: None)


class Wait(StrEnum):
    """What a process does while there is nothing to do."""

    BLOCKING = "blocking"  # sleeps at once
    ADAPTIVE = "adaptive"  # looks again while its waits are short, else sleeps
    SPIN = "spin"  # never sleeps: takes all of a core that nobody else wants


class Waiter:
    """epoll over this process's own bell and extra descriptors (control socket, pidfds)."""

    patience_ns = PATIENCE_NS

    def __init__(self, bell: Bell, wait: Wait = Wait.ADAPTIVE) -> None:
        """`bell` stays the caller's."""
        self.bell = bell
        self.strategy = wait
        self._expected_ns = 0  # how long a wait takes: a moving average in which no long one counts for much
        self._unlooked = 0  # waits since the descriptors were looked at
        self._bell_fd = bell.fileno()
        self._poll = select.epoll()
        self._poll.register(self._bell_fd, select.EPOLLIN)

    def add(self, fd: int) -> None:
        self._poll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Stop watching `fd`, which must still be open."""
        self._poll.unregister(fd)

    def wait(self, timeout_ms: float, has_input: Callable[[], bool]) -> list[int]:
        """Wait until rung, until an extra descriptor is ready, or for `timeout_ms`; returns the ready extra ones.

        Ends early for reasons of its own.  Does not sleep if `has_input` holds once everybody can see that this process
        is about to; so a frame published before is found here, and one published later rings.  A descriptor that hung
        up counts as ready.  With a timeout of 0 this is only a look at the descriptors.
        """
        bell = self.bell
        if timeout_ms <= 0:
            ready = self._look()
        elif self.strategy is Wait.BLOCKING:
            ready = self._sleep(timeout_ms, has_input)
        else:
            ready = self._look_again(timeout_ms, has_input)
        if self._bell_fd in ready:
            bell.drain()
            ready.remove(self._bell_fd)
        return ready

    def _look(self) -> list[int]:
        self._unlooked = 0
        return [fd for fd, _ in self._poll.poll(0)]

    def _sleep(self, timeout_ms: float, has_input: Callable[[], bool]) -> list[int]:
        bell = self.bell
        bell.set_sleeping(True)
        timeout_s = 0.0 if has_input() else min(timeout_ms, SLEEP_MS_MAX) / 1e3
        ready = [fd for fd, _ in self._poll.poll(timeout_s)]
        bell.set_sleeping(False)
        self._unlooked = 0
        return ready

    def _look_again(self, timeout_ms: float, has_input: Callable[[], bool]) -> list[int]:
        """Give the core away and look for input, in turns; sleep if that would take too long."""
        began = now = monotonic_ns()
        patient_ns = self.patience_ns
        patience_ns = SPIN_NS if self.strategy is Wait.SPIN else patient_ns if self._expected_ns < patient_ns else 0
        until = began + int(min(timeout_ms * 1e6, patience_ns))
        while now < until:
            _yield()
            if has_input():
                waited_ns = monotonic_ns() - began
                self._note(waited_ns)
                self._unlooked += 1
                was_away = waited_ns > 2 * patient_ns  # frozen, or without a core: much may have happened
                return self._look() if was_away or self._unlooked >= LOOK_EVERY_WAITS else []
            now = monotonic_ns()
        if self.strategy is Wait.SPIN:
            return self._look()
        ready = self._sleep(max(timeout_ms - (now - began) / 1e6, 0.0), has_input)
        self._note(monotonic_ns() - began)
        return ready

    def _note(self, waited_ns: int) -> None:
        self._expected_ns += (min(waited_ns, 2 * self.patience_ns) - self._expected_ns) >> 3

    def close(self) -> None:
        self._poll.close()
