"""A disk whose power fails before any chosen operation."""

import random

from lab.sim.disk import MemoryDisk, Survives, nothing_happens


class PowerCut(Exception):
    """The power failed before this operation."""


class Power:
    """Ends its block with a power cut before the operation after `operations`; None: only counts them, in `used`.

    What the cut takes with it is decided afterwards, by `MemoryDisk.lose_power`.
    """

    def __init__(self, disk: MemoryDisk, operations: int | None = None) -> None:
        self.failed = False
        self.used = 0
        self._disk = disk
        self._operations = operations

    def _use(self) -> None:
        if self.used == self._operations:
            raise PowerCut
        self.used += 1

    def __enter__(self) -> "Power":
        self._disk.before_operation = self._use
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._disk.before_operation = nothing_happens
        self.failed = kind is PowerCut
        return self.failed


def new_disk() -> MemoryDisk:
    return MemoryDisk(page_bytes=64)  # so that even the short histories of these tests span several pages


def coin(seed: int, share: float) -> Survives:
    """Says of each thing not made durable whether it survives."""
    rng = random.Random(seed)
    return lambda: rng.random() < share
