"""Files, fsync and rename: all that storage asks of an operating system, so that a simulator can stand in for it.

What a power cut may do, and a fake has to imitate: bytes written since the file's last `sync` or `datasync` may be
there or not, page by page in any order, and so may a new size; names made, moved or removed since the folder's last
`sync_dir` may be there or not, one by one, but a rename is never half done.  The death of the process alone loses
nothing.

Files are made 0600, folders 0700.  Every failure of a real disk is a `DiskError` that names the file.
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from typing import Protocol

from lab.storage.errors import DataFolderInUseError, DiskError

_BUFFERS_MAX = 1024  # IOV_MAX on Linux: buffers in one pwritev
_datasync = getattr(os, "fdatasync", os.fsync)


class DiskFile(Protocol):
    """An open file, read and written by position."""

    def write_at(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Write all buffers, one after the other, from `offset` on; grows the file where needed."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""

    def size(self) -> int: ...

    def regions(self, offset: int) -> list[tuple[int, int]]:
        """(start, stop) of what from `offset` on may hold anything but zeros, ascending."""

    def allocate(self, size: int) -> None:
        """Reserve disk space for `size` bytes and grow the file to it with zeros, so that writing cannot run out."""

    def truncate(self, size: int) -> None: ...

    def datasync(self) -> None:
        """Make the content durable (fdatasync), with as much metadata as reading it back needs."""

    def sync(self) -> None:
        """Make content and all metadata durable (fsync); wanted after a `truncate`."""

    def close(self) -> None: ...


class Lock(Protocol):
    def close(self) -> None:
        """Let go; the end of the process does it, too."""


class Disk(Protocol):
    """The operations on names.  Paths are strings with `/`."""

    def create(self, path: str) -> DiskFile:
        """Open a new, empty file; one of that name loses its content."""

    def open(self, path: str) -> DiskFile: ...

    def exists(self, path: str) -> bool: ...

    def listdir(self, path: str) -> list[str]:
        """Names in sorted order."""

    def mkdir(self, path: str) -> None: ...

    def rmdir(self, path: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def sync_dir(self, path: str) -> None:
        """Make names made, moved and removed in this folder durable."""

    def lock(self, path: str) -> Lock:
        """Take the exclusive lock of this file, without waiting.  Raises DataFolderInUseError."""


class RealFile:
    """`DiskFile` on a file descriptor."""

    def __init__(self, path: str, flags: int) -> None:
        self.path = path
        try:
            self._fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DiskError(path, "open", error) from error

    def write_at(self, offset: int, buffers: Sequence[bytes]) -> None:
        try:
            for start in range(0, len(buffers), _BUFFERS_MAX):
                offset = self._write_some(offset, buffers[start : start + _BUFFERS_MAX])
        except OSError as error:
            raise DiskError(self.path, "write", error) from error

    def _write_some(self, offset: int, buffers: Sequence[bytes]) -> int:
        end = offset + sum(map(len, buffers))
        offset += os.pwritev(self._fd, buffers, offset)
        if offset < end:  # rare: a signal, or the disk is nearly full
            rest = memoryview(b"".join(buffers))
            while offset < end:
                offset += os.pwrite(self._fd, rest[len(rest) - (end - offset) :], offset)
        return end

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._fd, size, offset)
            while len(data) < size and (more := os.pread(self._fd, size - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise DiskError(self.path, "read", error) from error
        return data

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def regions(self, offset: int) -> list[tuple[int, int]]:
        found = []
        end = self.size()
        while offset < end:
            start, offset = self._next_region(offset, end)
            if start < offset:
                found.append((start, offset))
        return found

    def _next_region(self, offset: int, end: int) -> tuple[int, int]:
        if not hasattr(os, "SEEK_DATA"):
            return offset, end
        try:
            start = os.lseek(self._fd, offset, os.SEEK_DATA)
            return start, os.lseek(self._fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return end, end
            raise DiskError(self.path, "read", error) from error

    def allocate(self, size: int) -> None:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._fd, 0, size)
            else:
                os.ftruncate(self._fd, size)
        except OSError as error:
            raise DiskError(self.path, f"reserve {size} bytes", error) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise DiskError(self.path, f"cut to {size} bytes", error) from error

    def datasync(self) -> None:
        try:
            _datasync(self._fd)
        except OSError as error:
            raise DiskError(self.path, "flush", error) from error

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise DiskError(self.path, "flush", error) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RealDisk:
    """`Disk` of the operating system."""

    def create(self, path: str) -> RealFile:
        return RealFile(path, os.O_CREAT | os.O_TRUNC)

    def open(self, path: str) -> RealFile:
        return RealFile(path, 0)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def listdir(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise DiskError(path, "list", error) from error

    def mkdir(self, path: str) -> None:
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise DiskError(path, "make this folder", error) from error

    def rmdir(self, path: str) -> None:
        try:
            os.rmdir(path)
        except OSError as error:
            raise DiskError(path, "remove this folder", error) from error

    def rename(self, old: str, new: str) -> None:
        try:
            os.rename(old, new)
        except OSError as error:
            raise DiskError(old, f"rename to {new}", error) from error

    def unlink(self, path: str) -> None:
        try:
            os.unlink(path)
        except OSError as error:
            raise DiskError(path, "delete", error) from error

    def sync_dir(self, path: str) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise DiskError(path, "flush this folder", error) from error

    def lock(self, path: str) -> RealFile:
        """An flock: it follows the open file, so a forked child would share it, a second open would not."""
        file = RealFile(path, os.O_CREAT)
        try:
            fcntl.flock(file._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write_at(0, [f"process {os.getpid()}\n".encode()])
        except OSError as error:
            holder = file.read_at(0, 64).decode(errors="replace").strip()
            file.close()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise DataFolderInUseError(os.path.dirname(path), holder or "another process") from error
            raise DiskError(path, "lock", error) from error
        except DiskError:
            file.close()
            raise
        return file


def replace_file(disk: Disk, folder: str, name: str, content: bytes) -> None:
    """Give a small file new content so that a crash leaves the old or the new one, whole; durable on return."""
    temporary = f"{folder}/{name}.tmp"
    file = disk.create(temporary)
    try:
        file.write_at(0, [content])
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, f"{folder}/{name}")
    disk.sync_dir(folder)


def read_file(disk: Disk, path: str, bytes_max: int) -> bytes:
    """The first `bytes_max` bytes of a small file."""
    file = disk.open(path)
    try:
        return file.read_at(0, bytes_max)
    finally:
        file.close()


def file_bytes(disk: Disk, path: str) -> int:
    file = disk.open(path)
    try:
        return file.size()
    finally:
        file.close()
