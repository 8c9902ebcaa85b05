"""Trees kept for learners: a forked child each, which writes its chunks into a pipe (`lab.service.host.Snapshots`).

Copying a process copies no memory but page tables, so the server goes on at once while the child holds the tree as it
was; encoding it is the child's work, on another core if there is one.  A full pipe makes the child wait: it is never
ahead of the learner by more than PIPE_BYTES and a chunk.
"""

import contextlib
import fcntl
import os
import signal
import sys
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
        self._kept: dict[tuple[PeerId, Session], _Kept | None] = {}  # None: no child could be made
        self._awaited: set[int] = set()  # pipes that the waiter watches
        self._arrived: list[SnapshotRead] = []

    def open(self, learner: PeerId, session: Session, chunks: Iterator[bytes]) -> None:
        try:
            self._kept[learner, session] = _Kept(chunks)
        except OSError as error:  # the learner is told, and comes again
            line = f"lab.node: no copy of the tree for server {learner}: {error.strerror}"
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the log of this process
            self._kept[learner, session] = None

    def ask(self, learner: PeerId, session: Session) -> None:
        key = (learner, session)
        if key not in self._kept:
            return
        kept = self._kept[key]
        if kept is None or kept.has_answer:
            self._answer(key, kept)
        else:
            self._waiter.add(kept.fd)
            self._awaited.add(kept.fd)

    def on_ready(self, fd: int) -> bool:
        """The waiter says that `fd` is readable; False if it is none of these pipes."""
        for key, kept in self._kept.items():
            if kept is not None and kept.fd == fd:
                kept.read()
                if kept.has_answer:
                    self._stop_waiting(kept)
                    self._answer(key, kept)
                return True
        return False

    def _answer(self, key: tuple[PeerId, Session], kept: "_Kept | None") -> None:
        data = None if kept is None else kept.take()
        is_last = kept is not None and kept.is_at_end
        self._arrived.append(SnapshotRead(*key, data, is_last))
        if kept is not None and is_last:
            del self._kept[key]
            kept.close()

    def _stop_waiting(self, kept: "_Kept") -> None:
        if kept.fd in self._awaited:
            self._awaited.discard(kept.fd)
            self._waiter.remove(kept.fd)

    def has_input(self) -> bool:
        """Whether `receive` has something to give: asked before the process sleeps."""
        return bool(self._arrived)

    def receive(self) -> Sequence[SnapshotRead]:
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self, learner: PeerId, session: Session | None = None) -> None:
        for key in [key for key in self._kept if key[0] == learner and session in (None, key[1])]:
            kept = self._kept.pop(key)
            if kept is not None:
                self._stop_waiting(kept)
                kept.close()
            self._arrived = [chunk for chunk in self._arrived if (chunk.learner, chunk.session) != key]

    def close_all(self) -> None:
        for learner, session in list(self._kept):
            self.close(learner, session)


class _Kept:
    """One child and what came out of its pipe."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Raises OSError if there is no pipe or no child to be had."""
        self.fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # a user may have so much of it and no more; a smaller pipe does, too
                fcntl.fcntl(write_fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)
            self._pid = fork_child(lambda: _write_chunks(write_fd, chunks), write_fd)
        except OSError:
            os.close(self.fd)
            raise
        finally:
            os.close(write_fd)
        os.set_blocking(self.fd, False)
        self.is_at_end = False  # the chunk that was taken last is the last one
        self._buffer = bytearray()
        self._has_ended = False

    def read(self) -> None:
        """Read what is there; at the end of the pipe the child has written all, or failed."""
        data = os.read(self.fd, READ_BYTES)
        self._has_ended = not data
        self._buffer += data

    @property
    def has_answer(self) -> bool:
        """Whether `take` has something to say."""
        return self._is_complete() or self._has_ended

    def _is_complete(self) -> bool:
        """Whether a chunk is there, and behind it the beginning of another one or the end: only then is it known."""
        size = self._next_size(0)
        return size is not None and self._next_size(_LENGTH.size + size) is not None

    def _next_size(self, at: int) -> int | None:
        return _LENGTH.unpack_from(self._buffer, at)[0] if len(self._buffer) >= at + _LENGTH.size else None

    def take(self) -> bytes | None:
        """The next chunk; None if the child ended before it was done."""
        if not self._is_complete():
            return None
        size = self._next_size(0)
        assert size is not None
        start, stop = _LENGTH.size, _LENGTH.size + size
        data = bytes(self._buffer[start:stop])
        del self._buffer[:stop]
        self.is_at_end = self._next_size(0) == _END
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
