"""A doorbell: how other processes wake one process that sleeps.

Ringing is a system call, so a process says in shared memory whether it sleeps, and nobody rings while it does not.
"""

import os

from lab.transport.fence import full_fence
from lab.transport.memory import create_memory, map_memory

PAGE_BYTES = 4096
_ONE = (1).to_bytes(8, "little")


def _create_event() -> int:
    """An eventfd; elsewhere a FIFO opened for both directions (Linux, BSD and macOS allow it) and unlinked."""
    if hasattr(os, "eventfd"):
        return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    import tempfile  # 4 ms to import, and never needed on Linux

    with tempfile.TemporaryDirectory(prefix="zab-bell-") as folder:
        path = os.path.join(folder, "bell")
        os.mkfifo(path, 0o600)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


class Bell:
    """One process's bell.  The owner sets `sleeping` and drains, everybody else rings, all on the same descriptors."""

    def __init__(self, event_fd: int, page_fd: int) -> None:
        """Takes over both descriptors; `close` closes them."""
        self.event_fd = event_fd
        self.page_fd = page_fd
        self._page = map_memory(page_fd, PAGE_BYTES)
        self._sleeping = memoryview(self._page)[:8].cast("Q")

    @classmethod
    def create(cls) -> "Bell":
        return cls(_create_event(), create_memory("zab-bell", PAGE_BYTES))

    @classmethod
    def adopt(cls, event_fd: int, page_fd: int) -> "Bell":
        """The bell behind descriptors that came from another process."""
        return cls(event_fd, page_fd)

    def fileno(self) -> int:
        """Readable once somebody rang."""
        return self.event_fd

    def ring(self) -> None:
        """Wake the owner whether it sleeps or not.  Never blocks: a bell that is full of rings has been rung."""
        try:
            os.write(self.event_fd, _ONE)
        except BlockingIOError:
            return

    def ring_if_sleeping(self) -> None:
        """Wake the owner if it sleeps.  The caller has stored what the owner looks at before it goes to sleep."""
        full_fence()  # what was stored is visible before `sleeping` is read; set_sleeping has the other half
        if self._sleeping[0]:
            self.ring()

    def set_sleeping(self, sleeping: bool) -> None:
        """The owner is about to sleep: from here on it is rung.  It must look for input once more before it does."""
        self._sleeping[0] = sleeping
        if sleeping:
            full_fence()

    def drain(self) -> None:
        """Forget the rings so far."""
        try:
            os.read(self.event_fd, PAGE_BYTES)
        except BlockingIOError:
            return

    def close(self) -> None:
        self._sleeping.release()
        self._page.close()
        os.close(self.event_fd)
        os.close(self.page_fd)
