"""Generations: a history is replaced as a whole by switching to another folder (Z-11), and made there first (Z-12)."""

import msgspec

from lab.storage.disk import Disk, read_file, replace_file
from lab.storage.errors import CorruptSnapshotError, DataFolderError
from lab.storage.layout import CURRENT, TMP, generation_name, generation_number, labelled, snapshot_name
from lab.storage.line import LINE_BYTES_MAX, open_line, seal_line
from lab.storage.snapshot import SnapshotWriter
from lab.storage.snapshots import find_whole
from lab.zab.zxid import Zxid


class Generation(msgspec.Struct, frozen=True):
    """A folder and the snapshot in it to start from, a whole one of `base`; its log is the business of `Log`."""

    folder: str
    base: Zxid
    snapshot: str
    damaged: tuple[tuple[Zxid, CorruptSnapshotError], ...] = ()  # newer snapshots, passed over


def load_current(disk: Disk, data_dir: str) -> Generation | None:
    """The generation in force with its newest whole snapshot; None if there never was one (zab.md 7.4).

    Raises DataFolderError or CorruptSnapshotError, which name the file, if CURRENT points at nothing usable.
    """
    pointer = f"{data_dir}/{CURRENT}"
    if not disk.exists(pointer):
        return None
    content = read_file(disk, pointer, LINE_BYTES_MAX)
    name = open_line(CURRENT, content)
    if name is None or generation_number(name) is None:
        raise DataFolderError(pointer, f"holds {content!r}, not the name of a generation with its checksum")
    folder = f"{data_dir}/{name}"
    if not disk.exists(folder):
        raise DataFolderError(pointer, f"points at {name}, which is missing")
    found = find_whole(disk, folder)
    if found.path:
        return Generation(folder, found.zxid, found.path, found.damaged)
    if found.damaged:
        raise found.damaged[0][1]
    raise DataFolderError(folder, "holds no snapshot")


def drop_leftovers(disk: Disk, data_dir: str, keep: Generation | None) -> None:
    """Remove what a crash left: generations that are not in force, unfinished writes in the one that is (Z-8)."""
    for name in _generations(disk, data_dir):
        if keep is None or f"{data_dir}/{name}" != keep.folder:
            remove_generation(disk, data_dir, f"{data_dir}/{name}")
    if keep is not None:
        unfinished = [name for name in disk.listdir(keep.folder) if name.endswith(TMP)]
        for name in unfinished:
            disk.unlink(f"{keep.folder}/{name}")
        if unfinished:
            disk.sync_dir(keep.folder)


def remove_generation(disk: Disk, data_dir: str, folder: str) -> None:
    for name in disk.listdir(folder):
        disk.unlink(f"{folder}/{name}")
    disk.rmdir(folder)
    disk.sync_dir(data_dir)


def history_files(disk: Disk, data_dir: str, stem: str) -> list[str]:
    """The logs, or snapshots, of all generations."""
    return [
        f"{data_dir}/{generation}/{name}"
        for generation in _generations(disk, data_dir)
        for _, name in labelled(disk.listdir(f"{data_dir}/{generation}"), stem)
    ]


def _generations(disk: Disk, data_dir: str) -> list[str]:
    return [name for name in disk.listdir(data_dir) if generation_number(name) is not None]


class Installation:
    """A new generation in the making: `add` its snapshot's chunks, then `finish`, which switches to it."""

    def __init__(self, disk: Disk, data_dir: str, zxid: Zxid) -> None:
        numbers = [number for name in disk.listdir(data_dir) if (number := generation_number(name)) is not None]
        self._disk = disk
        self._data_dir = data_dir
        self._name = generation_name(max(numbers, default=0) + 1)
        folder = f"{data_dir}/{self._name}"
        disk.mkdir(folder)
        self.generation = Generation(folder, zxid, f"{folder}/{snapshot_name(zxid)}")
        self._writer = SnapshotWriter(disk.create(self.generation.snapshot), zxid)

    def add(self, data: bytes) -> None:
        self._writer.add(data)

    def finish(self) -> Generation:
        """Make it durable and put it in force, by one atomic rename; the old one still stands beside it."""
        self._writer.seal()
        self._disk.sync_dir(self.generation.folder)
        self._disk.sync_dir(self._data_dir)  # the folder must be there before anything points at it
        replace_file(self._disk, self._data_dir, CURRENT, seal_line(CURRENT, self._name))
        return self.generation

    def close(self) -> None:
        """Let go of the file; what is written stays until it is removed."""
        self._writer.close()

    def discard(self) -> None:
        """Give the attempt up and remove what it wrote."""
        self.close()
        remove_generation(self._disk, self._data_dir, self.generation.folder)
