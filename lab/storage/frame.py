"""Format of a log segment: a header, then frames, each one transaction batch; zeros to the end of the file.

    segment   magic "ZLOG", version u32, first zxid i64, the zxid before it in the history i64, CRC-32 of these u32
    frame     magic, CRC-32 of the rest of this header u32, then the rest: CRC-32 of the body u32, body bytes u32,
              offset of the frame in its file u64, first zxid i64, durable_upto i64, count u32, unused u32; the body

All little-endian.  The body and its CRC are the batch's own, so appending computes a CRC over 40 bytes only.  The
offset keeps a copy of a frame that lies somewhere else, say inside a client's data, from being taken for one.
"""

import struct
from zlib import crc32

import msgspec

from lab.storage.errors import DataFolderError
from lab.zab.constants import COUNTER_MAX, NO_ZXID, ZXID_MAX
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, counter_of, show

VERSION = 1
BODY_BYTES_MAX = 256 << 20  # no length field above it is believed

_SEGMENT_MAGIC = b"ZLOG"
_SEGMENT = struct.Struct("<4sIqq")
_CRC = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT.size + _CRC.size

FRAME_MAGIC = b"\xf5Zb\n"
_REST = struct.Struct("<IIQqqII")
_REST_AT = len(FRAME_MAGIC) + _CRC.size
FRAME_HEADER_BYTES = _REST_AT + _REST.size
FRAME_BYTES_MAX = FRAME_HEADER_BYTES + BODY_BYTES_MAX

_pack_rest = _REST.pack
_pack_crc = _CRC.pack


class BadFrameError(Exception):
    """There is something at this offset of a segment, but it is no intact header or frame."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame's header, checked; `durable_upto` was known flushed when the frame was written (Z-6)."""

    offset: int
    first: Zxid
    count: int
    durable_upto: Zxid
    body_crc: int
    body_bytes: int

    @property
    def last(self) -> Zxid:
        return self.first + self.count - 1

    @property
    def end(self) -> int:
        """Offset of the byte after this frame."""
        return self.offset + FRAME_HEADER_BYTES + self.body_bytes


def pack_segment_header(first: Zxid, previous: Zxid) -> bytes:
    fields = _SEGMENT.pack(_SEGMENT_MAGIC, VERSION, first, previous)
    return fields + _pack_crc(crc32(fields))


def unpack_segment_header(raw: bytes, path: str, first: Zxid) -> Zxid:
    """The zxid before the segment's `first`.

    Raises BadFrameError for a torn or damaged header, DataFolderError for an intact one of another version.
    """
    if len(raw) < SEGMENT_HEADER_BYTES:
        raise BadFrameError(0, f"segment header of {SEGMENT_HEADER_BYTES} bytes ends after {len(raw)}")
    found, header_crc = crc32(raw[: _SEGMENT.size]), _CRC.unpack_from(raw, _SEGMENT.size)[0]
    magic, version, labelled, previous = _SEGMENT.unpack_from(raw)
    if magic != _SEGMENT_MAGIC:
        raise BadFrameError(0, f"magic {magic!r} is not a log segment's")
    if found != header_crc:
        raise BadFrameError(0, f"segment header checksum {found:#x}, header says {header_crc:#x}")
    if version != VERSION:
        raise DataFolderError(path, f"log format {version}, this program knows {VERSION}")
    if labelled != first:
        raise BadFrameError(0, f"segment header says first zxid {show(labelled)}, the file's name {show(first)}")
    return int(previous)


def pack_frame_header(batch: TxnBatch, offset: int, durable_upto: Zxid) -> bytes:
    rest = _pack_rest(batch.crc, len(batch.body), offset, batch.first, durable_upto, batch.count, 0)
    return FRAME_MAGIC + _pack_crc(crc32(rest)) + rest


def unpack_frame_header(raw: bytes, at: int, offset: int) -> Frame:
    """The frame header at `raw[at:]`, which was read at `offset` of its file.  Raises BadFrameError."""
    if len(raw) - at < FRAME_HEADER_BYTES:
        raise BadFrameError(offset, "frame header is cut off by the end of the file")
    if raw[at : at + len(FRAME_MAGIC)] != FRAME_MAGIC:
        raise BadFrameError(offset, "no frame starts here")
    header_crc = _CRC.unpack_from(raw, at + len(FRAME_MAGIC))[0]
    found = crc32(raw[at + _REST_AT : at + FRAME_HEADER_BYTES])
    if found != header_crc:
        raise BadFrameError(offset, f"frame header checksum {found:#x}, header says {header_crc:#x}")
    body_crc, body_bytes, written_at, first, durable_upto, count, _ = _REST.unpack_from(raw, at + _REST_AT)
    if written_at != offset:
        raise BadFrameError(offset, f"frame was written for byte {written_at}")
    if not (0 < first <= ZXID_MAX and 0 < count <= COUNTER_MAX and NO_ZXID < durable_upto < first):
        raise BadFrameError(offset, f"frame of {count} transactions from {first:#x}, durable up to {durable_upto:#x}")
    if not 0 < counter_of(first) <= COUNTER_MAX - count:
        raise BadFrameError(offset, f"frame of {count} transactions from {first:#x} leaves its epoch")
    if body_bytes > BODY_BYTES_MAX:
        raise BadFrameError(offset, f"body of {body_bytes} bytes, allowed are {BODY_BYTES_MAX}")
    return Frame(offset, first, count, durable_upto, body_crc, body_bytes)
