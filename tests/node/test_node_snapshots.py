"""Trees kept for learners by forked children (Z-8, Z-13, Z-18)."""

import errno
import os
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from lab.node import snapshots as module
from lab.node.snapshots import ForkedSnapshots
from lab.transport.bell import Bell
from lab.transport.waiter import Waiter
from lab.zab.events import SnapshotRead

pytestmark = pytest.mark.process
DEADLINE_S = 30.0


class Rig:
    def __init__(self) -> None:
        self.bell = Bell.create()
        self.waiter = Waiter(self.bell)
        self.snapshots = ForkedSnapshots(self.waiter)

    def next(self) -> SnapshotRead:
        """What arrives next."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.snapshots.has_input():
            assert time.monotonic() < deadline, "nothing arrived"
            for fd in self.waiter.wait(100.0, self.snapshots.has_input):
                assert self.snapshots.on_ready(fd)
        (arrived,) = self.snapshots.receive()
        return arrived

    def read(self, learner: int, session: int) -> SnapshotRead:
        self.snapshots.ask(learner, session)
        return self.next()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture
def rig() -> Iterator[Rig]:
    made, before = Rig(), (descriptors(), children())
    yield made
    made.snapshots.close_all()
    assert (descriptors(), children()) == before  # not one is left, dead or alive
    made.waiter.close()
    made.bell.close()


@pytest.mark.covers("Z-13")
def test_chunks_are_what_the_tree_was_when_it_was_opened(rig: Rig) -> None:
    tree = [b"a", b"", b"c" * 3_000_000]  # longer than the pipe
    rig.snapshots.open(2, 5, iter(tree))
    tree[2] = b"changed"
    assert rig.read(2, 5) == SnapshotRead(2, 5, b"a", last=False)
    assert rig.read(2, 5) == SnapshotRead(2, 5, b"", last=False)
    assert rig.read(2, 5) == SnapshotRead(2, 5, b"c" * 3_000_000, last=True)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (50, 60), (300_000, 10, 5), (300_000,) * 4])
def test_what_a_child_had_written_before_it_ended_is_there_to_the_last_chunk(rig: Rig, sizes: tuple[int, ...]) -> None:
    tree = [bytes([number]) * size for number, size in enumerate(sizes)]
    rig.snapshots.open(2, 5, iter(tree))
    if sum(sizes) < module.READ_BYTES:
        until(lambda: any(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process().children()))
    assert [rig.read(2, 5).data for _ in tree] == tree
    rig.snapshots.ask(2, 5)
    assert not rig.snapshots.has_input(), "there is no more, and nothing of it is left"


def test_without_a_child_the_learner_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    rig.snapshots.open(2, 5, iter([b"one"]))
    assert rig.read(2, 5) == SnapshotRead(2, 5, None, last=False)
    assert "no copy of the tree for server 2: Resource temporarily unavailable" in capfd.readouterr().err


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"


def test_several_learners_are_served_at_once(rig: Rig) -> None:
    rig.snapshots.open(2, 5, iter([b"two", b"more"]))
    rig.snapshots.open(3, 7, iter([b"three"]))
    assert rig.read(3, 7) == SnapshotRead(3, 7, b"three", last=True)
    assert rig.read(2, 5) == SnapshotRead(2, 5, b"two", last=False)
    assert rig.read(2, 5) == SnapshotRead(2, 5, b"more", last=True)


def test_a_child_that_fails_is_told(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        raise ValueError("no more memory")

    rig.snapshots.open(2, 5, chunks())
    assert rig.read(2, 5).data == b"one"
    assert rig.read(2, 5) == SnapshotRead(2, 5, None, last=False)
    assert capfd.readouterr().err.endswith("ValueError: no more memory\n")


def test_a_session_that_ends_half_way_ends_the_child(rig: Rig) -> None:
    rig.snapshots.open(2, 5, iter([b"x" * module.PIPE_BYTES] * 3))
    rig.read(2, 5)
    rig.snapshots.ask(2, 5)
    rig.snapshots.close(2)
    assert rig.snapshots.receive() == []


def test_closing_and_asking_for_what_is_not_there_do_nothing(rig: Rig) -> None:
    rig.snapshots.close(2)
    rig.snapshots.close(2, 5)
    rig.snapshots.ask(2, 5)
    assert not rig.snapshots.has_input()
