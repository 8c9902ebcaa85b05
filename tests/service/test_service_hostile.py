"""Clients that send garbage, too much, or what nobody may ask: each loses its own link, the server serves on."""

import random

import pytest
from service_fakes import frame
from test_service_host import ALONE, TWO, Rig, leading_two, serving

from lab.service.errors import UnreadableError
from lab.service.host import (
    CLIENT_FRAME_BYTES_MAX,
    REPLIES_ENCODED_MAX,
    REPLY_BYTES_MAX,
    REPLY_FRAME_BYTES_MAX,
    ClientFrame,
    ClientUp,
    ElectionFrame,
    LearnerFrame,
)
from lab.service.requests import (
    DATA_BYTES_MAX,
    PATH_CHARS_MAX,
    REQUESTS_MAX,
    Connect,
    Connected,
    Create,
    Data,
    Delete,
    Done,
    ErrorCode,
    Exists,
    Failed,
    GetChildren,
    GetData,
    Request,
    SetData,
    Sync,
    decode_replies,
    encode_frame,
    reply_frames,
)
from lab.service.server import Server
from lab.service.transactions import ErrorTxn, encode_txns
from lab.service.tree import Tree
from lab.zab.batches import make_batch
from lab.zab.constants import ZXID_MAX
from lab.zab.events import History, PeerUp, Recovered, Start
from lab.zab.messages import (
    LeaderInfo,
    MalformedError,
    Notification,
    Phase,
    ServerState,
    Snap,
    SnapChunk,
    Vote,
    encode_message,
)
from lab.zab.messages import Request as ForwardedRequest
from lab.zab.zxid import make_zxid

LAST = (1 << 63) - 1
HOSTILE = 2  # its client link; 1 is an honest client's


def with_hostile() -> Rig:
    rig = serving()
    rig.turn(ClientFrame(1, frame(Create(1, "/a", b"first"))))
    rig.turn(ClientUp(HOSTILE), ClientFrame(HOSTILE, frame(Connect(6, 1, 0))))
    rig.replies()
    return rig


def assert_serves(rig: Rig) -> None:
    """The honest client's session goes on as if nothing had been."""
    rig.replies()
    rig.links.replies.clear()
    rig.turn(ClientFrame(1, frame(SetData(2, "/a", b"second"), GetData(3, "/a"))))
    done, data = [reply for client, replies in rig.links.replies if client == 1 for reply in replies]
    assert isinstance(done, Done)
    assert isinstance(data, Data)
    assert data.data == b"second"


def packed(*items: bytes) -> bytes:
    """A frame of requests that no encoder of ours makes."""
    return bytes((0x90 | len(items),)) + b"".join(items)


