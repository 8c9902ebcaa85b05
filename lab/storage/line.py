"""Files of one line that tell whether they are what was written: the value, and a CRC-32 of the file's name and value.

    acceptedEpoch    7 d2a6f3c1

One flipped bit makes another digit of a digit: a promise that was never given, or one that was forgotten.
"""

from zlib import crc32

LINE_BYTES_MAX = 64


def seal_line(name: str, value: str) -> bytes:
    return f"{value} {_seal(name, value)}\n".encode()


def open_line(name: str, content: bytes) -> str | None:
    """The value, or None if these bytes are not what `seal_line` made for a file of this name."""
    value = content.decode("ascii", errors="replace").rpartition(" ")[0]
    return value if content == seal_line(name, value) else None


def _seal(name: str, value: str) -> str:
    return f"{crc32(f'{name} {value}'.encode()):08x}"
