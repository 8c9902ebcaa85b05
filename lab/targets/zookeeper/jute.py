"""ZooKeeper's wire protocol (jute): what is sent, and where one reply ends and the next begins.

Everything is big-endian; a frame is a length and so many bytes; a string or buffer is a length (-1: none) and its
bytes.  A reply does not say what it answers, but the server gives back the request's xid as it came: the two low bits
of our xids tell what was asked for, so that a frame of replies can be decoded by itself.
"""

import struct
from enum import IntEnum
from functools import cache

import msgspec

REPLY_BYTES_MAX = 64 << 20  # a list of 1,000,000 children has 20 MB; a length beyond this is no length
HEADER_BYTES = 16  # of a reply: xid, zxid, error
PASSWORD_BYTES_MAX = 256

KIND_BITS = 2
CXID_MAX = (1 << (31 - KIND_BITS)) - 1  # an xid is a signed 32-bit number, and negative ones are the protocol's own
XID_PING = -2

_pack_int = struct.Struct(">i").pack
_pack_head = struct.Struct(">ii").pack
_unpack_int = struct.Struct(">i").unpack_from
_unpack_head = struct.Struct(">ii").unpack_from
_CONNECT = struct.Struct(">iqiq")  # protocol version, last zxid seen, timeout in ms, session
_CONNECTED = struct.Struct(">iiq")  # protocol version, timeout in ms, session


class Kind(IntEnum):
    """What a request asked for, as its xid says: which reply to expect."""

    DATA = 0  # getData: buffer and Stat
    STAT = 1  # setData: Stat
    CREATED = 2  # create2: path and Stat
    OTHER = 3  # sync, getChildren: whatever else


class Op(IntEnum):
    """ZooDefs.OpCode, as far as it is spoken here."""

    GET_DATA = 4
    SET_DATA = 5
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    CREATE2 = 15
    CLOSE_SESSION = -11


class JuteError(Exception):
    """A server sent what is no reply: one line."""


class SessionExpiredError(JuteError):
    """The server knows the session no more, or never did."""


class Connected(msgspec.Struct, frozen=True):
    """ConnectResponse.  `timeout_ms` 0: the session that was to be resumed is gone."""

    timeout_ms: int
    session: int
    password: bytes


def _buffer(data: bytes) -> bytes:
    return _pack_int(len(data)) + data


_ANY_VERSION, _NO_WATCH, _PERSISTENT = _pack_int(-1), b"\0", _pack_int(0)
_OPEN_ACL = _pack_int(1) + _pack_int(31) + _buffer(b"world") + _buffer(b"anyone")


@cache
def _opening(op: Op, path: str) -> bytes:
    """What follows the xid: op and path.  A workload has few paths and asks for them often."""
    return _pack_int(op) + _buffer(path.encode())


def set_data(cxid: int, path: str, data: bytes) -> bytes:
    """Whatever the version; 0.4 us."""
    body = _opening(Op.SET_DATA, path)
    size = len(body) + len(data) + 12
    return _pack_head(size, cxid << KIND_BITS | Kind.STAT) + body + _pack_int(len(data)) + data + _ANY_VERSION


def get_data(cxid: int, path: str) -> bytes:
    body = _opening(Op.GET_DATA, path)
    return _pack_head(len(body) + 5, cxid << KIND_BITS | Kind.DATA) + body + _NO_WATCH


def create(cxid: int, path: str, data: bytes) -> bytes:
    """Persistent, open to everybody; create2, whose reply has the node's zxid."""
    body = _opening(Op.CREATE2, path) + _buffer(data) + _OPEN_ACL + _PERSISTENT
    return _pack_head(len(body) + 4, cxid << KIND_BITS | Kind.CREATED) + body


def sync(cxid: int) -> bytes:
    """Answered once the server has applied what the leader had committed when it was asked."""
    body = _opening(Op.SYNC, "/")
    return _pack_head(len(body) + 4, cxid << KIND_BITS | Kind.OTHER) + body


def get_children(cxid: int, path: str) -> bytes:
    body = _opening(Op.GET_CHILDREN, path)
    return _pack_head(len(body) + 5, cxid << KIND_BITS | Kind.OTHER) + body + _NO_WATCH


def ping() -> bytes:
    """Keeps an idle session; its reply is out of turn and nobody's."""
    return _buffer(_pack_head(XID_PING, Op.PING))


def close_session(cxid: int) -> bytes:
    return _buffer(_pack_head(cxid << KIND_BITS | Kind.OTHER, Op.CLOSE_SESSION))


def connect(last_zxid: int, timeout_ms: int, session: int, password: bytes) -> bytes:
    """The first frame of a connection; session 0 asks for a new one.  A server that is behind `last_zxid` hangs up."""
    return _buffer(_CONNECT.pack(0, last_zxid, timeout_ms, session) + _buffer(password) + b"\0")


def xid_of(request: bytes) -> int:
    return int(_unpack_head(request)[1])


def connected(data: bytes) -> tuple[Connected, int] | None:
    """The answer to `connect` at the head of `data` and where it ends; None if more has to come.  JuteError."""
    if len(data) < 4:
        return None
    size = _size_of(data, 0, _CONNECTED.size + 4)
    if len(data) < 4 + size:
        return None
    _, timeout_ms, session = _CONNECTED.unpack_from(data, 4)
    begin = 4 + _CONNECTED.size + 4
    (length,) = _unpack_int(data, begin - 4)
    if not 0 <= length <= min(PASSWORD_BYTES_MAX, 4 + size - begin):
        raise JuteError(f"a password of {length} bytes in a connect response of {size}")
    return Connected(timeout_ms, session, data[begin : begin + length]), 4 + size


def split(data: bytes) -> tuple[int, int, bool]:
    """How many whole replies stand at the head of `data`, where they end, and whether any was not asked for.

    Those that were not asked for (pings, watches) are not counted.  0.15 us a reply.  JuteError.
    """
    count, begin, strangers = 0, 0, False
    last = len(data) - 8
    while begin <= last:
        size, xid = _unpack_head(data, begin)
        if not HEADER_BYTES <= size <= REPLY_BYTES_MAX:
            raise JuteError(f"a reply of {size} bytes, allowed: {HEADER_BYTES} to {REPLY_BYTES_MAX}")
        end = begin + 4 + size
        if end > len(data):
            break
        if xid >= 0:
            count += 1
        else:
            strangers = True
        begin = end
    if begin > last and len(data) - begin >= 4:
        _size_of(data, begin, HEADER_BYTES)
    return count, begin, strangers


def asked_for(frame: bytes) -> bytes:
    """The frame of whole replies less those that nobody asked for."""
    return b"".join(reply for xid, reply in replies(frame) if xid >= 0)


def replies(frame: bytes) -> list[tuple[int, bytes]]:
    """(xid, the reply with its length) of a frame of whole replies."""
    found, begin = [], 0
    while begin < len(frame):
        size, xid = _unpack_head(frame, begin)
        found.append((xid, frame[begin : begin + 4 + size]))
        begin += 4 + size
    return found


def zxid_of(reply: bytes) -> int:
    return int.from_bytes(reply[8:16], "big", signed=True)


def _size_of(data: bytes, at: int, least: int) -> int:
    (size,) = _unpack_int(data, at)
    if not least <= size <= REPLY_BYTES_MAX:
        raise JuteError(f"a reply of {size} bytes, allowed: {least} to {REPLY_BYTES_MAX}")
    return int(size)
