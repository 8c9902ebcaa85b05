"""Snapshot files: opaque chunks, framed and sealed (zab.md 7.3, Z-11).

    file      magic "ZSNP", version u32, zxid i64, CRC-32 of these u32
    chunk     bytes u32, CRC-32 of the data started with the chunk's number u32, data
    seal      0xffffffff u32, CRC-32 of the rest u32, number of chunks u64, bytes in all of them u64

All little-endian.  A snapshot without its seal was never finished.
"""

import struct
from collections.abc import Generator, Iterable, Iterator
from zlib import crc32

from lab.storage.disk import Disk, DiskFile
from lab.storage.errors import CorruptSnapshotError
from lab.zab.zxid import Zxid, show

VERSION = 1
CHUNK_BYTES_MAX = 256 << 20  # no length field above it is believed
_UNSYNCED_BYTES_MAX = 8 << 20  # so that no single flush of a large snapshot keeps its server from answering

_MAGIC = b"ZSNP"
_HEADER = struct.Struct("<4sIq")
_CRC = struct.Struct("<I")
_HEADER_BYTES = _HEADER.size + _CRC.size
_CHUNK = struct.Struct("<II")
_SEAL = struct.Struct("<QQ")
_SEALED = 0xFFFF_FFFF


class SnapshotWriter:
    """Writes one snapshot, chunk by chunk; nothing is durable before `seal`."""

    def __init__(self, file: DiskFile, zxid: Zxid) -> None:
        """`file` is empty and belongs to this object from now on."""
        header = _HEADER.pack(_MAGIC, VERSION, zxid)
        self._file = file
        self._end = _HEADER_BYTES
        self._chunks = 0
        self._bytes = 0
        self._synced_upto = 0
        try:
            self._file.write_at(0, [header, _CRC.pack(crc32(header))])
        except BaseException:
            self._file.close()
            raise

    def add(self, data: bytes) -> None:
        assert len(data) <= CHUNK_BYTES_MAX, len(data)
        self._file.write_at(self._end, [_CHUNK.pack(len(data), _chunk_crc(data, self._chunks)), data])
        self._end += _CHUNK.size + len(data)
        self._chunks += 1
        self._bytes += len(data)
        if self._end - self._synced_upto > _UNSYNCED_BYTES_MAX:
            self._file.datasync()
            self._synced_upto = self._end

    def seal(self) -> None:
        """End the snapshot and make its content durable; its name is not yet."""
        totals = _SEAL.pack(self._chunks, self._bytes)
        self._file.write_at(self._end, [_CHUNK.pack(_SEALED, crc32(totals)), totals])
        self._file.sync()
        self.close()

    def close(self) -> None:
        self._file.close()


def write_snapshot(file: DiskFile, zxid: Zxid, chunks: Iterable[bytes]) -> Generator[None, None, None]:
    """Write a whole snapshot, one chunk a step; its content is durable after the last step.  Takes over `file`."""
    writer = SnapshotWriter(file, zxid)
    try:
        for data in chunks:
            writer.add(data)
            yield
        writer.seal()
    finally:
        writer.close()


def read_snapshot(disk: Disk, path: str, zxid: Zxid) -> Iterator[bytes]:
    """The chunks of a snapshot of `zxid`, lazily.  Raises CorruptSnapshotError; a walk to the end proves it whole."""
    file = disk.open(path)
    try:
        _check_header(file.read_at(0, _HEADER_BYTES), path, zxid)
        yield from _read_chunks(file, path)
    finally:
        file.close()


def verify_snapshot(disk: Disk, path: str, zxid: Zxid) -> None:
    """Raises CorruptSnapshotError unless all of it can be read and its seal agrees."""
    for _ in read_snapshot(disk, path, zxid):
        pass


def looks_whole(disk: Disk, path: str, zxid: Zxid) -> bool:
    """Whether its two ends are those of a finished snapshot; what lies between is not read (zab.md 7.3)."""
    file = disk.open(path)
    try:
        _check_header(file.read_at(0, _HEADER_BYTES), path, zxid)
        end = file.read_at(max(file.size() - _CHUNK.size - _SEAL.size, _HEADER_BYTES), _CHUNK.size + _SEAL.size)
    except CorruptSnapshotError:
        return False
    finally:
        file.close()
    return len(end) == _CHUNK.size + _SEAL.size and _CHUNK.unpack_from(end) == (_SEALED, crc32(end[_CHUNK.size :]))


def _check_header(raw: bytes, path: str, zxid: Zxid) -> None:
    if len(raw) < _HEADER_BYTES:
        raise CorruptSnapshotError(path, 0, f"snapshot header of {_HEADER_BYTES} bytes ends after {len(raw)}")
    magic, version, labelled = _HEADER.unpack_from(raw)
    found, header_crc = crc32(raw[: _HEADER.size]), _CRC.unpack_from(raw, _HEADER.size)[0]
    if magic != _MAGIC:
        raise CorruptSnapshotError(path, 0, f"magic {magic!r} is not a snapshot's")
    if found != header_crc:
        raise CorruptSnapshotError(path, 0, f"header checksum {found:#x}, header says {header_crc:#x}")
    if version != VERSION:
        raise CorruptSnapshotError(path, 0, f"snapshot format {version}, this program knows {VERSION}")
    if labelled != zxid:
        raise CorruptSnapshotError(path, 0, f"header says zxid {show(labelled)}, the file's name {show(zxid)}")


def _read_chunks(file: DiskFile, path: str) -> Iterator[bytes]:
    offset, chunks, total, end = _HEADER_BYTES, 0, 0, file.size()
    while True:
        raw = file.read_at(offset, _CHUNK.size)
        if len(raw) < _CHUNK.size:
            raise CorruptSnapshotError(path, offset, "ends without its seal")
        size, crc = _CHUNK.unpack(raw)
        if size == _SEALED:
            break
        if size > min(CHUNK_BYTES_MAX, end - offset - _CHUNK.size):
            raise CorruptSnapshotError(path, offset, f"chunk of {size} bytes is cut off or too large")
        data = file.read_at(offset + _CHUNK.size, size)
        found = _chunk_crc(data, chunks)
        if found != crc:
            raise CorruptSnapshotError(path, offset, f"chunk checksum {found:#x}, its header says {crc:#x}")
        yield data
        offset, chunks, total = offset + _CHUNK.size + size, chunks + 1, total + size
    totals = file.read_at(offset + _CHUNK.size, _SEAL.size)
    if len(totals) < _SEAL.size or crc32(totals) != crc or _SEAL.unpack(totals) != (chunks, total):
        raise CorruptSnapshotError(path, offset, f"the seal does not stand for {chunks} chunks of {total} bytes")


def _chunk_crc(data: bytes, number: int) -> int:
    return crc32(data, number & 0xFFFF_FFFF)
