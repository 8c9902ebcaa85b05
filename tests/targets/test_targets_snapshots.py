"""Real servers that snapshot their own disks under load (Z-8, zab.md 7.4, 7.6)."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from test_targets_recovery import KEYS, Writer, assert_all_hold, writer

from lab.faults import Crash, Restart
from lab.targets.own import OwnTarget

pytestmark = pytest.mark.process
DEADLINE_S = 60.0
SNAP_COUNT = 400


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OwnTarget]:
    made = OwnTarget(voters=3, durability="buffered", data_dir=tmp_path, snap_count=SNAP_COUNT)
    made.start()
    yield made
    made.stop()
    assert list(tmp_path.iterdir()) == []


def files_of(target: OwnTarget, server: int, stem: str) -> list[str]:
    """Names of the snapshots, or log segments, in the generation in force, oldest first."""
    (generation,) = (target.cluster.folder / "data" / str(server)).glob("generation.*")
    names = [path.name for path in generation.glob(f"{stem}.*") if not path.name.endswith(".tmp")]
    return sorted(names, key=lambda name: int(name.partition(".")[2], 16))


def until(load: Writer, holds: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came"
        load.set(100)


def test_snapshots_appear_under_load_older_ones_and_their_logs_go_and_nothing_is_lost(target: OwnTarget) -> None:
    with writer(target, [1, 2, 3]) as load:
        load.create()
        until(load, lambda: all("snapshot.0" not in files_of(target, server, "snapshot") for server in (1, 2, 3)))
        until(load, lambda: all("log.100000001" not in files_of(target, server, "log") for server in (1, 2, 3)))
        target.inject(Crash(2))
        kept = files_of(target, 2, "snapshot")
        assert 3 <= len(kept) <= 4, "the fourth is one that the kill came upon before the purge"
        load.set(100)
        target.inject(Restart(2))
        target.cluster.wait_until_serving(DEADLINE_S)
        replicas = target.replicas([])
        assert len(replicas) == 3
        assert_all_hold(replicas, load)
        (log,) = (replica.log for replica in replicas if replica.server == 2)
        assert log is not None
        assert log[0][1] > 0, "what was purged is covered by a snapshot, and said to be"


def test_a_server_killed_while_its_child_writes_leaves_no_child_and_starts_from_what_is_whole(
    target: OwnTarget,
) -> None:
    victim = 1
    with writer(target, [2, 3]) as load:
        load.create()
        load.grow(3_000, 4_000)  # so that writing takes a while
        load.set(100)
        pid = target.cluster.pids()[victim]
        until(load, lambda: len(files_of(target, victim, "snapshot")) > 1)
        until(load, lambda: bool(_freeze_a_child(pid)))
        (child,) = psutil.Process(pid).children()
        target.inject(Crash(victim))
        child.wait(DEADLINE_S)
        (generation,) = (target.cluster.folder / "data" / str(victim)).glob("generation.*")
        (unfinished,) = generation.glob("*.tmp")
        assert re.fullmatch(r"snapshot\.[0-9a-f]+\.[0-9a-f]+\.tmp", unfinished.name)
        newest = files_of(target, victim, "snapshot")[-1]
        target.inject(Restart(victim))
        target.cluster.wait_until_serving(DEADLINE_S)
        assert not unfinished.exists()
        assert newest in files_of(target, victim, "snapshot")
        replicas = target.replicas([])
        assert len(replicas) == 3
        assert_all_hold(replicas, load)
        assert all(len(replica.nodes) == 1 + len(KEYS) + 3_000 for replica in replicas)


def _freeze_a_child(pid: int) -> list[int]:
    """Stop a child of this process in its work; [] if there is none just now."""
    frozen = []
    for child in psutil.Process(pid).children():
        try:
            os.kill(child.pid, signal.SIGSTOP)
        except ProcessLookupError:
            continue
        if child.status() == psutil.STATUS_STOPPED:
            frozen.append(child.pid)
    return frozen


def test_a_child_that_is_killed_is_a_line_on_stderr_and_the_next_one_does(target: OwnTarget) -> None:
    with writer(target, [1, 2, 3]) as load:
        load.create()
        load.grow(3_000, 4_000)
        load.set(100)
        pid = target.cluster.pids()[1]
        until(load, lambda: bool(_freeze_a_child(pid)))
        (child,) = psutil.Process(pid).children()
        before = files_of(target, 1, "snapshot")
        child.kill()
        until(load, lambda: files_of(target, 1, "snapshot")[-1] != before[-1])
        log = (target.cluster.folder / "server-1.log").read_text()
        assert re.search(r"lab\.node 1: .*snapshot\..*\.tmp: the process that wrote it was ended by SIGKILL", log)
        load.drain()
        assert_all_hold(target.replicas([]), load)
