"""The snapshots of one generation: which one to start from, which to keep, and the one that is being written."""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from lab.storage.disk import Disk
from lab.storage.errors import CorruptSnapshotError, DiskError
from lab.storage.layout import labelled, snapshot_name, unfinished_name
from lab.storage.snapshot import looks_whole, verify_snapshot, write_snapshot
from lab.zab.constants import ZXID_MAX
from lab.zab.zxid import Zxid

SNAPSHOTS_TRIED_MAX = 100  # zab.md 7.4, S34

Report = Callable[[str], None]  # takes one line for people


class Search(msgspec.Struct, frozen=True):
    """The newest whole snapshot, if there is one, and the damaged ones that are newer, newest first."""

    zxid: Zxid
    path: str  # empty: none is whole
    damaged: tuple[tuple[Zxid, CorruptSnapshotError], ...]


def find_whole(disk: Disk, folder: str, upto: Zxid = ZXID_MAX) -> Search:
    """Read snapshots of `upto` or less, newest first and up to SNAPSHOTS_TRIED_MAX of them, until one is whole."""
    damaged = []
    found = [(zxid, name) for zxid, name in labelled(disk.listdir(folder), "snapshot") if zxid <= upto]
    for zxid, name in found[: -SNAPSHOTS_TRIED_MAX - 1 : -1]:
        path = f"{folder}/{name}"
        try:
            verify_snapshot(disk, path, zxid)
        except CorruptSnapshotError as error:
            damaged.append((zxid, error))
        else:
            return Search(zxid, path, tuple(damaged))
    return Search(0, "", tuple(damaged))


def drop_newer(disk: Disk, folder: str, zxid: Zxid) -> None:
    """Delete the snapshots above `zxid`, newest first; durable on return (H-5)."""
    newer = [name for label, name in labelled(disk.listdir(folder), "snapshot") if label > zxid]
    for name in reversed(newer):
        disk.unlink(f"{folder}/{name}")
    if newer:
        disk.sync_dir(folder)


def purge_snapshots(disk: Disk, folder: str, retain: int) -> Zxid:
    """Delete all but the `retain` newest that look whole; returns the zxid of the oldest that is kept (zab.md 7.6)."""
    found = labelled(disk.listdir(folder), "snapshot")
    kept = [(zxid, name) for zxid, name in found if looks_whole(disk, f"{folder}/{name}", zxid)][-retain:]
    gone = [name for zxid, name in found if (zxid, name) not in kept]
    for name in gone:
        disk.unlink(f"{folder}/{name}")
    if gone:
        disk.sync_dir(folder)  # before the log that they would need goes, too
    return kept[0][0]


class Writer(Protocol):
    """Somebody who writes a snapshot while the server goes on."""

    def outcome(self) -> bool | None:
        """None while it is at work, then whether all is written and durable.  Does not wait."""

    def kill(self) -> None:
        """End it; on return it writes nothing any more."""


class StartWriter(Protocol):
    """Makes a `Writer`: a forked process, or what a simulator has for it.

    It writes these chunks, as they are at the time of this call, as a snapshot into the empty file at `path`, which it
    has to open for itself, and touches nothing else (Z-8).  Failing to start is an outcome like any failure.
    """

    def __call__(self, disk: Disk, path: str, zxid: Zxid, chunks: Iterable[bytes]) -> Writer: ...


class WrittenAtOnce:
    """A `Writer` that has done its work before anything else goes on."""

    def __init__(self, disk: Disk, path: str, zxid: Zxid, chunks: Iterable[bytes]) -> None:
        for _ in write_snapshot(disk.open(path), zxid, chunks):
            pass

    def outcome(self) -> bool | None:
        return True

    def kill(self) -> None:
        """There is nobody."""


class OwnSnapshot:
    """One snapshot of the own disk on its way: written under a temporary name, then kept or dropped (Z-8)."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        zxid: Zxid,
        incarnation: int,
        chunks: Iterable[bytes],
        start_writer: StartWriter,
        report: Report,
    ) -> None:
        self.zxid = zxid
        self._disk = disk
        self._folder = folder
        self._temporary = f"{folder}/{unfinished_name(zxid, incarnation)}"
        self._writer: Writer | None = None
        try:
            disk.create(self._temporary).close()  # here: so that nobody else ever makes or removes a name
        except DiskError as error:
            report(f"no snapshot is written: {error}")
        else:
            self._writer = start_writer(disk, self._temporary, zxid, chunks)

    def outcome(self) -> bool | None:
        return self._writer.outcome() if self._writer is not None else False

    def keep(self) -> str:
        """Give it its name; durable on return.  Returns the path."""
        path = f"{self._folder}/{snapshot_name(self.zxid)}"
        self._disk.rename(self._temporary, path)
        self._disk.sync_dir(self._folder)
        return path

    def drop(self) -> None:
        if self._disk.exists(self._temporary):  # else its generation is gone, and it with that
            self._disk.unlink(self._temporary)

    def kill(self) -> None:
        if self._writer is not None:
            self._writer.kill()
