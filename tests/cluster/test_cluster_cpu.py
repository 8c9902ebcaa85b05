"""CPU placement and budgets."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_clusters import wait_until

from lab.cluster.cleanup import remove_group
from lab.cluster.cpu import CpuBudgets, Hierarchy, all_on, find_hierarchy, quota_and_period

V1 = """\
tmpfs {root} tmpfs rw 0 0
cgroup {root}/memory cgroup rw,relatime,memory 0 0
cgroup {root}/cpu cgroup rw,relatime,cpu,cpuacct 0 0
cgroup2 {root}/unified cgroup2 rw,relatime 0 0
"""


@pytest.mark.parametrize(
    ("share", "quota", "period"),
    [
        (1.0, 10_000, 10_000),
        (0.1, 1_000, 10_000),  # the kernel's least quota
        (0.05, 1_000, 20_000),  # below it the period grows
        (2.5, 25_000, 10_000),
    ],
)
def test_a_share_is_a_quota_in_a_period(share: float, quota: int, period: int) -> None:
    assert quota_and_period(share) == (quota, period)


@pytest.mark.parametrize("share", [0.0, -1.0, 65.0, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"cpu_share=.*: allowed is 0.001 to 64 of one CPU"):
        quota_and_period(share)


def test_placement() -> None:
    assert all_on((1, 2), ()) == {}
    assert all_on((1, 2), (0, 3)) == {1: (0, 3), 2: (0, 3)}


def test_version_1_is_used_where_it_has_the_cpu_controller(tmp_path: Path) -> None:
    (tmp_path / "cpu" / "user").mkdir(parents=True)
    found = find_hierarchy(V1.format(root=tmp_path), "4:memory:/elsewhere\n1:cpu,cpuacct:/user\n0::/\n")
    assert found == Hierarchy(1, (tmp_path / "cpu" / "user", tmp_path / "cpu"))


def test_a_path_of_the_host_that_does_not_exist_in_a_container_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    found = find_hierarchy(V1.format(root=tmp_path), "1:cpu,cpuacct:/docker/abc\n")
    assert found == Hierarchy(1, (tmp_path / "cpu",))


def test_version_2_tries_our_own_group_then_the_one_around_it(tmp_path: Path) -> None:
    (tmp_path / "user" / "shell").mkdir(parents=True)
    found = find_hierarchy(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n", "0::/user/shell\n")
    assert found == Hierarchy(2, (tmp_path / "user" / "shell", tmp_path / "user", tmp_path))


def test_without_a_cpu_controller_there_is_no_budget_and_it_says_so() -> None:
    assert find_hierarchy("proc /proc proc rw 0 0\n", "") is None
    budgets = CpuBudgets("run", lambda _: None, None)
    assert budgets.limit({1: 1}, 0.5) == "none"
    assert budgets.refused == "no cpu controller is mounted: budgets are off"
    assert budgets.throttled_s() == {}
    budgets.lift()


def test_without_permission_there_is_no_budget_and_it_says_so(tmp_path: Path) -> None:
    budgets = CpuBudgets("run", lambda _: None, Hierarchy(1, (tmp_path / "absent",)))
    assert budgets.limit({1: 1}, 0.5) == "none"
    assert budgets.refused.startswith("no permission for cgroups: budgets are off")


class FakeV2:
    """A version 2 tree of plain files; the kernel would make those of a new group itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._fill(root)

    def _fill(self, group: Path) -> None:
        (group / "cgroup.subtree_control").write_text("")
        for name in ("cgroup.procs", "cpu.max"):
            (group / name).touch()
        (group / "cpu.stat").write_text("usage_usec 9\nthrottled_usec 1500000\n")

    def owns(self, group: str) -> None:
        """Told before a group is made, so make it here with its files."""
        Path(group).mkdir()
        self._fill(Path(group))


def test_a_group_that_a_read_only_hierarchy_refused_need_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr("os.rmdir", refuse)
    assert remove_group(os.fsencode(tmp_path / "never-made"), time.monotonic() + 60) == []
    assert remove_group(os.fsencode(tmp_path), time.monotonic()) == [f"control group {tmp_path}: Read-only file system"]


def test_version_2_hands_the_controller_down_and_writes_quota_and_period(tmp_path: Path) -> None:
    budgets = CpuBudgets("run", FakeV2(tmp_path).owns, Hierarchy(2, (tmp_path,)))
    assert budgets.limit({1: 4711}, 0.5) == "cgroup-v2"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    assert (tmp_path / "run" / "cgroup.subtree_control").read_text() == "+cpu"
    server = tmp_path / "run" / "server-1"
    assert (server / "cpu.max").read_text() == "5000 10000"
    assert (server / "cgroup.procs").read_text() == "4711"
    assert budgets.throttled_s() == {1: 1.5}
    budgets.lift()
    assert (server / "cpu.max").read_text().startswith("max 10000")


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process
        process.kill()


@pytest.mark.process
def test_a_real_budget_holds_a_busy_process_back_until_it_is_lifted(busy: subprocess.Popen[bytes]) -> None:
    groups: list[str] = []
    budgets = CpuBudgets(f"zab-lab-test-{os.getpid()}", groups.append, find_hierarchy())
    try:
        if budgets.limit({1: busy.pid}, 0.2) == "none":
            pytest.skip(budgets.refused)
        wait_until(lambda: budgets.throttled_s()[1] > 0, "it is held back")
        budgets.lift()
    finally:
        busy.kill()
        busy.wait()
        left = [what for group in reversed(groups) for what in remove_group(group.encode(), time.monotonic() + 10)]
    assert left == []
    assert not any(Path(group).exists() for group in groups)