MALFORMED = {
    "nothing": b"",
    "no list": b"\x05",
    "reserved byte": b"\xc1",
    "list cut off": b"\x93\x01",
    "list of 2**32 - 1": b"\xdd\xff\xff\xff\xff",
    "nested 100,000 deep": b"\x91" * 100_000,
    "nested maps": b"\x81" * 100_000,
    "request without fields": packed(b"\x90"),
    "unknown kind": packed(b"\x92\x63\x01"),
    "kind as a string": packed(b"\x92\xa1x\x01"),
    "kind as an array of 2**32 - 1": packed(b"\xdd\xff\xff\xff\xff"),
    "a field too many": packed(b"\x94\x04\x01\xa2/a\x07"),
    "a field too few": packed(b"\x92\x04\x01"),
    "path of 4 GB": packed(b"\x93\x04\x01\xdb\xff\xff\xff\xff/"),
    "path is no UTF-8": packed(b"\x93\x04\x01\xa2/\xff"),
    "path with a lone surrogate": packed(b"\x93\x04\x01\xa4/\xed\xa0\x80"),
    "path as bytes": packed(b"\x93\x04\x01\xc4\x02/a"),
    "empty path": packed(b"\x93\x04\x01\xa0"),
    "path too long": encode_frame([GetData(1, "/" + "a" * PATH_CHARS_MAX)]),
    "path of 100,000 components": encode_frame([GetData(1, "/a" * 100_000)]),
    "cxid 0, which stands for Connect": packed(b"\x93\x04\x00\xa2/a"),
    "negative cxid": packed(b"\x93\x04\xff\xa2/a"),
    "cxid 2**64 - 1": packed(b"\x93\x04\xcf" + b"\xff" * 8 + b"\xa2/a"),
    "cxid as a float": packed(b"\x93\x04\xcb\x3f\xf0" + bytes(6) + b"\xa2/a"),
    "cxid as nil": packed(b"\x93\x04\xc0\xa2/a"),
    "an extension": packed(b"\xc7\x05\x01aaaaa"),
    "a second frame behind": frame(GetData(1, "/a")) * 2,
    "data too long": encode_frame([SetData(1, "/a", bytes(DATA_BYTES_MAX + 1))]),
    "version below any": encode_frame([SetData(1, "/a", b"", -2)]),
    "version beyond 31 bits": encode_frame([SetData(1, "/a", b"", 1 << 31)]),
    "session 0": encode_frame([Connect(0, 1, 0)]),
    "negative attachment": encode_frame([Connect(5, -1, 0)]),
    "last zxid beyond all": encode_frame([Connect(5, 1, ZXID_MAX + 1)]),
    "too many requests": encode_frame([Sync(1)] * (REQUESTS_MAX + 1)),
    "a frame too long": bytes(CLIENT_FRAME_BYTES_MAX + 1),
    "Connect behind a request": encode_frame([GetData(1, "/a"), Connect(6, 2, 0)]),
    "Connect twice": encode_frame([Connect(6, 2, 0), Connect(6, 3, 0)]),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_frame_that_is_none_ends_its_link(what: str) -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, MALFORMED[what]))
    assert rig.links.closed_clients == [HOSTILE]
    assert_serves(rig)


@pytest.mark.parametrize("what", MALFORMED)
def test_so_does_one_behind_which_more_follows(what: str) -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, MALFORMED[what]), ClientFrame(HOSTILE, frame(Create(1, "/b", b""))))
    assert_serves(rig)


BAD_PATHS = ("a", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/nul\0", "/\x1f", "/\x9f", "/\ue000", "/\uffff")


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_a_path_that_no_node_may_have_is_refused_definitely(path: str) -> None:
    rig = with_hostile()
    requests: list[Request] = [Create(1, path, b""), SetData(2, path, b"")]
    requests += [Delete(3, path), GetData(4, path), Exists(5, path)]
    rig.turn(ClientFrame(HOSTILE, encode_frame(requests)))
    replies = rig.replies()
    assert [type(reply) for reply in replies] == [Failed] * 5
    assert replies[0].error == ErrorCode.BAD_ARGUMENTS  # type: ignore[attr-defined]
    assert_serves(rig)


def test_the_root_can_be_neither_made_nor_removed() -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, frame(Create(1, "/", b""), Delete(2, "/"), SetData(3, "/", b"x"))))
    assert [type(reply) for reply in rig.replies()] == [Failed, Failed, Done]
    assert_serves(rig)


def test_the_deepest_path_there_is_works() -> None:
    rig = with_hostile()
    depth = PATH_CHARS_MAX // 2
    rig.turn(ClientFrame(HOSTILE, frame(*[Create(i, "/b" * i, b"") for i in range(1, depth + 1)])))
    assert {type(reply) for reply in rig.replies()} == {Done}
    assert_serves(rig)


def test_a_cxid_used_twice_is_answered_twice() -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, frame(SetData(7, "/a", b"x"), SetData(7, "/a", b"y"), SetData(LAST, "/a", b"z"))))
    assert [reply.cxid for reply in rig.replies()] == [7, 7, LAST]  # type: ignore[attr-defined]
    assert_serves(rig)


def test_a_session_that_claims_to_have_seen_everything_is_refused() -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, frame(Connect(7, LAST, ZXID_MAX))))
    (closed,) = rig.replies()
    assert "applied less" in closed.reason  # type: ignore[attr-defined]
    assert_serves(rig)


def test_the_last_attachment_there_is_is_an_attachment() -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, frame(Connect(LAST, LAST, 0))))
    assert rig.replies() == [Connected(LAST, rig.server.applied_zxid, LAST)]
    assert_serves(rig)


