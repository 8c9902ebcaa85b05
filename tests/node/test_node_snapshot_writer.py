"""Snapshots of the own disk by forked children (Z-8)."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from lab.node.snapshot_writer import ForkedWriter
from lab.storage.store import FileStore
from lab.transport.bell import Bell
from lab.transport.waiter import Waiter
from lab.zab.batches import make_batch
from lab.zab.zxid import make_zxid

pytestmark = pytest.mark.process
DEADLINE_S = 30.0
ZXID = make_zxid(1, 3)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.others = set(psutil.Process().children())  # of earlier tests' making
        (folder / "initialize").touch()
        self.bell = Bell.create()
        self.waiter = Waiter(self.bell)
        self.lines: list[str] = []
        self.store = self.open()
        self.store.save_accepted_epoch(1)
        self.store.append(1, make_batch(make_zxid(1, 1), 3, b"\x93\x01\x02\x03"))
        self.store.flush()

    def open(self) -> FileStore:
        start_writer = partial(ForkedWriter, self.waiter, self.lines.append)
        store = FileStore(
            str(self.folder), fsync=True, incarnation=0xF, start_writer=start_writer, report=self.lines.append
        )
        self.recovered = store.recover()
        return store

    def outcome(self) -> bool:
        """Sleep as a server does, until the child's end wakes it."""
        deadline = time.monotonic() + DEADLINE_S
        while (outcome := self.store.snapshot_outcome()) is None:
            assert time.monotonic() < deadline, "the child never ended"
            self.waiter.wait(100.0, lambda: False)
        return outcome

    def children(self) -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if child not in self.others]

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "generation.1").iterdir() if "snapshot" in path.name)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    before = set(os.listdir("/proc/self/fd"))
    made = Rig(tmp_path)
    yield made
    made.store.close()
    made.waiter.close()
    made.bell.close()
    assert not made.children()
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_child_writes_the_tree_as_it_was_and_the_parent_gives_it_its_name(rig: Rig) -> None:
    tree = [b"one", b"two" * 100_000]
    rig.store.begin_snapshot(ZXID, iter(tree))
    tree[1] = b"changed"
    assert rig.names() == ["snapshot.0", "snapshot.100000003.f.tmp"]
    assert rig.outcome()
    rig.store.end_snapshot(keep=True, log_after=None)
    assert rig.names() == ["snapshot.0", "snapshot.100000003"]
    rig.store.close()
    rig.store = rig.open()
    assert rig.recovered.history.base == ZXID
    assert list(rig.recovered.history.chunks) == [b"one", b"two" * 100_000]
    assert rig.lines == []


def test_a_child_that_fails_says_why_and_leaves_nothing(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("no more memory")

    rig.store.begin_snapshot(ZXID, chunks())
    assert not rig.outcome()
    rig.store.end_snapshot(keep=False, log_after=None)
    assert rig.names() == ["snapshot.0"]
    assert capfd.readouterr().err.endswith("ValueError: no more memory\n")


def endless() -> Iterator[bytes]:
    while True:
        time.sleep(0.01)
        yield b""


def test_a_child_that_is_killed_is_told_in_one_line(rig: Rig) -> None:
    rig.store.begin_snapshot(ZXID, endless())
    (child,) = rig.children()
    child.send_signal(signal.SIGKILL)
    assert not rig.outcome()
    assert len(rig.lines) == 1
    assert "ended by SIGKILL" in rig.lines[0]
    rig.store.end_snapshot(keep=False, log_after=None)
    assert rig.names() == ["snapshot.0"]


def test_a_store_that_closes_ends_its_child(rig: Rig) -> None:
    rig.store.begin_snapshot(ZXID, endless())
    rig.store.close()
    assert not rig.children()
    rig.store = rig.open()
    assert rig.names() == ["snapshot.0"]


def test_the_child_holds_nothing_but_its_file(rig: Rig) -> None:
    """Not the lock of the folder, above all: a server that is started again would be refused."""
    rig.store.begin_snapshot(ZXID, endless())
    (child,) = rig.children()
    deadline = time.monotonic() + DEADLINE_S
    wanted = str(rig.folder / "generation.1" / "snapshot.100000003.f.tmp")
    while [file.path for file in child.open_files()] != [wanted]:
        assert time.monotonic() < deadline, child.open_files()
    assert child.net_connections() == []
    assert child.nice() > psutil.Process().nice(), "whoever serves comes first"
