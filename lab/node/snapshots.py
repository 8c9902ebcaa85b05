"""Trees kept for learners: a forked child each, which writes its chunks into a pipe (`lab.service.host.Snapshots`).

Copying a process copies no memory but page tables, so the server goes on at once while the child holds the tree as it
was; encoding it is the child's work, on another core if there is one.  A full pipe makes the child wait: it is never
ahead of the learner by more than PIPE_BYTES and a chunk.
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from struct import Struct

from lab.node.forked import fork_child
from lab.transport.waiter import Waiter
from lab.zab.config import PeerId
from lab.zab.events import Session, SnapshotRead

PIPE_BYTES = 1 << 20  # as much as an unprivileged process may ask for
READ_BYTES = 256 << 10
_LENGTH = Struct("<I")
_END = 0xFFFF_FFFF  # instead of a length: there is no further chunk


class ForkedSnapshots:
    """The children of one server process, by learner session.  `close_all` ends them."""

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter
        self._kept: dict[tuple[PeerId, Session], _Kept] = {}
        self._arrived: list[SnapshotRead] = []

    def open(self, learner: PeerId, session: Session, chunks: Iterator[bytes]) -> None:
        self._kept[learner, session] = _Kept(chunks)

    def ask(self, learner: PeerId, session: Session) -> None:
        kept = self._kept.get((learner, session))
        if kept is not None:
            self._waiter.add(kept.fd)

    def on_ready(self, fd: int) -> bool:
        """The waiter says that `fd` is readable; False if it is none of these pipes."""
        for key, kept in self._kept.items():
            if kept.fd == fd:
                if kept.read():
                    self._waiter.remove(fd)
                    self._arrived.append(SnapshotRead(*key, kept.take(), kept.at_end))
                return True
        return False

    def has_input(self) -> bool:
        return bool(self._arrived)

    def receive(self) -> Sequence[SnapshotRead]:
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self, learner: PeerId, session: Session | None = None) -> None:
        for key in [key for key in self._kept if key[0] == learner and session in (None, key[1])]:
            kept = self._kept.pop(key)
            with contextlib.suppress(FileNotFoundError):  # nothing was asked for just now
                self._waiter.remove(kept.fd)
            kept.close()
            self._arrived = [chunk for chunk in self._arrived if (chunk.learner, chunk.session) != key]

    def close_all(self) -> None:
        for learner, session in list(self._kept):
            self.close(learner, session)


class _Kept:
    """One child and what came out of its pipe."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(write_fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)
            self._pid = fork_child(lambda: _write_chunks(write_fd, chunks), write_fd)
        except OSError:
            os.close(self.fd)
            raise
        finally:
            os.close(write_fd)
        os.set_blocking(self.fd, False)
        self.at_end = False
        self._buffer = bytearray()
        self._has_failed = False

    def read(self) -> bool:
        """Read what is there; whether `take` has something to give."""
        data = os.read(self.fd, READ_BYTES)
        self._has_failed = not data  # the child ended before it was done
        self._buffer += data
        return self._has_failed or self._is_complete()

    def _is_complete(self) -> bool:
        """Whether a chunk is there, and behind it the beginning of another one or the end: only then is it known."""
        size = self._next_size(0)
        return size is not None and self._next_size(_LENGTH.size + size) is not None

    def _next_size(self, at: int) -> int | None:
        return _LENGTH.unpack_from(self._buffer, at)[0] if len(self._buffer) >= at + _LENGTH.size else None

    def take(self) -> bytes | None:
        """The next chunk; None if the child failed."""
        if self._has_failed:
            return None
        size = self._next_size(0)
        assert size is not None
        start, stop = _LENGTH.size, _LENGTH.size + size
        data = bytes(self._buffer[start:stop])
        del self._buffer[:stop]
        self.at_end = self._next_size(0) == _END
        return data

    def close(self) -> None:
        """End the child, whatever it does."""
        os.close(self.fd)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _write_chunks(fd: int, chunks: Iterator[bytes]) -> None:
    for chunk in chunks:
        _write_all(fd, _LENGTH.pack(len(chunk)) + chunk)
    _write_all(fd, _LENGTH.pack(_END))


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
