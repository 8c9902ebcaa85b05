"""Run folders: private, locked while their run lives, swept once it does not."""

import os
from pathlib import Path

import pytest
from stub_clusters import raised_by_python, wait_until

from lab.cluster import run_folder
from lab.cluster.cleanup import process_record, running_since
from lab.cluster.errors import ClusterError
from lab.cluster.run_folder import RunFolder, filesystem_of, refuse_volatile, sweep


def test_it_is_for_its_user_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.path.parent == tmp_path
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_base_folder_that_was_made_for_it_goes_with_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "new" / "base")
    folder.remove()
    assert not (tmp_path / "new" / "base").exists()


def test_a_base_folder_in_use_stays(tmp_path: Path) -> None:
    one, other = RunFolder(tmp_path / "base"), RunFolder(tmp_path / "base")
    one.remove()
    assert other.path.exists()
    other.remove()


def test_sweep_removes_a_stale_folder_and_leaves_a_live_one(tmp_path: Path) -> None:
    live, stale = RunFolder(tmp_path), RunFolder(tmp_path)
    (stale.path / "data").mkdir()
    stale.release()  # as the kernel does when its process ends
    assert sweep(tmp_path) == [stale.path.name]
    assert not stale.path.exists()
    assert live.path.exists()
    live.remove()


def test_a_new_run_sweeps_first(tmp_path: Path) -> None:
    stale = RunFolder(tmp_path)
    stale.release()
    fresh = RunFolder(tmp_path)
    assert not stale.path.exists()
    fresh.remove()


def test_sweep_leaves_folders_that_no_run_made(tmp_path: Path) -> None:
    kept = [tmp_path / "zab-lab-run-notes", tmp_path / "results"]
    for folder in kept:
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    assert sweep(tmp_path) == []
    assert all((folder / "thesis.txt").exists() for folder in kept)


@pytest.mark.process
def test_sweep_ends_the_servers_that_a_stale_folder_lists(tmp_path: Path) -> None:
    stale = RunFolder(tmp_path)
    with raised_by_python("import signal; signal.pause()") as pid:
        stale.note(process_record(pid))
        stale.release()
        assert sweep(tmp_path) == [stale.path.name]
        assert running_since(pid) is None


@pytest.mark.process
def test_sweep_spares_a_process_that_merely_has_the_same_pid(tmp_path: Path) -> None:
    stale = RunFolder(tmp_path)
    with raised_by_python("import signal; signal.pause()") as pid:
        wait_until(lambda: running_since(pid), "it has started")
        stale.note(b"process %d %d\0" % (pid, running_since(pid) - 1))
        stale.release()
        assert sweep(tmp_path) == [stale.path.name]
        assert running_since(pid) is not None


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ClusterError, match=r"cannot make a run folder in .*/file/base: .*--data-dir"):
        RunFolder(file / "base")


def test_a_default_base_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "zab-lab"
    base.mkdir()
    monkeypatch.setattr(run_folder, "default_base", lambda: base)
    monkeypatch.setattr(os, "geteuid", lambda: base.stat().st_uid + 1)
    with pytest.raises(ClusterError, match="belongs to user"):
        RunFolder()


def test_the_deepest_mount_decides_the_file_system() -> None:
    mounts = [
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
        "30 22 0:26 / /tmp rw - tmpfs tmpfs rw",
        "31 22 8:2 / /data rw - xfs /dev/sdb1 rw",
        r"32 31 8:3 / /data/my\040disk rw - btrfs /dev/sdc1 rw",
    ]
    assert run_folder._filesystem_in(mounts, "/tmp/run") == "tmpfs"
    assert run_folder._filesystem_in(mounts, "/tmpfile") == "ext4"
    assert run_folder._filesystem_in(mounts, "/data/run") == "xfs"
    assert run_folder._filesystem_in(mounts, "/data/my disk/run") == "btrfs"


def test_the_file_system_of_a_real_folder_is_known(tmp_path: Path) -> None:
    assert filesystem_of(Path("/proc")) == "proc"
    assert filesystem_of(tmp_path) != "unknown"


def test_fsync_in_memory_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "filesystem_of", lambda _: "tmpfs")
    with pytest.raises(ClusterError, match=r"durability=fsync in .*: that is tmpfs.*--data-dir") as refused:
        refuse_volatile(tmp_path)
    assert "\n" not in str(refused.value)
