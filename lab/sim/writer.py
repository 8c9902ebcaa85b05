"""What stands for the forked child that writes a snapshot: the same write, in slices of virtual time (Z-8)."""

from collections.abc import Iterable

from lab.storage.disk import Disk
from lab.storage.errors import DiskError
from lab.storage.snapshot import write_snapshot
from lab.zab.zxid import Zxid


class SlicedWriter:
    """Satisfies `lab.storage.snapshots.Writer`: writes one chunk each time it is asked how far it is.

    So turns of its server, crashes and power cuts come in between, as they do with a real child.
    """

    def __init__(self, disk: Disk, path: str, zxid: Zxid, chunks: Iterable[bytes]) -> None:
        self._steps = write_snapshot(disk.open(path), zxid, list(chunks))  # a fork's memory is a copy
        self._outcome: bool | None = None

    def outcome(self) -> bool | None:
        if self._outcome is None:
            try:
                next(self._steps)
            except StopIteration:
                self._outcome = True
            except DiskError:
                self._outcome = False
        return self._outcome

    def kill(self) -> None:
        self._steps.close()
        self._outcome = False
