"""Rings between two processes: killed writers, full rings, sleeping readers."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from lab.transport.pidfd import open_pidfd
from lab.transport.waiter import Waiter

pytestmark = pytest.mark.process

DEADLINE_S = 60.0


def frame_of(number: int) -> bytes:
    """Sizes from nothing to more than a ring, contents that tell one frame from another."""
    size = (0, 3, 40, 150, 400, 3000)[number % 6]
    return (number.to_bytes(8, "little") * (size // 8 + 1))[:size]


def exit_status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_killed_writer_leaves_a_clean_prefix(
    open_ends: Callable, in_child: Callable, checksums: bool, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(2):
        with open_ends(1024, checksums=checksums) as ends:

            def write_for_ever(ends: object = ends) -> None:
                number = 0
                while True:
                    assert ends.one.send(frame_of(number))  # type: ignore[attr-defined]
                    number += 1
                    while number % 3 == 0 and ends.one.wants_flush():  # type: ignore[attr-defined]
                        ends.one.flush()  # type: ignore[attr-defined]

            pid = in_child(write_for_ever)
            kill_after = rng.randrange(1, 1500)
            received = 0
            deadline = time.monotonic() + DEADLINE_S
            while received < kill_after and time.monotonic() < deadline:
                for frame in ends.other.receive():
                    assert frame == frame_of(received)
                    received += 1
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            for frame in ends.other.receive():
                assert frame == frame_of(received)
                received += 1
            assert received >= kill_after
            assert not ends.other.has_input()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.covers("X-41")
def test_a_killed_reader_costs_its_writer_only_the_queue(open_ends: Callable, in_child: Callable, seed: int) -> None:
    rng = random.Random(seed)
    with open_ends(1024, queue_bytes_max=10_000) as ends:

        def read_for_ever() -> None:
            while True:
                ends.other.receive()

        pid = in_child(read_for_ever)
        for number in range(rng.randrange(100, 2000)):
            ends.one.send(frame_of(number))
            ends.one.flush()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        sent = 0
        while ends.one.send(bytes(100)):
            ends.one.flush()
            sent += 1
        assert ends.one.broken
        assert sent <= (1024 + 10_000) // 100


@pytest.mark.parametrize("checksums", [False, True])
def test_two_processes_fill_each_others_rings_without_loss_or_deadlock(
    open_ends: Callable, in_child: Callable, checksums: bool
) -> None:
    count = 3000
    with open_ends(1024, queue_bytes_max=16 << 20, checksums=checksums) as ends:

        def work(mine: int) -> None:
            channel, bell = (ends.one, ends.other)[mine], ends.bells[mine]
            waiter, rng = Waiter(bell), random.Random(mine)
            sent = received = 0
            deadline = time.monotonic() + DEADLINE_S
            while received < count or sent < count or channel.wants_flush():
                assert time.monotonic() < deadline, (mine, sent, received)
                burst = min(rng.randrange(20), count - sent)
                for _ in range(burst):
                    assert channel.send(frame_of(sent))
                    sent += 1
                channel.flush()
                frames = channel.receive()
                for frame in frames:
                    assert frame == frame_of(received)
                    received += 1
                if not burst and not frames:
                    waiter.wait(10_000, channel.has_input)
            waiter.close()

        pids = [in_child(lambda mine=mine: work(mine)) for mine in (0, 1)]
        assert [exit_status(pid) for pid in pids] == [0, 0]


def test_no_wake_up_is_lost(open_ends: Callable, in_child: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side sleeps until the other's answer: with one lost ring both would sleep for ever."""
    rounds = 20_000
    monkeypatch.setattr("lab.transport.waiter.SLEEP_MS_MAX", DEADLINE_S * 1e3)
    with open_ends() as ends:

        def answer(mine: int) -> None:
            channel, waiter = (ends.one, ends.other)[mine], Waiter(ends.bells[mine])
            received, stuck_at = 0, time.monotonic() + DEADLINE_S / 2
            if mine == 0:
                channel.send(b"ball")
                channel.flush()
            while received < rounds:
                for frame in channel.receive():
                    received += 1
                    channel.send(frame)
                    channel.flush()
                waiter.wait(DEADLINE_S * 1e3, channel.has_input)
                assert time.monotonic() < stuck_at, f"{received} rounds"
            waiter.close()

        pids = [in_child(lambda mine=mine: answer(mine)) for mine in (0, 1)]
        assert exit_status(pids[1]) == 0


def test_a_waiter_sees_a_process_die(open_ends: Callable, in_child: Callable) -> None:
    with open_ends() as ends:
        pid = in_child(lambda: signal.pause())
        pidfd = open_pidfd(pid)
        waiter = Waiter(ends.bells[0])
        try:
            waiter.add(pidfd)
            assert waiter.wait(0, lambda: False) == []
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + DEADLINE_S
            while not (ready := waiter.wait(1000, lambda: False)):
                assert time.monotonic() < deadline
            assert ready == [pidfd]
            waiter.remove(pidfd)
            assert waiter.wait(0, lambda: False) == []
        finally:
            waiter.close()
            os.close(pidfd)
