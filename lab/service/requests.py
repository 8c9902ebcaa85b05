"""What clients and servers say to each other (zab.md 5.6, 5.9, 8.1).

A frame from a client is a list of requests, a frame to it a list of replies, in the order of the requests.  The first
request of a session on a link is Connect; writes may follow in the same frame.  A link carries one session at a time,
and outlives it: after Closed, or to replace it, the client may send another Connect.  Connected and Closed each stand
alone in their frame, so that a client under load notices them by the frame's first bytes and may decode the other
frames later.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Annotated

import msgspec

from lab.zab.batches import array_header
from lab.zab.constants import ZXID_MAX
from lab.zab.messages import Record

DATA_BYTES_MAX = 1 << 20  # one znode's data (ZooKeeper: jute.maxbuffer)
PATH_CHARS_MAX = 4096
MULTI_OPS_MAX = 1000
REQUESTS_MAX = 1 << 16  # in one frame; a load process has no more of them outstanding

SessionId = int  # chosen by the client: random, positive, 63 bits

_Zxid = Annotated[int, msgspec.Meta(ge=0, le=ZXID_MAX)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Cxid = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]  # 0 stands for the Connect
_Path = Annotated[str, msgspec.Meta(min_length=1, max_length=PATH_CHARS_MAX)]
_Data = Annotated[bytes, msgspec.Meta(max_length=DATA_BYTES_MAX)]
_Version = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 31)]


class ErrorCode(IntEnum):
    """ZooKeeper's codes (zab.md 10.4)."""

    OK = 0
    RUNTIME_INCONSISTENCY = -2  # of a multi's op: one before it failed, so it was not tried
    UNIMPLEMENTED = -6
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_MOVED = -118
    QUOTA_EXCEEDED = -125  # here: a parent has no sequence number left


class CreateMode(IntEnum):
    """Flags of a create; ephemeral nodes come later (zab.md 8.2)."""

    PERSISTENT = 0
    PERSISTENT_SEQUENTIAL = 2


class Connect(Record, tag=100, frozen=True):
    """Attach a session to this server.  `attachment` counts the session's attachments: the greatest one owns it.

    A server that has applied less than `last_zxid` refuses (zab.md 5.7), one that does not serve yet answers once it
    does, or closes.
    """

    session: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    attachment: _Natural
    last_zxid: _Zxid


class Create(Record, tag=1, frozen=True):
    """`flags` is a CreateMode.

    A sequential node's path is `path` with ten digits more: how many children its parent has ever had (zab.md 8.1).
    """

    cxid: _Cxid
    path: _Path
    data: _Data
    flags: Annotated[int, msgspec.Meta(ge=0, le=6)] = CreateMode.PERSISTENT


class Delete(Record, tag=2, frozen=True):
    """`version` -1 matches any."""

    cxid: _Cxid
    path: _Path
    version: _Version = -1


class SetData(Record, tag=5, frozen=True):
    """`version` -1 matches any."""

    cxid: _Cxid
    path: _Path
    data: _Data
    version: _Version = -1


class CreateOp(Record, tag=1, frozen=True):
    """Part of a Multi, as the three below: like the request of that name."""

    path: _Path
    data: _Data
    flags: Annotated[int, msgspec.Meta(ge=0, le=6)] = CreateMode.PERSISTENT


class DeleteOp(Record, tag=2, frozen=True):
    path: _Path
    version: _Version = -1


class SetDataOp(Record, tag=5, frozen=True):
    path: _Path
    data: _Data
    version: _Version = -1


class CheckOp(Record, tag=13, frozen=True):
    """Fails unless the node exists and has this data version; -1 matches any."""

    path: _Path
    version: _Version = -1


Op = CreateOp | DeleteOp | SetDataOp | CheckOp


class Multi(Record, tag=14, frozen=True):
    """All of `ops`, each validated after those before it, as one transaction with one zxid; or none (zab.md 8.4)."""

    cxid: _Cxid
    ops: Annotated[list[Op], msgspec.Meta(min_length=1, max_length=MULTI_OPS_MAX)]


class Exists(Record, tag=3, frozen=True):
    cxid: _Cxid
    path: _Path


