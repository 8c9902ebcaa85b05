"""Whatever is sent, flushed and received in whatever order: what arrives is the prefix of what was sent."""

import mmap
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.transport.errors import CorruptFrameError
from lab.transport.ring import FRAME_BYTES_MAX
from lab.transport.shm import Channel, create_link_memory, link_bytes

CAPACITY = 1024
FRAME_BYTES = st.one_of(st.integers(0, 40), st.integers(0, 3 * CAPACITY))
OTHER_STEPS = ("flush", "receive", "flush", "receive", "has_input", "clear_queue")
STEPS = st.lists(
    st.one_of(st.tuples(st.just("send"), FRAME_BYTES), st.tuples(st.sampled_from(OTHER_STEPS), st.just(0))),
    max_size=200,
)


def frame_of(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


def drain(sender: Channel, receiver: Channel) -> list[bytes]:
    """Flush and receive until nothing is left."""
    got: list[bytes] = []
    while True:
        sender.flush()
        frames = receiver.receive()
        got += frames
        if not frames and not sender.wants_flush():
            return got


@pytest.mark.parametrize("checksums", [False, True])
@given(steps=STEPS)
def test_frames_arrive_once_and_in_order(open_ends: Callable, checksums: bool, steps: list[tuple[str, int]]) -> None:
    with open_ends(CAPACITY, checksums=checksums) as ends:
        sent: list[bytes] = []
        got: list[bytes] = []
        for step, size in steps:
            if step == "send":
                frame = frame_of(len(sent), size)
                assert ends.one.send(frame[: size // 3], frame[size // 3 :])
                sent.append(frame)
            elif step == "flush":
                ends.one.flush()
            elif step == "has_input":
                can_move = ends.one.has_input()
                laid = ends.one.bytes_sent
                ends.one.flush()
                assert not can_move or ends.one.bytes_sent > laid, "it would have woken for nothing"
            elif step == "clear_queue":
                ends.one.clear_queue()
                del sent[ends.one.frames_sent :]
            else:
                got += ends.other.receive()
                assert got == sent[: len(got)]
        got += drain(ends.one, ends.other)
        assert got == sent
        assert ends.one.frames_sent == len(sent)
        assert not ends.other.has_input()


@pytest.mark.parametrize("checksums", [False, True])
def test_nothing_arrives_before_flush(open_ends: Callable, checksums: bool) -> None:
    with open_ends(checksums=checksums) as ends:
        ends.one.send(b"a")
        assert ends.other.receive() == []
        ends.one.flush()
        assert ends.other.receive() == [b"a"]


def test_a_frame_larger_than_the_ring_travels_in_pieces(open_ends: Callable) -> None:
    frame = os.urandom(50 * CAPACITY)
    with open_ends(CAPACITY) as ends:
        ends.one.send(frame)
        assert drain(ends.one, ends.other) == [frame]


def test_both_directions_are_independent(open_ends: Callable) -> None:
    with open_ends() as ends:
        ends.one.send(b"to other")
        ends.other.send(b"to one")
        ends.one.flush()
        ends.other.flush()
        assert (ends.one.receive(), ends.other.receive()) == ([b"to one"], [b"to other"])


def test_a_frame_above_the_bound_is_refused_by_its_sender(open_ends: Callable) -> None:
    with open_ends() as ends, pytest.raises(ValueError, match=str(FRAME_BYTES_MAX)):
        ends.one.send(bytes(FRAME_BYTES_MAX + 1))


@pytest.mark.parametrize("checksums", [False, True])
@given(data=st.data())
def test_garbage_in_shared_memory_is_a_corrupt_frame_and_nothing_else(
    open_ends: Callable, checksums: bool, data: st.DataObject
) -> None:
    size = link_bytes((CAPACITY,))
    places = st.one_of(st.sampled_from((0, 8, 128, 256, 512)), st.integers(0, size - 1))
    writes = data.draw(st.lists(st.tuples(places, st.binary(min_size=1, max_size=16)), min_size=1, max_size=4))
    with open_ends(CAPACITY, checksums=checksums) as ends, mmap.mmap(ends.memory_fd, size) as memory:
        for number in range(20):
            ends.one.send(frame_of(number, 30))
        ends.one.flush()
        for place, garbage in writes:
            memory[place : min(place + len(garbage), size)] = garbage[: size - place]
        try:
            ends.other.receive()
            for number in range(100):
                ends.one.send(frame_of(number, 30))
                ends.one.flush()
                ends.other.receive()
                ends.other.has_input()
        except CorruptFrameError:
            return


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (0, (1 << 40).to_bytes(8, "little")),  # a head that is further than the ring is long
        (512, b"\xff\xff\xff\x3f"),  # a length beyond what was published
        (512, b"\x05\x00\x00\x00"),  # a length that ends inside the frame
        (516, b"\x07\x00\x00\x00"),  # a sequence that is not next
        (512, b"\x1e\x00\x00\x40"),  # flags that no writer sets
    ],
)
@pytest.mark.parametrize("checksums", [False, True])
def test_a_wrong_word_is_found(open_ends: Callable, checksums: bool, place: int, words: bytes) -> None:
    with open_ends(checksums=checksums) as ends, mmap.mmap(ends.memory_fd, link_bytes((1024,))) as memory:
        ends.one.send(bytes(30))
        ends.one.flush()
        memory[place : place + len(words)] = words
        for _ in range(2):  # and stays found
            with pytest.raises(CorruptFrameError):
                ends.other.receive()


def test_a_flipped_payload_bit_is_found_by_the_checksum(open_ends: Callable) -> None:
    with open_ends(checksums=True) as ends, mmap.mmap(ends.memory_fd, link_bytes((1024,))) as memory:
        ends.one.send(bytes(30))
        ends.one.flush()
        memory[540] ^= 1
        with pytest.raises(CorruptFrameError, match="checksum"):
            ends.other.receive()
        memory[540] ^= 1  # the store becomes visible late: the reader has not moved on
        assert ends.other.receive() == [bytes(30)]


def test_a_reader_counter_that_no_reader_writes_is_found(open_ends: Callable) -> None:
    with open_ends() as ends, mmap.mmap(ends.memory_fd, link_bytes((1024,))) as memory:
        memory[128:136] = (99).to_bytes(8, "little")
        ends.one.send(b"a")
        with pytest.raises(CorruptFrameError):
            ends.one.flush()


def test_a_reader_counter_gone_wrong_is_found_by_a_writer_that_waits(open_ends: Callable) -> None:
    with open_ends() as ends, mmap.mmap(ends.memory_fd, link_bytes((1024,))) as memory:
        for _ in range(30):
            ends.one.send(bytes(100))
        ends.one.flush()
        memory[128:136] = (1 << 60).to_bytes(8, "little")
        assert ends.one.has_input()
        with pytest.raises(CorruptFrameError):
            ends.one.flush()


def test_memory_is_private_and_cannot_shrink() -> None:
    fd = create_link_memory((CAPACITY,))
    try:
        assert os.fstat(fd).st_mode & 0o777 == 0o600
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)