def test_thousands_of_tiny_frames_are_thousands_of_requests() -> None:
    rig = with_hostile()
    rig.turn(*[ClientFrame(HOSTILE, frame(Delete(i, "/"))) for i in range(1, 5001)])
    while rig.server.has_work:
        rig.turn()
    assert [reply.cxid for reply in rig.replies()] == list(range(1, 5001))  # type: ignore[attr-defined]
    assert_serves(rig)


def test_a_frame_full_of_the_smallest_writes_fits_what_links_carry() -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(HOSTILE, frame(*[Delete(i, "/") for i in range(1, REQUESTS_MAX + 1)])))
    while rig.server.has_work:
        rig.turn()
    assert len(rig.replies()) == REQUESTS_MAX
    assert_serves(rig)


def test_who_asks_for_more_than_a_link_holds_loses_it_before_it_is_encoded() -> None:
    rig = with_hostile()
    rig.turn(ClientFrame(1, frame(SetData(2, "/a", bytes(DATA_BYTES_MAX)))))
    rig.links.replies.clear()
    rig.links.frame_bytes.clear()
    rig.turn(ClientFrame(HOSTILE, frame(*[GetData(i, "/a") for i in range(1, 2001)])))
    assert rig.links.closed_clients == [HOSTILE]
    assert sum(rig.links.frame_bytes) <= REPLY_BYTES_MAX
    assert max(rig.links.frame_bytes) <= REPLY_FRAME_BYTES_MAX
    rig.turn(ClientFrame(HOSTILE, frame(GetData(1, "/a"))))
    assert_serves(rig)


@pytest.mark.parametrize("seed", range(4))
def test_bytes_changed_at_random_never_end_the_server(seed: int) -> None:
    rig, rng = with_hostile(), random.Random(seed)
    originals = [
        frame(Connect(6, 1, 0), Create(1, "/b", b"data")),
        frame(Create(1, "/b/c", b""), SetData(2, "/a", b"x" * 40), Delete(3, "/b", 2)),
        frame(GetData(1, "/a"), Exists(2, "/b"), GetChildren(3, "/"), Sync(4)),
    ]
    for client in range(10, 700):
        rig.turn(ClientUp(client), ClientFrame(client, frame(Connect(client, 1, 0))))
        for _ in range(3):
            data = bytearray(rng.choice(originals))
            for _ in range(rng.choice((1, 1, 2, 5))):
                data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), 0xC1, 0xFF, 0x00, 0xDD, 0x91))
            del data[rng.choice((len(data), rng.randrange(len(data)))) :]
            rig.turn(ClientFrame(client, bytes(data)))
    assert len(rig.links.closed_clients) > 500
    rig.links.replies.clear()
    rig.turn(ClientFrame(1, frame(GetData(2, "/"))))
    assert isinstance(rig.replies()[0], Data)


@pytest.mark.parametrize("count", [1, 15, 16, 255, REPLIES_ENCODED_MAX + 1, 70_000])
def test_frames_of_replies_hold_all_of_them_in_order(count: int) -> None:
    replies = [Done(cxid, 1, 0) for cxid in range(1, count + 1)]
    frames = list(reply_frames(replies, REPLIES_ENCODED_MAX, 10_000))
    assert [reply for data in frames for reply in decode_replies(data)] == replies
    assert all(len(data) <= 10_000 for data in frames)


def test_a_reply_that_is_too_long_stands_alone() -> None:
    replies = [Data(1, 1, 1, 0, b"small"), Data(2, 1, 1, 0, bytes(500)), Data(3, 1, 1, 0, b"small")]
    frames = [decode_replies(data) for data in reply_frames(replies, 2, 100)]
    assert frames == [[reply] for reply in replies]


# -- what a leader sent, or a disk held


def joining() -> tuple[Rig, int]:
    """Server 1, in SYNCHRONIZATION with leader 2 in the session returned."""
    rig = Rig(1, TWO)
    vote = encode_message(Notification(ServerState.LOOKING, Vote(0, 0, 2), 1))
    rig.turn(PeerUp(2, 77), ElectionFrame(2, vote))
    rig.clock.ms += 300
    rig.turn()
    session = rig.server.peer.role.session  # type: ignore[union-attr]
    rig.turn(LearnerFrame(2, session, encode_message(LeaderInfo(1))))
    assert rig.server.peer.phase is Phase.SYNCHRONIZATION
    return rig, session


