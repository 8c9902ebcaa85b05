"""The log: batches appended and handed to the operating system, and read again as after a restart."""

import tempfile
from functools import partial
from pathlib import Path

from lab.bench.micro.disk import HeldDisk
from lab.bench.micro.inputs import FIRST, batches
from lab.bench.micro.part import Part, expect, now
from lab.storage.disk import Disk, RealDisk
from lab.storage.frame import FRAME_HEADER_BYTES
from lab.storage.log import Log

_RECOVERED = 100  # batches in the log that is read
_SEGMENT_BYTES = 64 << 20  # as servers have it
_FOLDER = "/log"


class Appending:
    """One batch at a time: append, then flush as `buffered` does, which is one write and no wait for the disk."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, rounds: int) -> float:
        """A run has a log of its own, of one segment whose file has no name any more once it is open."""
        first, *rest = batches(rounds + 1, self._count)
        frames_bytes = (rounds + 2) * (FRAME_HEADER_BYTES + len(first.body))
        with tempfile.TemporaryDirectory(prefix="zab-micro-") as folder:
            log = _open(RealDisk(), folder, max(_SEGMENT_BYTES, frames_bytes))
            log.append(first)
        log.flush()
        started = now()
        for batch in rest:
            log.append(batch)
            log.flush()
        seconds = now() - started
        log.close()
        return seconds

    def check(self) -> None:
        written = batches(2, self._count)
        with tempfile.TemporaryDirectory(prefix="zab-micro-") as folder:
            log = _open(RealDisk(), folder)
            for batch in written:
                log.append(batch)
                log.flush()
            sizes = [path.stat().st_size for path in Path(folder).iterdir()]
            log.close()
            expect(sizes, [_SEGMENT_BYTES], "file sizes")
            expect(list(_open(RealDisk(), folder).batches(FIRST - 1)), written, "what the log holds")


class Recovering:
    """All that a log holds is read, checked and noted."""

    def __init__(self, count: int) -> None:
        self._disk = HeldDisk()
        self._batches = batches(_RECOVERED, count)
        log = _open(self._disk, _FOLDER)
        for batch in self._batches:
            log.append(batch)
        log.flush()
        log.close()

    def run(self, rounds: int) -> float:
        started = now()
        for _ in range(rounds):
            _open(self._disk, _FOLDER)
        return now() - started

    def check(self) -> None:
        log = _open(self._disk, _FOLDER)
        expect(log.last, self._batches[-1].last, "the last zxid")
        expect(list(log.batches(FIRST - 1)), self._batches, "what the log holds")


def _open(disk: Disk, folder: str, segment_bytes: int = _SEGMENT_BYTES) -> Log:
    return Log(disk, folder, FIRST - 1, fsync=False, segment_bytes=segment_bytes)


PARTS = (
    *(
        Part(f"log/append/{count}", f"a batch of {count} logged and written, not flushed", "write", count, rounds,
             partial(Appending, count))
        for count, rounds in ((1, 800), (256, 200))
    ),
    Part("log/recover/256", "batches of 256 found in a log after a restart", "write", 256 * _RECOVERED, 3,
         partial(Recovering, 256)),
)  # fmt: skip
