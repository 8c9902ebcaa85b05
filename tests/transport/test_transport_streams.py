"""A stream takes pieces in any order, refuses what no correct sender sends, and gives frames."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.transport.ring import FRAME_BYTES_MAX
from lab.transport.streams import InStream, OutStream, Stretch

PIECE = 100


def stream_of(frames: list[bytes]) -> bytes:
    return b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)


def nobody_cares() -> None:
    """Of room."""


@given(
    sizes=st.lists(st.integers(0, 500), max_size=20), seed=st.integers(0, 1 << 32), reads=st.sampled_from((0.1, 0.9))
)
def test_frames_come_out_whatever_the_order_of_pieces(sizes: list[int], seed: int, reads: float) -> None:
    rng = random.Random(seed)
    frames = [rng.randbytes(size) for size in sizes]
    data = stream_of(frames)
    pieces = [(offset, data[offset : offset + PIECE]) for offset in range(0, len(data), PIECE)]
    order = [*pieces, *rng.choices(pieces, k=5)] if pieces else []  # some come again
    rng.shuffle(order)
    into, got = InStream(1 << 20, nobody_cares), list[bytes]()
    for offset, piece in order:
        assert into.accept(offset, piece)
        if rng.random() < reads:
            got += into.receive()
    got += into.receive()
    assert got == frames
    assert into.next_offset == len(data)
    assert not into.early


def test_what_lies_beyond_the_limit_is_refused_until_it_rises() -> None:
    into = InStream(300, nobody_cares)
    assert into.accept(200, bytes(PIECE))
    assert not into.accept(300, bytes(PIECE))
    assert not into.accept(250, bytes(PIECE))
    assert into.accept(0, bytes(PIECE))
    assert into.receive() == [b""] * 25
    assert into.limit == 400
    assert into.accept(300, bytes(PIECE))
    assert not into.accept(400, b"x")


def test_pieces_behind_a_gap_may_not_be_more_than_the_limit_in_sum() -> None:
    """Pieces of a correct sender do not overlap; one that does could have us keep a stream many times."""
    into = InStream(1_000, nobody_cares)
    kept = sum(into.accept(offset, bytes(PIECE)) for offset in range(1, 900))
    assert kept == 10
    assert sum(map(len, into.early.values())) <= 1_000


def test_gaps_that_were_filled_leave_room_for_others() -> None:
    into = InStream(1_000, nobody_cares)
    for begin in range(0, 100_000, 1_000):
        for offset in range(begin + PIECE, begin + 1_000, PIECE):
            assert into.accept(offset, bytes(PIECE))
        assert into.accept(begin, bytes(PIECE))
        into.receive()
    assert into.next_offset == 100_000


def test_a_piece_that_begins_in_what_is_there_and_ends_behind_is_refused() -> None:
    into = InStream(1_000, nobody_cares)
    assert into.accept(0, bytes(PIECE))
    assert into.accept(0, bytes(PIECE))  # it came again
    assert not into.accept(50, bytes(PIECE))


def test_room_is_told_when_a_fourth_of_the_limit_is_new() -> None:
    told: list[int] = []
    into = InStream(400, lambda: told.append(into.limit))
    into.announced = into.limit
    into.accept(0, bytes(99))
    into.receive()
    assert told == []
    into.accept(99, bytes(1))
    into.receive()
    assert told == [500]


def test_a_length_that_no_frame_has_ends_the_stream_behind_the_frames_before_it() -> None:
    told: list[str] = []
    into = InStream(1_000, lambda: told.append(into.failure))
    into.accept(0, stream_of([b"fine"]) + (FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    assert into.receive() == [b"fine"]
    assert told[-1] == f"a frame of {FRAME_BYTES_MAX + 1} bytes: at most {FRAME_BYTES_MAX} can be sent"
    into.accept(into.next_offset, bytes(PIECE))
    assert into.receive() == []


@given(
    sizes=st.lists(st.integers(0, 500), min_size=1, max_size=20),
    rooms=st.lists(st.integers(1, 5), min_size=1, max_size=10),
    limits=st.lists(st.integers(1, 400), min_size=1, max_size=10),
)
def test_pieces_have_one_length_but_for_the_last_of_a_flush_and_keep_to_the_limit(
    sizes: list[int], rooms: list[int], limits: list[int]
) -> None:
    out, sent, number = OutStream(1 << 20, PIECE, nobody_cares), b"", 0
    for size in sizes:
        out.send(bytes(size % 251) + bytes(size - size % 251))
        if size % 3:
            out.flush()
    out.flush()
    total = sum(sizes) + 4 * len(sizes)
    assert out.waiting_bytes == total
    while len(sent) < total:
        out.limit += limits[number % len(limits)]
        while stretch := out.take_new(rooms[number % len(rooms)]):
            number += 1
            size = stretch.end - stretch.begin
            assert stretch.offset == len(sent)
            assert size % PIECE == 0 or stretch.end == len(stretch.blob)
            assert size <= PIECE * max(rooms)
            sent += stretch.blob[stretch.begin : stretch.end]
            assert out.waiting_bytes == total - len(sent)
        assert len(sent) <= out.limit
    assert not out.has_new()


def test_what_was_lost_is_taken_in_parts_of_whole_pieces() -> None:
    out = OutStream(1 << 20, PIECE, nobody_cares)
    out.lost.append(Stretch(1_000, bytes(350), 0, 350))
    taken = [out.take_lost(2), out.take_lost(2)]
    assert [(each.offset, each.begin, each.end) for each in taken] == [(1_000, 0, 200), (1_200, 200, 350)]
    assert not out.lost


@pytest.mark.parametrize("flushed", [False, True])
def test_an_ended_stream_takes_everything_and_keeps_nothing(flushed: bool) -> None:
    out = OutStream(1_000, PIECE, nobody_cares)
    out.limit = 1_000
    out.send(bytes(500))
    if flushed:
        out.flush()
    out.end()
    assert out.send(bytes(5_000))
    assert out.flush()
    assert (out.waiting_bytes, out.has_new(), out.take_new(5)) == (0, False, None)
    assert not out.broken
