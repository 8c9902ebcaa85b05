"""A session counts what it is owed, and never guesses what became of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.client.session import BrokenReplyError, Session, State, is_announcement, new_session_id, reply_count
from lab.service.requests import Closed, Connected, Data, Done, Failed, encode_frame


def frame(*replies: object) -> bytes:
    return encode_frame(list(replies))


def attached(session_id: int = 5) -> Session:
    session = Session(session_id)
    connect = session.connect(1)
    session.receive(frame(Connected(session_id, 10, connect.attachment)))
    assert session.state is State.ATTACHED
    return session


@given(st.integers(0, 70_000))
def test_replies_are_counted_without_decoding(count: int) -> None:
    assert reply_count(frame(*[Done(1, 2, 3)] * count)) == count


@pytest.mark.parametrize(
    ("reply", "announces"),
    [
        (Connected(1 << 60, 5, 1), True),
        (Closed(3, "x" * 300, 1), True),
        (Done(100, 5, 1), False),
        (Failed(101, 5, -101), False),
        (Data(101, 5, 5, 1, b"e"), False),
    ],
)
def test_connected_and_closed_are_told_by_their_first_bytes(reply: object, announces: bool) -> None:
    assert is_announcement(frame(reply)) is announces


def test_answers_are_taken_off_the_oldest_outstanding() -> None:
    session = attached()
    session.sent(5)
    assert session.receive(frame(Done(1, 11, 0), Done(2, 12, 0))) == 2
    assert session.outstanding == 3


def test_what_was_outstanding_is_unknown_once_the_server_closes_the_attachment() -> None:
    session = attached()
    session.sent(4)
    assert session.receive(frame(Closed(5, "no quorum", 1))) == 0
    assert (session.state, session.outstanding) == (State.DETACHED, 0)
    assert "no quorum" in session.reason


def test_what_was_outstanding_is_unknown_once_the_link_ends() -> None:
    session = attached()
    session.sent(4)
    assert session.detach("gone") == 4


def test_the_next_attachment_is_a_greater_one_and_passes_on_what_was_seen() -> None:
    session = attached()
    session.sent(2)
    session.receive(frame(Done(1, 77, 0), Failed(2, 78, -101)))
    session.detach("gone")
    connect = session.connect(2)
    assert (connect.session, connect.attachment, connect.last_zxid) == (5, 2, 78)


def test_zxids_seen_at_connecting_count_too() -> None:
    session = attached()
    assert session.last_zxid == 10


def test_late_words_about_an_earlier_attachment_change_nothing() -> None:
    session = attached()
    session.detach("no answer")
    session.connect(1)
    for late in (Done(1, 11, 0), Connected(5, 12, 1), Closed(5, "moved", 1), Connected(6, 12, 2)):
        assert session.receive(frame(late)) == 0
        assert session.state is State.CONNECTING
    session.receive(frame(Connected(5, 13, 2)))
    assert session.state is State.ATTACHED
    session.receive(frame(Closed(5, "superseded", 1)))
    assert session.state is State.ATTACHED


def test_a_refused_attachment_leaves_the_session_free_to_go_elsewhere() -> None:
    session = Session(5)
    session.connect(1)
    session.receive(frame(Closed(5, "behind", 1)))
    assert session.state is State.DETACHED
    assert session.connect(2).attachment == 2


def test_more_replies_than_requests_are_not_believed() -> None:
    session = attached()
    session.sent(1)
    with pytest.raises(BrokenReplyError, match="server 1 sent 2 replies to 1 requests"):
        session.receive(frame(Done(1, 11, 0), Done(2, 12, 0)))


def test_session_ids_are_positive_and_differ() -> None:
    ids = {new_session_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(0 < each < 1 << 63 for each in ids)
