"""A doorbell: how other processes tell one process that there is something for it, and wake it if it sleeps.

Ringing is a system call, so a process says in shared memory whether it sleeps, and nobody rings while it does not.  The
word `news` beside it saves the owner from looking into every ring it reads to learn that all are empty, and the word
`rare` from looking into those that nearly always are.
"""

import os

from lab.transport.fence import STORES_IN_ORDER, acquire, full_fence, release
from lab.transport.memory import create_memory, map_memory

PAGE_BYTES = 4096
_SLEEPING, _NEWS, _RARE = 0, 16, 17  # 64-bit words of the page: the owner writes the first, 128 bytes away everybody
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
    """One process's bell.  The owner sleeps, takes news and drains, everybody else announces and rings."""

    def __init__(self, event_fd: int, page_fd: int) -> None:
        """Takes over both descriptors; `close` closes them."""
        self.event_fd = event_fd
        self.page_fd = page_fd
        self._page = map_memory(page_fd, PAGE_BYTES)
        self._words = memoryview(self._page)[:256].cast("Q")

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

    def announce(self) -> None:
        """There is something for the owner, stored before this call: leave word, and wake it if it sleeps."""
        if not STORES_IN_ORDER:
            full_fence()  # what was stored is visible before `news` is
        words = self._words
        words[_NEWS] = 1
        acquire()  # a full fence: `news` is visible before `sleeping` is read; set_sleeping has the other half
        release()
        if words[_SLEEPING]:
            self.ring()

    def announce_rare(self) -> None:
        """As `announce`, of something that the owner does not look for whenever there is news."""
        if not STORES_IN_ORDER:
            full_fence()
        self._words[_RARE] = 1
        self.announce()  # behind it: whoever sees the news sees this, too

    def has_news(self) -> bool:
        """Whether anybody has announced something since the last `take_news`."""
        return bool(self._words[_NEWS])

    def take_news(self) -> bool:
        """As `has_news`, and forget it: the owner looks at everything now."""
        if not self._words[_NEWS]:
            return False
        self._words[_NEWS] = 0
        full_fence()  # forgotten before the owner looks: what is announced from now on leaves word again
        return True

    def has_rare(self) -> bool:
        """Whether something rare was announced since the last `take_rare`."""
        return bool(self._words[_RARE])

    def take_rare(self) -> bool:
        """Whether something rare was announced since the last call; ask after `take_news`."""
        if not self._words[_RARE]:
            return False
        self._words[_RARE] = 0
        full_fence()
        return True

    def set_sleeping(self, sleeping: bool) -> None:
        """The owner is about to sleep: from here on it is rung.  It must look for input once more before it does."""
        self._words[_SLEEPING] = sleeping
        if sleeping:
            full_fence()

    def drain(self) -> None:
        """Forget the rings so far."""
        try:
            os.read(self.event_fd, PAGE_BYTES)
        except BlockingIOError:
            return

    def close(self) -> None:
        self._words.release()
        self._page.close()
        os.close(self.event_fd)
        os.close(self.page_fd)