A_CHUNK = next(iter(Tree().chunks()))


@pytest.mark.parametrize(
    "data", [b"", b"garbage", A_CHUNK[:-1], A_CHUNK + b"\0", b"\x92\x90\x91\x97\xa1\xff", b"\xdd\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_snapshot_chunk_that_is_none_ends_the_session_and_is_not_installed(data: bytes, before: int) -> None:
    rig, session = joining()
    rig.turn(LearnerFrame(2, session, encode_message(Snap(0))))
    for _ in range(before):
        rig.turn(LearnerFrame(2, session, encode_message(SnapChunk(A_CHUNK, last=False))))
    done = rig.turn(LearnerFrame(2, session, encode_message(SnapChunk(data, last=True))))
    assert "install 0x0" not in done
    assert "close session 2" in done
    assert rig.server.peer.state is ServerState.LOOKING
    assert rig.server.tree.digest == Tree().digest


def test_a_snapshot_that_is_no_tree_is_not_installed() -> None:
    """Each chunk is one, together they are none: the leader has a bug, and this server stops before its disk has it."""
    rig, session = joining()
    whole = Tree()
    whole.create("/a", b"", 1)
    whole.create("/a/b", b"", 2)
    orphan = next(chunk for chunk in whole.chunks(1) if b"/a/b" in chunk)
    rig.turn(LearnerFrame(2, session, encode_message(Snap(0))))
    with pytest.raises(MalformedError, match="'/a/b' comes without its parent"):
        rig.turn(LearnerFrame(2, session, encode_message(SnapChunk(orphan, last=True))))
    assert "install 0x0" not in rig.log


BODIES = {
    "no transaction": b"\x91\x05",
    "an unknown one": b"\x91\x92\x63\x01",
    "one cut off": b"\x91\x95\x01\x05",
    "path is no UTF-8": b"\x91\x95\x01\x05\x01\xa1\xff\xc4\x00",
}


@pytest.mark.parametrize("what", BODIES)
def test_a_batch_that_nobody_can_read_stops_the_server_with_one_line(what: str) -> None:
    """Its checksum and its count are right: who wrote it had a bug, and a guess would be a wrong history."""
    history = History(0, (), (make_batch(make_zxid(1, 1), 1, BODIES[what]),), make_zxid(1, 1))
    with pytest.raises(UnreadableError, match=r"^transactions 1\.1 to 1\.1: ") as caught:
        Server(1, ALONE, Recovered(1, 1, history, may_vote=True), random.Random(0)).step(Start())
    assert "\n" not in str(caught.value)


def test_a_batch_of_another_length_stops_it_likewise() -> None:
    history = History(0, (), (make_batch(make_zxid(1, 1), 2, encode_txns([ErrorTxn(5, 1, -101)])),), make_zxid(1, 2))
    with pytest.raises(UnreadableError, match=r"^transactions 1\.1 to 1\.2: there are 1$"):
        Server(1, ALONE, Recovered(1, 1, history, may_vote=True), random.Random(0)).step(Start())


def test_a_snapshot_that_nobody_can_read_stops_it_likewise() -> None:
    history = History(make_zxid(1, 1), (b"garbage",), (), make_zxid(1, 1))
    with pytest.raises(UnreadableError, match=r"^snapshot 1\.1: "):
        Server(1, ALONE, Recovered(1, 1, history, may_vote=True), random.Random(0)).step(Start())


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x93\x05\x01\x90", b"\x93\x05\x01\x91\x94\x05\x01\xa1\xff\xc4\x00", b"\x91" * 9999]
)
def test_a_forwarded_request_that_is_none_changes_nothing(body: bytes) -> None:
    rig = leading_two()
    last = rig.server.peer.last_zxid
    rig.turn(LearnerFrame(1, 11, encode_message(ForwardedRequest(body))))
    assert rig.server.peer.last_zxid == last
    assert "malformed request" in rig.server.peer.last_problem
    assert rig.server.peer.phase is Phase.BROADCAST
