"""Replies as a ZooKeeper server writes them."""

import struct

from lab.targets.zookeeper.jute import Kind

STAT = struct.Struct(">qqqqiiiqiiq")
SESSION = 0x1000_0000_0000_0001


def stat(czxid: int, mzxid: int, version: int, data_bytes: int = 0) -> bytes:
    return STAT.pack(czxid, mzxid, 1, 2, version, 0, 0, 0, data_bytes, 0, czxid)


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def reply(kind: int, cxid: int, zxid: int, body: bytes = b"", error: int = 0) -> bytes:
    return framed(struct.pack(">iqi", cxid << 2 | kind, zxid, error) + body)


def set_reply(cxid: int, mzxid: int, version: int = 1) -> bytes:
    """The header names the last transaction that the server has applied, which may be a later one."""
    return reply(Kind.STAT, cxid, mzxid + 5, stat(1, mzxid, version))


def get_reply(cxid: int, zxid: int, mzxid: int, data: bytes, version: int = 7) -> bytes:
    return reply(Kind.DATA, cxid, zxid, framed(data) + stat(1, mzxid, version, len(data)))


def created_reply(cxid: int, czxid: int, path: str) -> bytes:
    return reply(Kind.CREATED, cxid, czxid + 5, framed(path.encode()) + stat(czxid, czxid, 0))


def sync_reply(cxid: int, zxid: int) -> bytes:
    return reply(Kind.OTHER, cxid, zxid, framed(b"/"))


PING_REPLY = framed(struct.pack(">iqi", -2, 9, 0))


def connect_response(timeout_ms: int = 30_000, session: int = SESSION) -> bytes:
    return framed(struct.pack(">iiq", 0, timeout_ms, session) + framed(b"p" * 16) + b"\0")
