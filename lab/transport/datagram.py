"""What a datagram of a session looks like on the wire; all integers are little-endian.

    prefix 8, largest u64, limit u64, floor u64, run u32, delay u16, kind u8, channel u8,
    number u64, offset u64, size u16, data

`prefix` names session and direction.  `largest - run < n <= largest` are the newest numbers that the sender has
received without a gap, the largest of them `delay` ago.  `limit` is the stream offset up to which it takes data of
`channel`.  Below `floor` lie only numbers whose fate no longer matters to it.  `size` is that of the data: what was cut
on its way is known by it.

    DATA    a piece of the channel's stream, from `offset` on
    ASKING  the same; the sender waits for the acknowledgement before it sends more
    PING    empty; acknowledged at once, with the present limit of its channel
    ACK     not numbered itself (`number` is the next one to be used), nor acknowledged; further runs of received
            numbers follow, newest first: u32 missing and u32 received ones, downwards.  One that comes again tells
            nothing new, and is not counted
    CLOSE   ends the session

Everything that is alike in the datagrams of one burst stands before `number`: a receiver compares it at once.
A stream is its frames one after another, each behind its length (u32).
"""

from collections.abc import Sequence
from struct import Struct

PREFIX_BYTES = 8
_HEAD = Struct("<8sQQQIHBB")
_PLACE = Struct("<QQH")
_HEADER = Struct("<8sQQQIHBBQQH")
_GAP = Struct("<II")
HEAD_BYTES = _HEAD.size
HEADER_BYTES = _HEADER.size
assert HEAD_BYTES + _PLACE.size == HEADER_BYTES, "the header is head and place"

DATA, ASKING, PING, ACK, CLOSE = 1, 2, 3, 4, 5
RANGES_MAX = 63  # in one ACK, the first one included
ACK_BYTES_MAX = HEADER_BYTES + (RANGES_MAX - 1) * _GAP.size
DELAY_UNIT_NS = 1 << 13
_DELAY_MAX = (1 << 16) - 1
_U32_MAX = (1 << 32) - 1

Range = tuple[int, int]  # first and last number, both included

_pack = _HEAD.pack
unpack_header = _HEADER.unpack_from
pack_place = _PLACE.pack
unpack_place = _PLACE.unpack_from


def pack_head(
    prefix: bytes, newest: Sequence[int], limit: int, floor: int, delay_ns: int, kind: int, channel: int
) -> bytes:
    """`newest` is the newest range of received numbers."""
    first, last = newest
    run, delay = last - first + 1, delay_ns // DELAY_UNIT_NS
    if run > _U32_MAX or not 0 <= delay <= _DELAY_MAX:
        run, delay = min(run, _U32_MAX), min(max(delay, 0), _DELAY_MAX)
    return _pack(prefix, last, limit, floor, run, delay, kind, channel)


def pack_ranges(ranges: Sequence[Sequence[int]]) -> bytes:
    """The older ranges of received numbers; `ranges` are all, oldest first."""
    packed = []
    below = ranges[-1][0]
    for first, last in ranges[-2 : -RANGES_MAX - 1 : -1]:
        missing, received = below - last - 1, last - first + 1
        if missing > _U32_MAX or received > _U32_MAX:
            break
        packed.append(_GAP.pack(missing, received))
        below = first
    return b"".join(packed)


def unpack_ranges(data: bytes, first: int) -> list[Range] | None:
    """The ranges behind the header of an ACK whose newest range begins with `first`; None if they are impossible."""
    if len(data) > ACK_BYTES_MAX or (len(data) - HEADER_BYTES) % _GAP.size:
        return None
    ranges = []
    for missing, received in _GAP.iter_unpack(data[HEADER_BYTES:]):
        last = first - missing - 1
        first = last - received + 1
        if not missing or not received or first < 0:
            return None
        ranges.append((first, last))
    return ranges