class GetData(Record, tag=4, frozen=True):
    cxid: _Cxid
    path: _Path


class GetChildren(Record, tag=8, frozen=True):
    cxid: _Cxid
    path: _Path


class Sync(Record, tag=9, frozen=True):
    """Answered once this server has applied everything that was committed when the leader got it (zab.md 5.8)."""

    cxid: _Cxid


Write = Create | Delete | SetData | Multi
Read = Exists | GetData | GetChildren
Request = Connect | Create | Delete | SetData | Multi | Exists | GetData | GetChildren | Sync


class Stat(Record, frozen=True):
    """ZooKeeper's Stat without clocks, ACLs and owners (zab.md 8.1)."""

    czxid: int
    mzxid: int
    pzxid: int
    version: int
    cversion: int
    data_length: int
    children: int


class Connected(Record, tag=100, frozen=True):
    """The session is attached; `zxid` is what this server had applied then.  `attachment` is the Connect's."""

    session: int
    zxid: int
    attachment: int


class Closed(Record, tag=101, frozen=True):
    """The attachment is over: everything of it that was not answered is *unknown* (it may yet happen)."""

    session: int
    reason: str
    attachment: int  # which Connect's: a late answer to an abandoned attachment must not end its successor


class Done(Record, tag=1, frozen=True):
    """A write or sync took effect at `zxid`; `version` is the node's data version after it (0 after a create).

    A sequential create gets Created instead.
    """

    cxid: int
    zxid: int
    version: int


class Created(Record, tag=10, frozen=True):
    """A sequential create took effect at `zxid`: this is the node's path."""

    cxid: int
    zxid: int
    path: str


class Failed(Record, tag=2, frozen=True):
    """The request definitely had no effect.  A failed write has a zxid of its own (zab.md 1.2)."""

    cxid: int
    zxid: int
    error: int


class MultiDone(Record, tag=14, frozen=True):
    """All ops took effect at `zxid`; results are a create's path, the version after a set or check, 0 of a delete."""

    cxid: int
    zxid: int
    results: list[str | int]


class MultiFailed(Record, tag=15, frozen=True):
    """No op had any effect.  An error of each: OK before the one that failed, RUNTIME_INCONSISTENCY after it."""

    cxid: int
    zxid: int
    errors: list[int]


class Data(Record, tag=4, frozen=True):
    """getData: the data, and the write (`mzxid`) it came from; `zxid` is what this server had applied."""

    cxid: int
    zxid: int
    mzxid: int
    version: int
    data: bytes


class StatReply(Record, tag=3, frozen=True):
    cxid: int
    zxid: int
    stat: Stat


class Children(Record, tag=8, frozen=True):
    """Names in sorted order."""

    cxid: int
    zxid: int
    names: list[str]


Reply = Connected | Closed | Done | Created | Failed | MultiDone | MultiFailed | Data | StatReply | Children

encode_frame = msgspec.msgpack.Encoder().encode
decode_requests = msgspec.msgpack.Decoder(Annotated[list[Request], msgspec.Meta(max_length=REQUESTS_MAX)]).decode
decode_replies = msgspec.msgpack.Decoder(list[Reply]).decode


def reply_frames(replies: Sequence[Reply], replies_max: int, bytes_max: int) -> Iterator[bytes]:
    """`replies` in frames of at most `bytes_max`, unless one reply alone is longer; made when they are asked for.

    No more than `replies_max` replies are encoded at once, and then joined as far as a frame holds them.
    """
    parts, count, size = list[bytes](), 0, 0
    runs = [replies[start : start + replies_max] for start in range(0, len(replies), replies_max)]
    while runs:
        run = runs.pop(0)
        part = encode_frame(run)
        if len(part) > bytes_max and len(run) > 1:
            runs[:0] = [run[: len(run) // 2], run[len(run) // 2 :]]
            continue
        if parts and size + len(part) > bytes_max:
            yield _join(parts, count)
            parts, count, size = [], 0, 0
        parts.append(part[len(array_header(len(run))) :])
        count, size = count + len(run), size + len(part)
    yield _join(parts, count)


def _join(parts: list[bytes], count: int) -> bytes:
    return array_header(count) + b"".join(parts)
