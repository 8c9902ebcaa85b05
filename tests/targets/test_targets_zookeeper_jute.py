"""ZooKeeper's wire protocol: requests against bytes written out by hand, replies cut anywhere, and bytes that are none.

What the real server makes of them is in `test_targets_zookeeper.py`.
"""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zookeeper_replies import (
    PING_REPLY,
    SESSION,
    connect_response,
    created_reply,
    framed,
    get_reply,
    reply,
    set_reply,
    sync_reply,
)

from lab.client.history import Outcome
from lab.targets.zookeeper import jute, replies
from lab.targets.zookeeper.jute import JuteError, Kind, SessionExpiredError
from lab.targets.zookeeper.session import Session, State


@pytest.mark.parametrize(
    ("request_", "written"),
    [
        (jute.set_data(3, "/a", b"xy"), "00000018 0000000d 00000005 00000002 2f61 00000002 7879 ffffffff"),
        (jute.get_data(3, "/a"), "0000000f 0000000c 00000004 00000002 2f61 00"),
        (jute.create(1, "/a", b"x"), "00000032 00000006 0000000f 00000002 2f61 00000001 78 "
                                     "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000"),
        (jute.sync(2), "0000000d 0000000b 00000009 00000001 2f"),
        (jute.get_children(2, "/a"), "0000000f 0000000b 00000008 00000002 2f61 00"),
        (jute.ping(), "00000008 fffffffe 0000000b"),
        (jute.close_session(2), "00000008 0000000b fffffff5"),
        (jute.connect(0x1_0000_0002, 30_000, 0x1234, b"s" * 16),
         "0000002d 00000000 0000000100000002 00007530 0000000000001234 00000010 " + "73" * 16 + " 00"),
    ],
    ids=["setData", "getData", "create2", "sync", "getChildren", "ping", "closeSession", "connect"],
)  # fmt: skip
def test_requests_are_these_bytes(request_: bytes, written: str) -> None:
    assert request_.hex() == written.replace(" ", "")


def test_a_path_that_is_not_ascii_is_counted_in_bytes() -> None:
    assert jute.get_data(1, "/é")[12:16] == struct.pack(">i", 3)


def test_the_greatest_request_number_still_makes_a_positive_xid() -> None:
    assert jute.xid_of(jute.sync(jute.CXID_MAX)) == (1 << 31) - 1
    with pytest.raises(struct.error):
        jute.sync(jute.CXID_MAX + 1)


# -- frames of replies as columns


def test_replies_to_sets_carry_the_zxid_of_their_write_not_the_servers_last() -> None:
    answers = replies.decode_answers(set_reply(1, 0x10) + set_reply(2, 0x11, 2))
    assert (list(answers.cxids), list(answers.zxids), list(answers.versions)) == ([1, 2], [0x10, 0x11], [1, 2])
    assert list(answers.outcomes) == [Outcome.ACKNOWLEDGED] * 2
    assert (list(answers.mzxids), list(answers.values)) == ([-1, -1], [None, None])


def test_replies_to_reads_carry_what_was_read_and_its_writer() -> None:
    answers = replies.decode_answers(get_reply(1, 0x20, 0x10, b"ab") + get_reply(2, 0x21, 0x11, b"cd", 8))
    assert (list(answers.cxids), list(answers.zxids), list(answers.mzxids)) == ([1, 2], [0x20, 0x21], [0x10, 0x11])
    assert (list(answers.versions), list(answers.values)) == ([7, 8], [b"ab", b"cd"])


A_REPLY = st.one_of(
    st.builds(set_reply, st.integers(0, 99), st.integers(1, 1 << 40), st.integers(0, 99)),
    st.builds(get_reply, st.integers(0, 99), st.integers(1, 1 << 40), st.integers(1, 99), st.binary(max_size=80)),
    st.builds(created_reply, st.integers(0, 99), st.integers(1, 1 << 40), st.sampled_from(["/a", "/b/0001"])),
    st.builds(sync_reply, st.integers(0, 99), st.integers(1, 1 << 40)),
    st.builds(reply, st.sampled_from(list(Kind)), st.integers(0, 99), st.integers(1, 99), st.just(b""),
              st.sampled_from([-101, -118, -4])),
)  # fmt: skip


@given(st.lists(A_REPLY, min_size=1, max_size=12))
def test_a_frame_says_what_its_replies_say_one_by_one(several: list[bytes]) -> None:
    together = replies.decode_answers(b"".join(several))
    alone = [replies.decode_answers(one) for one in several]
    for column in replies.Answers._fields:
        assert list(getattr(together, column)) == [value for one in alone for value in getattr(one, column)]


@given(st.integers(0, 80), st.lists(st.binary(min_size=80, max_size=80), min_size=1, max_size=9))
def test_reads_of_one_length_are_taken_apart_at_once(length: int, values: list[bytes]) -> None:
    frame = b"".join(get_reply(i, 50 + i, i, value[:length]) for i, value in enumerate(values))
    assert list(replies.decode_answers(frame).values) == [value[:length] for value in values]


@pytest.mark.parametrize(("error", "outcome"), [(-101, Outcome.FAILED), (-118, Outcome.FAILED), (-4, Outcome.UNKNOWN)])
def test_what_failed_for_certain_is_told_from_what_may_have_happened(error: int, outcome: Outcome) -> None:
    frame = set_reply(1, 3) + reply(Kind.STAT, 2, 4, error=error)
    assert list(replies.decode_answers(frame).outcomes) == [Outcome.ACKNOWLEDGED, outcome]
    assert replies.failure(frame) == f"request 2 failed: {replies.error_text(error)}"
    assert replies.failure(set_reply(1, 3)) == ""


