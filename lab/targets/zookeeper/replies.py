"""What replies say: a frame of them as columns, for the recorder, and one by one, for the reading back."""

import struct
from array import array
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from lab.client.history import Outcome, Znode
from lab.targets.zookeeper.jute import HEADER_BYTES, KIND_BITS, JuteError, Kind, replies

_HEADER = struct.Struct(">iiqi")  # length, xid, zxid, error
_STAT = struct.Struct(">qqqqiiiqiiq")
# czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral owner, data length, children, pzxid
_LENGTH = struct.Struct(">i")
_SET = struct.Struct(_HEADER.format + _STAT.format[1:])
_KIND = (1 << KIND_BITS) - 1
_BEGIN = 4 + HEADER_BYTES  # of a reply's body
_UNSURE_LEAST = -99  # ZooKeeper's system errors, -1 to -99: what became of the request they do not say

_ACKNOWLEDGED, _NONE = array("q", (Outcome.ACKNOWLEDGED,)), array("q", (-1,))  # repeated by copying memory

ERRORS = {
    -1: "system error", -2: "runtime inconsistency", -3: "data inconsistency", -4: "connection loss",
    -5: "marshalling error", -6: "unimplemented", -7: "operation timeout", -8: "bad arguments", -101: "no node",
    -102: "no auth", -103: "bad version", -110: "node exists", -111: "not empty", -112: "session expired",
    -115: "auth failed", -118: "session moved", -119: "not read-only", -125: "quota exceeded", -127: "throttled",
}  # fmt: skip


class Answers(NamedTuple):
    """The replies of one frame, in order, a column each (`lab.targets.opening.Answers` says what they mean)."""

    cxids: Sequence[int]
    outcomes: Sequence[int]
    zxids: Sequence[int]
    versions: Sequence[int]
    mzxids: Sequence[int]
    values: Sequence[bytes | None]


class Reply(msgspec.Struct, frozen=True):
    """One reply, opened."""

    xid: int
    zxid: int  # of a write: its own; else the last one that the server had applied
    error: int  # 0: none
    node: Znode | None = None  # whatever its kind tells of one
    body: bytes = b""  # of Kind.OTHER


def decode_answers(frame: bytes) -> Answers:
    """Frames of one kind of reply of one size, which most are, go a fast way.  Raises JuteError."""
    if not frame:
        return Answers([], [], [], [], [], [])
    size, xid, _, error = _HEADER.unpack_from(frame)
    if error == 0 and len(frame) % (4 + size) == 0:
        kind = xid & _KIND
        if kind == Kind.STAT and 4 + size == _SET.size and (answers := _of_sets(frame)):
            return answers
        if kind == Kind.DATA and (answers := _of_reads(frame, size)):
            return answers
    return Answers(*map(list, zip(*[_row(opened(reply)) for _, reply in replies(frame)], strict=True)))


def _of_sets(frame: bytes) -> Answers | None:
    """None unless all of it are successful sets: each length says where the next one stands."""
    sizes, xids, _, errors, _, mzxids, _, _, versions, *_ = zip(*_SET.iter_unpack(frame), strict=True)
    count = len(xids)
    if set(sizes) != {_SET.size - 4} or any(errors) or {xid & _KIND for xid in xids} != {Kind.STAT}:
        return None
    cxids = [xid >> KIND_BITS for xid in xids]
    return Answers(cxids, _ACKNOWLEDGED * count, mzxids, versions, _NONE * count, [None] * count)


@cache
def _read_of(data_bytes: int) -> struct.Struct:
    return struct.Struct(f"{_HEADER.format}i{data_bytes}s{_STAT.format[1:]}")


