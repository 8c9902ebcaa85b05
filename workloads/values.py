"""Values that say who wrote them: derived from (seed, client, cxid), so that a checker recomputes them.

    bytes 0-7    client (16 bits) and cxid (48 bits), big-endian
    bytes 8-     filler: a window of a pad of random bytes, which the seed alone decides; the window's place depends on
                 client and cxid

A value of exactly 8 bytes has no filler; shorter ones are refused, since they could not name their writer.
"""

import struct
from functools import cache
from random import Random

HEADER_BYTES = 8
VALUE_BYTES_MAX = 1 << 20  # one znode's data (ZooKeeper: jute.maxbuffer)
CXID_BITS = 48
CLIENT_MAX = (1 << 16) - 1
WINDOWS = 1 << 16  # places at which a filler may begin, before the client's own shift
_CLIENT_STEP = 7919  # clients' windows differ: a prime, so that neighbours do not overlap in step

pack_header = struct.Struct(">Q").pack
_unpack_header = struct.Struct(">Q").unpack_from


@cache
def pad_of(seed: int, size: int) -> bytes:
    return Random(f"values of {seed}").randbytes(2 * WINDOWS + size)


def header_base(client: int) -> int:
    """What to add to a cxid to get the header as an integer."""
    assert 0 <= client <= CLIENT_MAX, client
    return client << CXID_BITS


def shift_of(client: int) -> int:
    """The client's own shift of every window."""
    return client * _CLIENT_STEP % WINDOWS


def value_of(seed: int, client: int, cxid: int, size: int) -> bytes:
    """The value of `size` bytes that `client` writes in its operation `cxid`."""
    begin = shift_of(client) + cxid % WINDOWS
    return pack_header(header_base(client) + cxid) + pad_of(seed, size)[begin : begin + size - HEADER_BYTES]


def writer_of(data: bytes) -> tuple[int, int] | None:
    """(client, cxid) that a value names as its writer; None if it is shorter than the header."""
    if len(data) < HEADER_BYTES:
        return None
    (header,) = _unpack_header(data)
    return header >> CXID_BITS, header & ((1 << CXID_BITS) - 1)
