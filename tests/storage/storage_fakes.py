"""A disk in memory that loses, at a power cut, what a real one may lose: see the module text of lab.storage.disk."""

import errno
import random
from collections.abc import Callable, Iterator, Sequence

from lab.storage.errors import DataFolderInUseError, DiskError

PAGE = 64  # bytes; small, so that little data already spans several

Survives = Callable[[], bool]


class PowerCut(Exception):
    """The power failed before this operation."""


def coin(seed: int, share: float) -> Survives:
    """Says of each thing not made durable whether it survives."""
    rng = random.Random(seed)
    return lambda: rng.random() < share


class Inode:
    """Content as running programs see it, and what of it is certain to survive."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.durable = b""
        self.dirty: set[int] = set()  # numbers of the pages written since the last sync

    def write(self, offset: int, data: bytes) -> None:
        self.resize(max(len(self.content), offset + len(data)))
        self.content[offset : offset + len(data)] = data
        self.dirty.update(range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1) if data else ())

    def resize(self, size: int) -> None:
        if size < len(self.content):
            del self.content[size:]
        else:
            self.content.extend(bytes(size - len(self.content)))

    def sync(self) -> None:
        self.durable = bytes(self.content)
        self.dirty.clear()

    def lose_power(self, survives: Survives) -> None:
        kept = bytearray(self.durable)
        if len(kept) != len(self.content) and survives():
            kept = kept[: len(self.content)] + bytes(max(len(self.content) - len(kept), 0))
        for page in sorted(self.dirty):
            start, stop = page * PAGE, min((page + 1) * PAGE, len(self.content), len(kept))
            if start < stop and survives():
                kept[start:stop] = self.content[start:stop]
        self.content = kept
        self.sync()


class Folder:
    """Names as running programs see them, and the changes not yet certain."""

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self.changes: list[Callable[[dict[str, Node]], object]] = []

    def change(self, change: "Callable[[dict[str, Node]], object]") -> None:
        change(self.entries)
        self.changes.append(change)

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.changes.clear()

    def lose_power(self, survives: Survives) -> None:
        for change in self.changes:
            if survives():
                change(self.durable)
        self.entries = dict(self.durable)
        self.changes.clear()
        for node in self.entries.values():
            node.lose_power(survives)


Node = Inode | Folder


class FakeFile:
    def __init__(self, disk: "FakeDisk", inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def write_at(self, offset: int, buffers: Sequence[bytes]) -> None:
        self._disk.tick()
        self._inode.write(offset, b"".join(buffers))

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._inode.content[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.content)

    def regions(self, offset: int) -> list[tuple[int, int]]:
        return [(offset, self.size())]

    def allocate(self, size: int) -> None:
        self._disk.tick()
        self._inode.resize(max(size, len(self._inode.content)))

    def truncate(self, size: int) -> None:
        self._disk.tick()
        self._inode.resize(size)

    def datasync(self) -> None:
        self._disk.tick()
        self._inode.sync()

    def sync(self) -> None:
        self.datasync()

    def close(self) -> None: ...


class FakeLock:
    def __init__(self, disk: "FakeDisk", path: str) -> None:
        self._disk = disk
        self._path = path

    def close(self) -> None:
        self._disk.locks.discard(self._path)


class FakeDisk:
    """Satisfies `lab.storage.disk.Disk`.  `operations` left until the power fails; None: it does not."""

    def __init__(self) -> None:
        self.root = Folder()
        self.locks: set[str] = set()
        self.operations: int | None = None
        self.done = 0

    def tick(self) -> None:
        if self.operations is not None:
            if self.operations <= 0:
                raise PowerCut
            self.operations -= 1
        self.done += 1

    def lose_power(self, survives: Survives) -> None:
        """What was made durable is there afterwards; `survives` decides on everything else, piece by piece."""
        self.root.lose_power(survives)
        self.restart()

    def restart(self) -> None:
        """The process died: nothing is lost, its locks are free."""
        self.locks.clear()
        self.operations = None

    def files(self) -> Iterator[tuple[str, Inode]]:
        """(path, inode) of every file, in the order of paths."""
        stack: list[tuple[str, Node]] = [("", self.root)]
        while stack:
            path, node = stack.pop()
            if isinstance(node, Inode):
                yield path, node
            else:
                stack += sorted(((f"{path}/{name}", node) for name, node in node.entries.items()), reverse=True)

    def _find(self, path: str) -> Node | None:
        node: Node = self.root
        for name in path.strip("/").split("/"):
            if not isinstance(node, Folder) or name not in node.entries:
                return None
            node = node.entries[name]
        return node

    def _inode(self, path: str) -> Inode:
        node = self._find(path)
        if not isinstance(node, Inode):
            raise DiskError(path, "open", OSError(errno.ENOENT, "No such file or directory"))
        return node

    def _folder(self, path: str) -> Folder:
        node = self._find(path) if path else self.root
        assert isinstance(node, Folder), path
        return node

    def _parent(self, path: str) -> tuple[Folder, str]:
        head, _, name = path.rpartition("/")
        return self._folder(head), name

    def create(self, path: str) -> FakeFile:
        self.tick()
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if isinstance(node, Inode):
            node.resize(0)
            return FakeFile(self, node)
        inode = Inode()
        parent.change(lambda entries: entries.__setitem__(name, inode))
        return FakeFile(self, inode)

    def open(self, path: str) -> FakeFile:
        return FakeFile(self, self._inode(path))

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def listdir(self, path: str) -> list[str]:
        return sorted(self._folder(path).entries)

    def mkdir(self, path: str) -> None:
        self.tick()
        parent, name = self._parent(path)
        folder = Folder()
        parent.change(lambda entries: entries.__setitem__(name, folder))

    def rmdir(self, path: str) -> None:
        assert not self._folder(path).entries, path
        self._remove(path)

    def unlink(self, path: str) -> None:
        self._inode(path)
        self._remove(path)

    def _remove(self, path: str) -> None:
        self.tick()
        parent, name = self._parent(path)
        parent.change(lambda entries: entries.pop(name, None))

    def rename(self, old: str, new: str) -> None:
        self.tick()
        inode = self._inode(old)
        (parent, old_name), (same, new_name) = self._parent(old), self._parent(new)
        assert parent is same, (old, new)

        def change(entries: dict[str, Node]) -> None:
            entries.pop(old_name, None)
            entries[new_name] = inode

        parent.change(change)

    def sync_dir(self, path: str) -> None:
        self.tick()
        self._folder(path).sync()

    def lock(self, path: str) -> FakeLock:
        if path in self.locks:
            raise DataFolderInUseError(path, "another process")
        if not self.exists(path):
            self.create(path)
        self.locks.add(path)
        return FakeLock(self, path)
