"""A timer that epoll can wait for, exact to some microseconds; epoll's own timeout counts whole milliseconds.

Python has `os.timerfd_create` from 3.13 on; before that the C library is asked.
"""

import ctypes
import os
import time

_SECOND_NS = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Timer:
    """Readable once the time that was set has passed."""

    def __init__(self) -> None:
        """Raises OSError where the system has no timerfd (it is Linux's)."""
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timerfd_create"):
            raise OSError("timerfd_create is missing: waits that end on the microsecond need Linux")
        self._settime = libc.timerfd_settime
        self._spec = _Itimerspec()
        self._fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")

    def fileno(self) -> int:
        return self._fd

    def set(self, after_ns: int) -> None:
        """Go off once, that much later (at least 1 ns); replaces what was set before."""
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(max(after_ns, 1), _SECOND_NS)
        self._settime(self._fd, 0, ctypes.byref(self._spec), None)

    def clear(self) -> None:
        """Forget that it went off."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._fd)
