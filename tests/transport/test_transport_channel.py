"""Full rings, bounded queues, and links that end."""

import os
import select
from collections.abc import Callable

import pytest

from lab.transport.bell import Bell
from lab.transport.memory import create_memory
from lab.transport.shm import CLIENT_CHANNELS, PEER_CHANNELS, ShmLink, link_bytes


def rang(bell: Bell) -> bool:
    """Whether the bell was rung since it was drained."""

    poll = select.poll()
    poll.register(bell.fileno(), select.POLLIN)
    rung = bool(poll.poll(0))
    bell.drain()
    return rung


@pytest.mark.parametrize("checksums", [False, True])
def test_what_does_not_fit_waits_in_order(open_ends: Callable, checksums: bool) -> None:
    frames = [bytes([n]) * 100 for n in range(100)]
    with open_ends(1024, checksums=checksums) as ends:
        for frame in frames:
            assert ends.one.send(frame)
        ends.one.flush()
        assert ends.one.wants_flush()
        got = []
        while len(got) < len(frames):
            got += ends.other.receive()
            ends.one.flush()
        assert got == frames
        assert not ends.one.wants_flush()


def test_a_writer_that_waits_is_rung_when_there_is_room(open_ends: Callable) -> None:
    with open_ends(1024) as ends:
        writers_bell = ends.bells[0]
        for _ in range(30):
            ends.one.send(bytes(100))
        ends.one.flush()
        assert not ends.one.has_input()  # no room yet: the writer may sleep
        writers_bell.set_sleeping(True)
        ends.other.receive()
        assert rang(writers_bell)
        assert ends.one.has_input()


def test_a_writer_that_waits_for_nothing_is_not_rung(open_ends: Callable) -> None:
    with open_ends() as ends:
        ends.bells[0].set_sleeping(True)
        ends.one.send(b"a")
        ends.one.flush()
        ends.other.receive()
        assert not rang(ends.bells[0])


def test_the_bell_rings_only_for_a_sleeper_and_once_per_flush(open_ends: Callable) -> None:
    with open_ends() as ends:
        readers_bell = ends.bells[1]
        ends.one.send(b"a")
        ends.one.flush()
        assert not rang(readers_bell)
        readers_bell.set_sleeping(True)
        ends.one.send(b"b")
        ends.one.send(b"c")
        assert not rang(readers_bell)
        ends.one.flush()
        assert rang(readers_bell)
        ends.one.flush()
        assert not rang(readers_bell)


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("frame_bytes", [100, 700])  # 700: in pieces
def test_past_its_bound_the_channel_is_broken_until_the_queue_is_cleared(
    open_ends: Callable, checksums: bool, frame_bytes: int
) -> None:
    with open_ends(1024, queue_bytes_max=5000, checksums=checksums) as ends:
        accepted = 0
        while ends.one.send(accepted.to_bytes(4, "big") * (frame_bytes // 4)):
            accepted += 1
            ends.one.flush()
        assert ends.one.broken
        assert not ends.one.send(b"small"), "nothing may overtake what was dropped"
        ends.one.clear_queue()
        assert not ends.one.broken
        assert ends.one.send(b"after")
        got = []
        while b"after" not in got:
            ends.one.flush()
            got += ends.other.receive()
        numbers = [int.from_bytes(frame[:4], "big") for frame in got[:-1]]
        assert numbers == list(range(len(numbers)))
        assert all(len(frame) == frame_bytes for frame in got[:-1])
        assert len(numbers) < accepted
        assert ends.one.frames_sent == len(got)


def test_the_queue_bound_does_not_count_what_fits_into_the_ring(open_ends: Callable) -> None:
    with open_ends(1024, queue_bytes_max=64) as ends:
        assert all(ends.one.send(bytes(40)) for _ in range(20))
        ends.one.flush()
        assert len(ends.other.receive()) == 20


def test_a_closed_link_ends_after_its_last_frame(open_ends: Callable) -> None:
    with open_ends() as ends:
        ends.bells[1].set_sleeping(True)
        ends.one.send(b"last")
        ends.one.flush()
        rang(ends.bells[1])
        assert not ends.links[1].has_ended()
        ends.links[0].close()
        assert rang(ends.bells[1])
        assert not ends.links[1].has_ended()
        assert ends.other.receive() == [b"last"]
        assert ends.links[1].has_ended()


def test_memory_that_is_too_small_is_refused() -> None:
    fd, bell = create_memory("test", 4096), Bell.create()
    try:
        with pytest.raises(ValueError, match="4096 bytes"):
            ShmLink(fd, CLIENT_CHANNELS, 0, bell, queue_bytes_max=0)
    finally:
        os.close(fd)
        bell.close()


def test_a_link_of_13_servers_takes_less_than_200_mb() -> None:
    assert 78 * link_bytes(PEER_CHANNELS) < 200 << 20
