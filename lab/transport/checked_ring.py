"""The ring for CPUs that may make stores visible out of order (everything but x86-64).

There `head` may be seen before the bytes that it publishes.  Every frame carries a CRC-32 of its header and payload,
and a reader that finds bytes which do not match looks again, for a bounded time, before it calls them corrupt.
"""

import mmap
from struct import Struct
from zlib import crc32

from lab.transport.errors import CorruptFrameError
from lab.transport.fence import STORES_IN_ORDER, full_fence
from lab.transport.ring import FRAGMENT, HEADER, LENGTH, SEQUENCE, Part, RingReader, RingWriter

CHECKSUMS = not STORES_IN_ORDER
_CRC = Struct("<I")
_ATTEMPTS = 10_000  # each takes a microsecond at least; a store is visible to every CPU long before


class CheckedRingWriter(RingWriter):
    def send(self, *parts: Part) -> bool:
        payload = b"".join(parts)
        return self._send_rare(b"", payload, len(payload))

    def _header(self, word: int, prefix: Part, payload: Part) -> bytes:
        header = HEADER.pack(word, self._sequence & SEQUENCE)
        return header + _CRC.pack(crc32(payload, crc32(prefix, crc32(header))))


class CheckedRingReader(RingReader):
    def _read(self, begin: int, available: int) -> list[bytes]:
        partial = bytes(self._partial)
        for _ in range(_ATTEMPTS):
            try:
                return super()._read(begin, available)
            except CorruptFrameError:
                self._partial[:] = partial
                full_fence()
        return super()._read(begin, available)

    def _parse(self, source: mmap.mmap | bytes, begin: int, end: int) -> list[bytes]:
        frames: list[bytes] = []
        sequence = self._sequence
        while begin <= end - 12:
            word, found = HEADER.unpack_from(source, begin)
            stop = begin + 12 + (word & LENGTH)
            if found != sequence or stop > end:
                raise CorruptFrameError(
                    f"frame {found} of length word {word:#x} where frame {sequence} stands in {end - begin} bytes"
                )
            (expected,) = _CRC.unpack_from(source, begin + 8)
            payload = source[begin + 12 : stop]
            if crc32(payload, crc32(source[begin : begin + 8])) != expected:
                raise CorruptFrameError(f"frame {sequence}: checksum does not match, header says {expected:#x}")
            if word & FRAGMENT:
                self._take_piece(word, sequence, payload, frames)
            else:
                frames.append(payload)
            sequence = sequence + 1 & SEQUENCE
            begin = stop
        if begin != end:
            raise CorruptFrameError(f"{end - begin} bytes after frame {sequence}: too few for a header")
        self._sequence = sequence
        return frames
