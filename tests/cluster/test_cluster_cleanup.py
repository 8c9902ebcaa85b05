"""However a harness ends, nothing of its run is left: no process, memory, folder or control group."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_clusters import wait_until

from lab.cluster.cleanup import running_since

pytestmark = pytest.mark.process

HARNESS = Path(__file__).with_name("harness.py")
ROOT = Path(__file__).parents[2]


class Harness:
    """A running harness; every process that descends from it carries its mark in its environment."""

    def __init__(self, way: str, data_dir: Path) -> None:
        self.mark = f"ZAB_LAB_TEST={uuid.uuid4()}"
        self.process = subprocess.Popen(
            [sys.executable, str(HARNESS), way, str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), self.mark.partition("=")[0]: self.mark.partition("=")[2]},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.about: dict[str, Any] = json.loads(line)

    def descendants(self) -> list[int]:
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if self._is_marked(pid)]

    def _is_marked(self, pid: int) -> bool:
        try:
            return self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        try:
            wait_until(lambda: not self.descendants(), "the janitor has done its work")
        finally:
            for pid in self.descendants():
                os.kill(pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    running = Harness(request.param, tmp_path)
    yield running
    running.close()


def groups_of(folder: str) -> list[Path]:
    mounts = [line.split(" ")[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(point) for point, kind in mounts if kind in ("cgroup", "cgroup2")]
    return [group for root in roots for group in root.rglob(Path(folder).name)]


def assert_nothing_remains(harness: Harness, tmp_path: Path) -> None:
    """Shared memory is anonymous here: it is gone with the last process that holds it."""
    wait_until(lambda: not harness.descendants(), "every process of the run has ended")
    assert all(running_since(pid) is None for pid in harness.about["pids"].values())
    wait_until(lambda: not list(tmp_path.iterdir()), "the run folder is gone")
    assert not groups_of(harness.about["folder"])


@pytest.mark.parametrize("harness", ["wait"], indirect=True)
def test_a_run_has_three_servers_a_janitor_a_private_folder_and_groups(harness: Harness) -> None:
    assert len(harness.descendants()) == 5  # with the harness itself
    assert os.stat(harness.about["folder"]).st_mode & 0o777 == 0o700
    assert bool(groups_of(harness.about["folder"])) == (harness.about["budget"] != "none")


@pytest.mark.parametrize("harness", ["exit"], indirect=True)
def test_after_a_normal_exit(harness: Harness, tmp_path: Path) -> None:
    assert harness.process.wait(30) == 0
    assert not list(tmp_path.iterdir())  # a normal end waits for the janitor
    assert_nothing_remains(harness, tmp_path)


@pytest.mark.parametrize("harness", ["exception"], indirect=True)
def test_after_an_exception(harness: Harness, tmp_path: Path) -> None:
    assert harness.process.wait(30) == 1
    assert_nothing_remains(harness, tmp_path)


@pytest.mark.parametrize("harness", ["wait"], indirect=True)
def test_after_ctrl_c_in_the_terminal(harness: Harness, tmp_path: Path) -> None:
    os.killpg(harness.process.pid, signal.SIGINT)
    assert harness.process.wait(30) != 0
    assert_nothing_remains(harness, tmp_path)


@pytest.mark.parametrize("harness", ["frozen", "frozen-udp"], indirect=True)
def test_after_kill_9_of_the_harness_with_a_server_frozen(harness: Harness, tmp_path: Path) -> None:
    os.kill(harness.process.pid, signal.SIGKILL)
    harness.process.wait(30)
    assert_nothing_remains(harness, tmp_path)
    for address in filter(None, harness.about["addresses"]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(tuple(address))  # nobody holds it any more


@pytest.mark.parametrize("harness", ["frozen"], indirect=True)
def test_the_janitor_is_deaf_to_what_ends_a_harness(harness: Harness, tmp_path: Path) -> None:
    ours = {harness.process.pid, *harness.about["pids"].values()}
    (janitor,) = set(harness.descendants()) - ours
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(janitor, number)
    os.kill(harness.process.pid, signal.SIGKILL)
    harness.process.wait(30)
    assert_nothing_remains(harness, tmp_path)
