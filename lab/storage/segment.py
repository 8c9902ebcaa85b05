"""Reading one log segment."""

from collections.abc import Iterator
from contextlib import suppress
from zlib import crc32

from lab.storage.disk import DiskFile
from lab.storage.frame import (
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    BadFrameError,
    Frame,
    unpack_frame_header,
)
from lab.zab.messages import TxnBatch

_CHUNK_BYTES = 1 << 20


class _Window:
    """A moving piece of a file, so that many small reads cost one system call."""

    def __init__(self, file: DiskFile, end: int) -> None:
        self._file = file
        self._end = end
        self._start = 0
        self._data = b""

    def locate(self, offset: int, size: int) -> tuple[bytes, int]:
        """A buffer and the place of `offset` in it, with at least `size` bytes from there on unless the file ends."""
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            wanted = min(max(size, _CHUNK_BYTES), max(self._end - offset, 0))
            self._data, self._start, at = self._file.read_at(offset, wanted), offset, 0
        return self._data, at


def read_frames(file: DiskFile, offset: int) -> Iterator[tuple[Frame, TxnBatch]]:
    """Intact frames from `offset` on, up to where no frame was written: zeros or the end of the file.

    Raises BadFrameError where something else stands.  The file stays open and is the caller's.
    """
    end = file.size()
    window = _Window(file, end)
    while True:
        raw, at = window.locate(offset, FRAME_HEADER_BYTES)
        if _is_blank(raw, at):
            return
        frame = unpack_frame_header(raw, at, offset)
        if frame.end > end:
            raise BadFrameError(offset, f"body of {frame.body_bytes} bytes is cut off by the end of the file")
        raw, at = window.locate(offset + FRAME_HEADER_BYTES, frame.body_bytes)
        body = raw[at : at + frame.body_bytes]
        found = crc32(body)
        if found != frame.body_crc:
            raise BadFrameError(offset, f"body checksum {found:#x}, header says {frame.body_crc:#x}")
        yield frame, TxnBatch(frame.first, frame.count, frame.body_crc, body)
        offset = frame.end


def _is_blank(raw: bytes, at: int) -> bool:
    return not any(raw[at : at + FRAME_HEADER_BYTES])


def search_frames(file: DiskFile, offset: int) -> Iterator[Frame]:
    """Every intact frame header from `offset` on, wherever it stands.

    A body behind it need not be intact: the header alone tells what had been flushed when it was written.
    Holes are asked for once, before anything is read: reading one leaves pages in the cache that then count as data.
    (Recovery of a short log in a segment of 64 MiB: 48 ms without this, 4 ms with.)
    """
    for start, stop in file.regions(offset):
        yield from _search_region(file, start, stop)


def _search_region(file: DiskFile, offset: int, stop: int) -> Iterator[Frame]:
    while offset < stop:
        raw = file.read_at(offset, min(_CHUNK_BYTES, stop - offset + FRAME_HEADER_BYTES))
        at = raw.find(FRAME_MAGIC)
        while at >= 0:
            header = raw[at : at + FRAME_HEADER_BYTES]
            if len(header) < FRAME_HEADER_BYTES:
                header = file.read_at(offset + at, FRAME_HEADER_BYTES)
            with suppress(BadFrameError):  # these bytes may only look like a frame's first ones
                yield unpack_frame_header(header, 0, offset + at)
            at = raw.find(FRAME_MAGIC, at + 1)
        offset += max(len(raw) - len(FRAME_MAGIC) + 1, 1)