def _of_reads(frame: bytes, size: int) -> Answers | None:
    """As `_of_sets`, of reads of values of one length."""
    data_bytes = size - HEADER_BYTES - _LENGTH.size - _STAT.size
    if data_bytes < 0:
        return None
    columns = zip(*_read_of(data_bytes).iter_unpack(frame), strict=True)
    sizes, xids, zxids, errors, lengths, values, _, mzxids, _, _, versions, *_ = columns
    if set(sizes) != {size} or any(errors) or {xid & _KIND for xid in xids} != {Kind.DATA}:
        return None
    if set(lengths) != {data_bytes}:
        return None  # an empty value may be written as none at all
    cxids = [xid >> KIND_BITS for xid in xids]
    return Answers(cxids, _ACKNOWLEDGED * len(xids), zxids, versions, mzxids, values)


def opened(reply: bytes) -> Reply:
    """One reply, its length included.  Raises JuteError naming what its kind does not allow."""
    _, xid, zxid, error = _HEADER.unpack_from(reply)
    if error:
        return Reply(xid, zxid, error)
    kind, size = xid & _KIND, len(reply)
    if kind == Kind.OTHER:
        return Reply(xid, zxid, 0, None, reply[_BEGIN:])
    if kind == Kind.STAT:
        if size != _BEGIN + _STAT.size:
            raise JuteError(f"the reply to request {xid >> KIND_BITS} has {size} bytes, not those of a Stat")
        node = _node(reply, _BEGIN, b"")
        return Reply(xid, node.mzxid, 0, node)
    data, end = buffer_at(reply, _BEGIN)
    if size != end + _STAT.size:
        raise JuteError(f"the reply to request {xid >> KIND_BITS} has {size} bytes: no data and Stat")
    node = _node(reply, end, data)
    return Reply(xid, node.czxid if kind == Kind.CREATED else zxid, 0, node)


def buffer_at(reply: bytes, at: int) -> tuple[bytes, int]:
    """The buffer or string that begins there and where it ends; none at all is read as empty."""
    if len(reply) < at + 4:
        raise JuteError(f"a reply of {len(reply)} bytes ends within a length")
    (length,) = _LENGTH.unpack_from(reply, at)
    end = at + 4 + max(0, length)
    if length < -1 or end > len(reply):
        raise JuteError(f"a buffer of {length} bytes in a reply of {len(reply)}")
    return reply[at + 4 : end], end


def names_in(body: bytes) -> list[str]:
    """The vector of strings that a list of children is.  Raises JuteError."""
    if len(body) < 4:
        raise JuteError("a list of children without its length")
    (count,), at, names = _LENGTH.unpack_from(body), 4, []
    for _ in range(count):
        name, at = buffer_at(body, at)
        names.append(_text(name))
    return names


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise JuteError(f"a name that is no UTF-8: {name!r}") from error


def _node(reply: bytes, at: int, data: bytes) -> Znode:
    czxid, mzxid, _, _, version, *_ = _STAT.unpack_from(reply, at)
    return Znode(czxid, mzxid, version, data)


def _row(reply: Reply) -> tuple[int, int, int, int, int, bytes | None]:
    cxid, node = reply.xid >> KIND_BITS, reply.node
    if reply.error:
        outcome = Outcome.UNKNOWN if _UNSURE_LEAST <= reply.error < 0 else Outcome.FAILED
        return cxid, outcome, reply.zxid, -1, -1, None
    if node is None:
        return cxid, Outcome.ACKNOWLEDGED, reply.zxid, -1, -1, None
    if reply.xid & _KIND == Kind.DATA:
        return cxid, Outcome.ACKNOWLEDGED, reply.zxid, node.version, node.mzxid, node.data
    return cxid, Outcome.ACKNOWLEDGED, reply.zxid, node.version, -1, None


def error_text(error: int) -> str:
    return ERRORS.get(error, f"error {error}")


def failure(frame: bytes) -> str:
    """The first failed request of a frame in words; empty if none failed."""
    for _, reply in replies(frame):
        _, xid, _, error = _HEADER.unpack_from(reply)
        if error:
            return f"request {xid >> KIND_BITS} failed: {error_text(error)}"
    return ""


def without_reads(frame: bytes) -> bytes:
    return b"".join(reply for xid, reply in replies(frame) if xid & _KIND != Kind.DATA)
