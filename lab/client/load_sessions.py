"""A client's sessions as a load process drives them: batches of requests, raw frames of replies decoded later."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from lab.client.history import Outcome
from lab.client.pool import SessionPool
from lab.client.session import reply_count
from lab.service.requests import (
    Children,
    Create,
    Created,
    Data,
    Done,
    ErrorCode,
    Failed,
    GetData,
    MultiDone,
    MultiFailed,
    Reply,
    SetData,
    StatReply,
    Sync,
    decode_replies,
    encode_frame,
)
from lab.zab.zxid import epoch_of

_decode_done = msgspec.msgpack.Decoder(list[Done]).decode
_decode_data = msgspec.msgpack.Decoder(list[Data]).decode
_DONE, _DATA = 1, 4  # tags
_SHORT_MAX, _ARRAY16 = 0x9F, 0xDC
_ACKNOWLEDGED, _NONE = array("q", (Outcome.ACKNOWLEDGED,)), array("q", (-1,))  # repeated by copying memory


class Answers(NamedTuple):
    """The replies of one frame, in order, a column each (`lab.targets.opening.Answers` says what they mean)."""

    cxids: Sequence[int]
    outcomes: Sequence[int]
    zxids: Sequence[int]
    versions: Sequence[int]
    mzxids: Sequence[int]
    values: Sequence[bytes | None]


class LoadSessions(SessionPool):
    """`lab.targets.opening.Sessions`, for the lab's own ensemble."""

    set_data, get_data, create, sync = SetData, GetData, Create, Sync

    def watch(self, fd: int) -> None:
        self.endpoint.watch(fd)

    def decode(self, frame: bytes) -> Answers:
        return decode_answers(frame)

    def failure(self, frame: bytes) -> str:
        for reply in decode_replies(frame):
            if isinstance(reply, Failed):
                return f"request {reply.cxid} failed: {_error_name(reply.error)}"
            if isinstance(reply, MultiFailed):
                return f"request {reply.cxid} failed: {', '.join(map(_error_name, reply.errors))}"
        return ""

    def without_reads(self, frame: bytes) -> bytes:
        return encode_frame([reply for reply in decode_replies(frame) if not isinstance(reply, Data)])

    def epoch_of(self, zxid: int) -> int:
        return epoch_of(zxid)


def decode_answers(frame: bytes) -> Answers:
    """Frames of one kind of reply, which most are, go a fast way: 0.2 us a write."""
    if reply_count(frame) == 0:
        return Answers([], [], [], [], [], [])
    kind = _first_tag(frame)
    try:
        if kind == _DONE:
            return _of_writes(_decode_done(frame))
        if kind == _DATA:
            return _of_reads(_decode_data(frame))
    except msgspec.ValidationError:
        pass  # mixed
    return _of_any(decode_replies(frame))


def _first_tag(frame: bytes) -> int:
    first = frame[0]
    return frame[2 if first <= _SHORT_MAX else 4 if first == _ARRAY16 else 6]


def _of_writes(replies: list[Done]) -> Answers:
    count = len(replies)
    return Answers(
        [reply.cxid for reply in replies],
        _ACKNOWLEDGED * count,
        [reply.zxid for reply in replies],
        [reply.version for reply in replies],
        _NONE * count,
        [None] * count,
    )


def _of_reads(replies: list[Data]) -> Answers:
    return Answers(
        [reply.cxid for reply in replies],
        _ACKNOWLEDGED * len(replies),
        [reply.zxid for reply in replies],
        [reply.version for reply in replies],
        [reply.mzxid for reply in replies],
        [reply.data for reply in replies],
    )


def _of_any(replies: list[Reply]) -> Answers:
    return Answers(*map(list, zip(*map(_row, replies), strict=True)))


def _row(reply: Reply) -> tuple[int, int, int, int, int, bytes | None]:
    match reply:
        case Done():
            return reply.cxid, Outcome.ACKNOWLEDGED, reply.zxid, reply.version, -1, None
        case Data():
            return reply.cxid, Outcome.ACKNOWLEDGED, reply.zxid, reply.version, reply.mzxid, reply.data
        case Created():
            return reply.cxid, Outcome.ACKNOWLEDGED, reply.zxid, 0, -1, None
        case MultiDone():
            return reply.cxid, Outcome.ACKNOWLEDGED, reply.zxid, -1, -1, None
        case Failed() | MultiFailed():
            return reply.cxid, Outcome.FAILED, reply.zxid, -1, -1, None
        case StatReply():
            return reply.cxid, Outcome.ACKNOWLEDGED, reply.zxid, reply.stat.version, reply.stat.mzxid, None
        case Children():
            return reply.cxid, Outcome.ACKNOWLEDGED, reply.zxid, -1, -1, None
    raise AssertionError(f"{reply} in a frame of answers")


def _error_name(error: int) -> str:
    try:
        return ErrorCode(error).name
    except ValueError:
        return f"error {error}"
