"""fdatasync: of 4 KiB, and of as much as a batch of 64, 256 and 1,024 writes is, into blocks already written."""

import os
import tempfile
import time
from collections.abc import Iterator

from lab.bench.floors.shapes import batch_bytes
from lab.bench.probe import DEFAULT_DATA_DIR, Probe, Where

FILE_BYTES = 8 << 20  # reserved and zeroed, as the log does ahead of its end: no sync has to commit the journal
SYNCS_MAX, SECONDS_MAX = 200, 0.5
PAGE = 4096
_datasync = getattr(os, "fdatasync", os.fsync)


def measure(where: Where, syncs: int = SYNCS_MAX) -> Iterator[Probe]:
    folder = where.data_dir or DEFAULT_DATA_DIR
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"4KiB": PAGE, **{f"batch-{count}": len(batch_bytes(count)) for count in (64, 256, 1024)}}
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        os.pwrite(file.fileno(), bytes(FILE_BYTES), 0)
        os.fsync(file.fileno())
        for name, size in sizes.items():
            samples = list(_syncs(file.fileno(), size, syncs))
            yield Probe(name=f"floor/fdatasync/{name}", unit="µs", samples=samples, facts={"bytes": float(size)})


def _syncs(fd: int, size: int, count: int) -> Iterator[float]:
    """Microseconds of a write and its sync, one after the other through the file."""
    data, until, offset = os.urandom(size), time.perf_counter() + SECONDS_MAX, 0
    for _ in range(count):
        if (began := time.perf_counter_ns()) / 1e9 > until:
            return
        os.pwrite(fd, data, offset)
        _datasync(fd)
        yield (time.perf_counter_ns() - began) / 1e3
        offset = (offset + size) % (FILE_BYTES - size)