def test_replies_to_reads_can_be_left_out_of_a_frame() -> None:
    assert replies.without_reads(set_reply(1, 3) + get_reply(2, 3, 3, b"x") + sync_reply(3, 3)) == (
        set_reply(1, 3) + sync_reply(3, 3)
    )


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (reply(Kind.STAT, 4, 1, b"short"), "the reply to request 4 has 25 bytes, not those of a Stat"),
        (reply(Kind.DATA, 4, 1, framed(b"x")), "the reply to request 4 has 25 bytes: no data and Stat"),
        (reply(Kind.DATA, 4, 1, struct.pack(">i", 1 << 30)), "a buffer of 1073741824 bytes in a reply of 24"),
        (reply(Kind.CREATED, 4, 1, struct.pack(">i", -2)), "a buffer of -2 bytes in a reply of 24"),
        (reply(Kind.DATA, 4, 1, b"ab"), "a reply of 22 bytes ends within a length"),
    ],
)
def test_a_reply_that_does_not_hold_what_was_asked_for_is_an_error(broken: bytes, says: str) -> None:
    with pytest.raises(JuteError, match=says):
        replies.decode_answers(broken)


@given(st.binary(max_size=60), st.sampled_from([Kind.DATA, Kind.STAT, Kind.CREATED]))
def test_garbage_in_a_reply_is_an_error_or_a_value_never_anything_else(body: bytes, kind: Kind) -> None:
    with pytest.raises(JuteError):  # none of these is long enough for a Stat
        replies.decode_answers(reply(kind, 1, 1, body))


def test_a_name_that_is_no_utf8_is_an_error() -> None:
    with pytest.raises(JuteError, match="no UTF-8"):
        replies.names_in(struct.pack(">i", 1) + framed(b"\xff"))


@given(st.binary(max_size=40))
def test_garbage_instead_of_a_list_of_names_is_an_error_or_names(body: bytes) -> None:
    try:
        names = replies.names_in(body)
    except JuteError:
        return
    assert all(isinstance(name, str) for name in names)


# -- one session


def attached(outstanding: int = 0) -> Session:
    session = Session(30_000)
    session.connect()
    session.receive(connect_response())
    session.sent(outstanding)
    return session


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(ends)]


@given(st.lists(st.one_of(A_REPLY, st.just(PING_REPLY)), max_size=9), st.lists(st.integers(0, 1 << 20), max_size=9))
def test_however_the_bytes_are_cut_the_same_replies_come_out(several: list[bytes], places: list[int]) -> None:
    wanted = [one for one in several if one != PING_REPLY]
    session = Session(30_000)
    session.connect()
    frames, counts = b"", 0
    for part in cut(connect_response(), places):
        assert session.receive(part) == (b"", 0)
    session.sent(len(wanted))
    for part in cut(b"".join(several), places):
        frame, count = session.receive(part)
        frames, counts = frames + frame, counts + count
        assert len(jute.replies(frame)) == count  # whole replies only, none that was not asked for
    assert (session.state, frames, counts) == (State.ATTACHED, b"".join(wanted), len(wanted))
    assert session.outstanding == 0


def test_replies_may_follow_the_connect_response_at_once() -> None:
    session = Session(30_000)
    session.connect()
    assert session.receive(connect_response() + PING_REPLY) == (b"", 0)
    assert (session.state, session.id, session.timeout_ms) == (State.ATTACHED, SESSION, 30_000)


@pytest.mark.parametrize("size", [-1, 0, 15, jute.REPLY_BYTES_MAX + 1, (1 << 31) - 1])
def test_a_length_that_is_none_breaks_the_session_before_anything_is_kept_for_it(size: int) -> None:
    with pytest.raises(JuteError, match=f"a reply of {size} bytes, allowed: 16 to"):
        attached(1).receive(struct.pack(">i", size))


def test_an_answer_that_nobody_asked_for_breaks_the_session() -> None:
    with pytest.raises(JuteError, match="2 replies to 1 requests"):
        attached(1).receive(set_reply(1, 1) + set_reply(2, 2))


@pytest.mark.parametrize(
    "broken",
    [framed(b"\0" * 19), framed(struct.pack(">iiq", 0, 1, 1) + struct.pack(">i", 1 << 20)), b"\xff" * 4],
    ids=["short", "password", "length"],
)
def test_a_connect_response_that_is_none_breaks_the_session(broken: bytes) -> None:
    session = Session(30_000)
    session.connect()
    with pytest.raises(JuteError):
        session.receive(broken)


def test_a_session_that_is_resumed_says_how_far_it_has_seen() -> None:
    session = attached(2)
    session.receive(set_reply(1, 0x10) + get_reply(2, 0x20, 0x10, b"x"))
    assert session.detach("gone") == 0
    assert session.connect() == jute.connect(0x20, 30_000, SESSION, b"p" * 16)


def test_what_was_outstanding_when_it_ended_is_lost_once() -> None:
    session = attached(3)
    session.receive(set_reply(1, 1) + set_reply(2, 2)[:9])
    assert session.detach("gone") == 2
    session.connect()
    session.receive(connect_response())
    assert session.outstanding == 0
    session.sent(1)
    assert session.receive(set_reply(4, 9)) == (set_reply(4, 9), 1)  # nothing of the old connection stands before it


def test_an_expired_session_is_replaced_under_its_first_number() -> None:
    session = attached(1)
    session.receive(set_reply(1, 0x10))
    session.detach("gone")
    session.connect()
    with pytest.raises(SessionExpiredError):
        session.receive(connect_response(timeout_ms=0, session=0))
    session.detach("expired")
    assert session.connect() == jute.connect(0x15, 30_000, 0, bytes(16))
    session.receive(connect_response(session=SESSION + 1))
    assert (session.state, session.id) == (State.ATTACHED, SESSION)
