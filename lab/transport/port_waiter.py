"""Where a process with a port waits: as any other, but datagrams wake it, and it is on time for what is due there."""

from collections.abc import Callable

from lab.transport.bell import Bell
from lab.transport.port import Port
from lab.transport.timer import Timer
from lab.transport.waiter import Wait, Waiter, monotonic_ns

PATIENCE_NS = 500_000  # a turn over datagrams takes longer than one over rings, and so does being woken
_LATE_MS = 1.0  # epoll counts whole milliseconds: with the timer set it has to be the later one


class PortWaiter(Waiter):
    """Waits end when a datagram arrives and at `port.deadline_ns()`, which a timer meets to some microseconds.

    `has_input` has to ask the port, too.
    """

    patience_ns = PATIENCE_NS

    def __init__(self, bell: Bell, port: Port, wait: Wait = Wait.ADAPTIVE) -> None:
        """`bell` and `port` stay the caller's."""
        super().__init__(bell, wait)
        self._port = port
        self._timer = Timer()
        self._timer_fd, self._port_fd = self._timer.fileno(), port.fileno()
        self._is_exact = False  # the wait under way ends at the port's deadline
        self._goes_off_ns = 0  # when the timer will, as it was set last
        self.add(self._timer_fd)
        if self._port_fd >= 0:
            self.add(self._port_fd)

    def wait(self, timeout_ms: float, has_input: Callable[[], bool]) -> list[int]:
        due_ns = self._port.deadline_ns() if timeout_ms > 0 else None
        self._is_exact = False
        if due_ns is not None:
            left_ms = (due_ns - monotonic_ns()) / 1e6
            if left_ms < timeout_ms:
                timeout_ms, self._is_exact = left_ms, True
        ready = super().wait(timeout_ms, has_input)
        if ready:
            if self._timer_fd in ready:
                self._timer.clear()
                ready.remove(self._timer_fd)
            if self._port_fd in ready:
                ready.remove(self._port_fd)
        return ready

    def _sleep(self, timeout_ms: float, has_input: Callable[[], bool]) -> list[int]:
        if self._is_exact and timeout_ms > 0:
            now = monotonic_ns()
            due_ns = now + int(timeout_ms * 1e6)
            if (
                not now < self._goes_off_ns <= due_ns
            ):  # else it wakes us in time, perhaps once for nothing: it is dear to set
                self._timer.set(due_ns - now)
                self._goes_off_ns = due_ns
            timeout_ms += _LATE_MS
        return super()._sleep(timeout_ms, has_input)

    def close(self) -> None:
        super().close()
        self._timer.close()
