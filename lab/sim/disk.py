"""A disk in memory that can lose, when the power fails, what a real one may lose (see `lab.storage.disk`)."""

import errno
from collections.abc import Callable, Iterator, Sequence

from lab.storage.errors import DataFolderInUseError, DiskError

PAGE_BYTES = 512  # small, so that little data spans several pages

Survives = Callable[[], bool]  # asked for every single thing that was not made durable


def nothing_survives() -> bool:
    return False


def nothing_happens() -> None: ...


class InjectedDiskError(DiskError):
    """This fake failed on purpose."""


class ProcessDiedError(Exception):
    """The process ends here.  In the midst of a write of several pages the share `torn` of it is done."""

    def __init__(self, torn: float = 0.0) -> None:
        super().__init__()
        self.torn = torn


class _Inode:
    """A file's content as processes see it, and what of it is certain."""

    def __init__(self, page_bytes: int) -> None:
        self.content = bytearray()
        self._page_bytes = page_bytes
        self._durable = b""
        self._dirty: set[int] = set()  # pages written since the last sync

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > len(self.content):
            self.resize(end)
        self.content[offset:end] = data
        self._dirty.update(range(offset // self._page_bytes, -(-end // self._page_bytes)))

    def resize(self, size: int) -> None:
        if size < len(self.content):
            del self.content[size:]
        else:
            self.content.extend(bytes(size - len(self.content)))

    def sync(self) -> None:
        self._durable = bytes(self.content)
        self._dirty.clear()

    def lose_power(self, survives: Survives) -> None:
        kept = bytearray(self._durable)
        if len(kept) != len(self.content) and survives():
            kept = kept[: len(self.content)] + bytes(max(len(self.content) - len(kept), 0))
        for page in sorted(self._dirty):
            start = page * self._page_bytes
            stop = min(start + self._page_bytes, len(kept), len(self.content))
            if start < stop and survives():
                kept[start:stop] = self.content[start:stop]
        self.content = kept
        self.sync()


class _Folder:
    """A folder's names as processes see them, and the changes that are not certain yet."""

    def __init__(self) -> None:
        self.names: dict[str, _Node] = {}
        self._durable: dict[str, _Node] = {}
        self._changes: list[tuple[str, str, _Node | None]] = []  # name gone, name made, what it names then

    def link(self, name: str, node: "_Node", old_name: str = "") -> None:
        self._change((old_name, name, node))

    def unlink(self, name: str) -> None:
        self._change((name, "", None))

    def _change(self, change: "tuple[str, str, _Node | None]") -> None:
        _apply(change, self.names)
        self._changes.append(change)

    def sync(self) -> None:
        self._durable = dict(self.names)
        self._changes.clear()

    def lose_power(self, survives: Survives) -> None:
        for change in self._changes:
            if survives():
                _apply(change, self._durable)
        self.names = dict(self._durable)
        self._changes.clear()
        for name in sorted(self.names):
            self.names[name].lose_power(survives)


_Node = _Inode | _Folder


def _apply(change: tuple[str, str, _Node | None], names: dict[str, _Node]) -> None:
    gone, made, node = change
    names.pop(gone, None)
    if node is not None:
        names[made] = node


def _files(path: str, node: _Node) -> Iterator[tuple[str, bytearray]]:
    if isinstance(node, _Inode):
        yield path, node.content
    else:
        for name in sorted(node.names):
            yield from _files(f"{path}/{name}", node.names[name])


class _File:
    """`lab.storage.disk.DiskFile`."""

    def __init__(self, disk: "MemoryDisk", inode: _Inode, path: str) -> None:
        self._disk = disk
        self._inode = inode
        self._path = path

    def write_at(self, offset: int, buffers: Sequence[bytes]) -> None:
        data = b"".join(buffers)
        try:
            self._disk.before_operation()
        except ProcessDiedError as death:
            self._inode.write(offset, data[: int(len(data) * death.torn)])
            raise
        self._disk.take_space(self._path, offset + len(data) - len(self._inode.content))
        self._inode.write(offset, data)

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._inode.content[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.content)

    def regions(self, offset: int) -> list[tuple[int, int]]:
        return [(offset, self.size())]  # every byte may be something

    def allocate(self, size: int) -> None:
        self._disk.before_operation()
        self._disk.take_space(self._path, size - len(self._inode.content))
        self._inode.resize(max(size, len(self._inode.content)))

    def truncate(self, size: int) -> None:
        self._disk.before_operation()
        self._inode.resize(size)

    def datasync(self) -> None:
        self._disk.before_operation()
        self._inode.sync()

    def sync(self) -> None:
        self.datasync()

    def close(self) -> None: ...


class _Lock:
    def __init__(self, locks: set[str], path: str) -> None:
        self._locks = locks
        self._path = path

    def close(self) -> None:
        self._locks.discard(self._path)


class MemoryDisk:
    """`lab.storage.disk.Disk`: one machine's disk, which outlives its processes.

    `before_operation` is called before every operation that changes or flushes something; what it raises comes out of
    that operation, which then has no effect.  While it is `full`, nothing grows and nothing is made.
    """

    def __init__(self, *, page_bytes: int = PAGE_BYTES) -> None:
        self.before_operation: Callable[[], object] = nothing_happens
        self.full = False
        self._page_bytes = page_bytes
        self._root = _Folder()
        self._locks: set[str] = set()

    def end_process(self) -> None:
        """The process that used it died: nothing written is lost, its locks are free."""
        self._locks.clear()

    def lose_power(self, survives: Survives) -> None:
        """As `end_process`; of what was not made durable `survives` decides, piece by piece."""
        self.end_process()
        self._root.lose_power(survives)

    def files(self) -> dict[str, bytearray]:
        """The content of every file, by path in sorted order; a change of it damages the file."""
        return dict(_files("", self._root))

    def take_space(self, path: str, more: int) -> None:
        """Raises InjectedDiskError if there is none for `more` bytes in this file."""
        if self.full and more > 0:
            raise InjectedDiskError(path, "write", OSError(errno.ENOSPC, "No space left on device"))

    # -- Disk

    def create(self, path: str) -> _File:
        self.before_operation()
        parent, name = self._parent(path)
        node = parent.names.get(name)
        if isinstance(node, _Inode):
            node.resize(0)
            return _File(self, node, path)
        self.take_space(path, 1)
        inode = _Inode(self._page_bytes)
        parent.link(name, inode)
        return _File(self, inode, path)

    def open(self, path: str) -> _File:
        return _File(self, self._inode(path), path)

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def listdir(self, path: str) -> list[str]:
        return sorted(self._folder(path).names)

    def mkdir(self, path: str) -> None:
        self.before_operation()
        self.take_space(path, 1)
        parent, name = self._parent(path)
        parent.link(name, _Folder())

    def rmdir(self, path: str) -> None:
        self.before_operation()
        assert not self._folder(path).names, path
        parent, name = self._parent(path)
        parent.unlink(name)

    def rename(self, old: str, new: str) -> None:
        self.before_operation()
        (parent, old_name), (same, new_name) = self._parent(old), self._parent(new)
        assert parent is same, (old, new)
        parent.link(new_name, self._inode(old), old_name)

    def unlink(self, path: str) -> None:
        self.before_operation()
        self._inode(path)
        parent, name = self._parent(path)
        parent.unlink(name)

    def sync_dir(self, path: str) -> None:
        self.before_operation()
        self._folder(path).sync()

    def lock(self, path: str) -> _Lock:
        if path in self._locks:
            raise DataFolderInUseError(path, "another process")
        if not self.exists(path):
            self.create(path)
        self._locks.add(path)
        return _Lock(self._locks, path)

    # -- names

    def _find(self, path: str) -> _Node | None:
        node: _Node = self._root
        for name in path.split("/"):
            if name:
                if not isinstance(node, _Folder) or name not in node.names:
                    return None
                node = node.names[name]
        return node

    def _inode(self, path: str) -> _Inode:
        node = self._find(path)
        if not isinstance(node, _Inode):
            raise DiskError(path, "open", OSError(errno.ENOENT, "No such file or directory"))
        return node

    def _folder(self, path: str) -> _Folder:
        node = self._find(path)
        if not isinstance(node, _Folder):
            raise DiskError(path, "list", OSError(errno.ENOENT, "No such file or directory"))
        return node

    def _parent(self, path: str) -> tuple[_Folder, str]:
        folder, _, name = path.rpartition("/")
        return self._folder(folder), name
