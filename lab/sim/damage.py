"""Damaging what a dead server had flushed, where no honest crash could have done it: the server has to notice."""

import random

from lab.sim.disk import PAGE_BYTES, MemoryDisk
from lab.sim.machine import DATA_DIR
from lab.storage.frame import SEGMENT_HEADER_BYTES, BadFrameError
from lab.storage.layout import ACCEPTED_EPOCH, CURRENT, CURRENT_EPOCH, labelled
from lab.storage.line import open_line
from lab.storage.segment import read_frames


def damage(disk: MemoryDisk, rng: random.Random, *, zeroed: bool) -> str | None:
    """Flip a bit, or zero a page: of the snapshot in force, the small files, a log segment that is closed.  Says where.

    Only of a segment that is followed by a frame: that one proves that all before it was flushed (Z-6).  None, and
    nothing is touched, if there is nothing to damage.
    """
    files = disk.files()
    candidates = _candidates(disk, files)
    if not candidates:
        return None
    path = rng.choice(list(candidates))
    content, needed = files[path], candidates[path]
    at = rng.randrange(needed)
    if zeroed:
        start = at - at % PAGE_BYTES
        stop = min(start + PAGE_BYTES, needed)
        if not any(content[start:stop]):
            return None
        content[start:stop] = bytes(stop - start)
        return f"{path}: zeros from byte {start} to {stop}"
    bit = 1 << rng.randrange(8)
    content[at] ^= bit
    return f"{path}: byte {at}: bit {bit:#x} flipped"


def _candidates(disk: MemoryDisk, files: dict[str, bytearray]) -> dict[str, int]:
    """Files, and how many of their first bytes are needed for certain: not the blank space behind a log's frames."""
    pointer = files.get(f"{DATA_DIR}/{CURRENT}")
    name = open_line(CURRENT, bytes(pointer)) if pointer is not None else None
    if name is None:
        return {}
    folder = f"{DATA_DIR}/{name}"
    lines = [path for name in (CURRENT, ACCEPTED_EPOCH, CURRENT_EPOCH) if (path := f"{DATA_DIR}/{name}") in files]
    whole = {path: len(files[path]) for path in lines}
    names = disk.listdir(folder)
    segments = [(path := f"{folder}/{name}", _end_of_frames(disk, path)) for _, name in labelled(names, "log")]
    with_frames = [number for number, (_, end) in enumerate(segments) if end]
    closed = segments[: with_frames[-1]] if with_frames else []
    snapshots = [f"{folder}/{name}" for _, name in labelled(names, "snapshot")]
    if len(snapshots) > 1:  # any of them will do, and what is before it may be damaged
        return whole
    return {**whole, **{path: len(files[path]) for path in snapshots}, **{path: end for path, end in closed if end}}


def _end_of_frames(disk: MemoryDisk, path: str) -> int:
    """Of the intact ones at the beginning of a log segment; 0 if there are none."""
    file, end = disk.open(path), 0
    try:
        for frame, _ in read_frames(file, SEGMENT_HEADER_BYTES):
            end = frame.end
    except BadFrameError:
        pass  # torn behind these
    finally:
        file.close()
    return end
