"""One client session, sans-IO: attaches to servers one after the other and knows what is owed to it (zab.md 5.6-5.9).

A session has at most one attachment at a time; `attachment` counts them.  Requests are answered in the order of
sending, so what is outstanding is a number and a frame of n replies answers the n oldest.  When an attachment ends,
everything outstanding is *unknown*: it may have happened, or may yet.  A request that was never sent is the caller's
to send elsewhere.  Reply frames are not decoded here, only counted; `lab.service.requests` says why that is enough.
"""

import os
from enum import Enum

from lab.service.requests import Closed, Connect, Connected, decode_replies

_ALONE = 0x91  # msgpack: an array of one; then the reply's own array header, then its tag
_CONNECTED, _CLOSED = 100, 101
_SHORT_MAX, _ARRAY16 = 0x9F, 0xDC


class State(Enum):
    DETACHED = 0
    CONNECTING = 1
    ATTACHED = 2


class BrokenReplyError(Exception):
    """A server answered what nobody asked: the attachment cannot be trusted any more."""


def reply_count(frame: bytes) -> int:
    """How many replies a frame holds, from its msgpack array header."""
    first = frame[0]
    if first <= _SHORT_MAX:
        return first & 0x0F
    return int.from_bytes(frame[1:3] if first == _ARRAY16 else frame[1:5], "big")


def is_announcement(frame: bytes) -> bool:
    """Whether the frame is Connected or Closed, which come alone."""
    return frame[0] == _ALONE and frame[2] in (_CONNECTED, _CLOSED)


def new_session_id() -> int:
    """Random, positive, 63 bits."""
    return int.from_bytes(os.urandom(8), "big") >> 1 or 1


class Session:
    """The state of one session.  Whoever owns the links sends what `connect` returns and hands in what arrives."""

    def __init__(self, session_id: int) -> None:
        self.id = session_id
        self.attachment = 0
        self.state = State.DETACHED
        self.server: int | None = None  # of this attachment, or of the last one
        self.outstanding = 0  # requests sent in this attachment and not answered; Connect does not count
        self.reason = "not attached yet"  # why the last attachment ended
        self._seen_zxid = 0
        self._last_answer = b""  # decoded only if its zxid is asked for

    @property
    def last_zxid(self) -> int:
        """The greatest zxid that this session was told; zxids never go back, so the last reply has it."""
        if self._last_answer:
            last = decode_replies(self._last_answer)[-1]
            self._seen_zxid = max(self._seen_zxid, 0 if isinstance(last, Closed) else last.zxid)
            self._last_answer = b""
        return self._seen_zxid

    def connect(self, server: int) -> Connect:
        """Begin an attachment to `server`; nothing else may be sent before it is answered."""
        assert self.state is State.DETACHED, (self.id, self.state)
        self.state, self.server = State.CONNECTING, server
        self.attachment += 1
        return Connect(self.id, self.attachment, self.last_zxid)

    def sent(self, count: int) -> None:
        """`count` requests were put on the link."""
        assert self.state is State.ATTACHED, (self.id, self.state)
        self.outstanding += count

    def receive(self, frame: bytes) -> int:
        """Take one frame of the attachment's link; returns how many of the oldest outstanding requests it answers.

        Frames that an earlier attachment left in the link are passed over.  `state` tells whether this one attached the
        session or ended it; in the latter case the caller has read `outstanding` before.
        """
        if is_announcement(frame):
            self._announced(frame)
            return 0
        if self.state is not State.ATTACHED:
            return 0
        count = reply_count(frame)
        if count > self.outstanding:
            raise BrokenReplyError(f"server {self.server} sent {count} replies to {self.outstanding} requests")
        self.outstanding -= count
        self._last_answer = frame
        return count

    def detach(self, reason: str) -> int:
        """The attachment is over; returns how many outstanding requests have become unknown."""
        lost, self.outstanding = self.outstanding, 0
        self.state, self.reason = State.DETACHED, reason
        return lost

    def _announced(self, frame: bytes) -> None:
        (reply,) = decode_replies(frame)
        assert isinstance(reply, Connected | Closed), reply
        if (reply.session, reply.attachment) != (self.id, self.attachment) or self.state is State.DETACHED:
            return  # about an attachment that was given up
        if isinstance(reply, Closed):
            self.detach(f"server {self.server}: {reply.reason}")
        elif self.state is State.CONNECTING:
            self.state = State.ATTACHED
            self._seen_zxid = max(self._seen_zxid, reply.zxid)
