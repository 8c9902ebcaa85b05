"""The same on real files: content, permissions, locks, errors that name the file."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from storage_histories import Held, txns_of, unique_batch, walk, z

from lab.storage.disk import RealDisk
from lab.storage.errors import CorruptLogError, DataFolderError, DataFolderInUseError, DiskError
from lab.storage.store import FileStore
from lab.zab.events import Flushed


def new_store(folder: Path, **options: int) -> FileStore:
    (folder / "initialize").touch()
    store = FileStore(str(folder), fsync=True, segment_bytes=options.get("segment_bytes", 1 << 20))
    store.recover()
    store.save_accepted_epoch(1)
    return store


def held_in(folder: Path, fsync: bool = True) -> Held:
    store = FileStore(str(folder), fsync=fsync)
    held = walk(store.recover().history)
    store.close()
    return held


@pytest.mark.parametrize("fsync", [True, False])
@pytest.mark.parametrize("segment_bytes", [1 << 12, 1 << 20])
@pytest.mark.covers("S25", "S31")
def test_what_is_flushed_is_there_after_a_restart(tmp_path: Path, fsync: bool, segment_bytes: int) -> None:
    (tmp_path / "initialize").touch()
    store = FileStore(str(tmp_path), fsync=fsync, segment_bytes=segment_bytes)
    store.recover()
    store.save_accepted_epoch(1)
    for counter in range(1, 400, 4):
        store.append(3, unique_batch(z(1, counter), 4))
        assert store.flush() == Flushed(3, z(1, counter + 3))
    assert store.flush() is None
    written = txns_of(store.batches())
    assert len(written) == 400
    store.close()
    assert held_in(tmp_path, fsync) == Held(0, [], written)


def test_more_buffers_than_one_system_call_takes(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    for counter in range(1, 1501):
        store.append(1, unique_batch(z(1, counter), 1, value_bytes=100))
    store.flush()
    written = txns_of(store.batches())
    store.close()
    assert held_in(tmp_path) == Held(0, [], written)
    assert len(written) == 1500


def test_a_batch_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    store = new_store(tmp_path, segment_bytes=4096)
    for counter, size in ((1, 10), (2, 3_000_000), (3, 10)):
        store.append(1, unique_batch(z(1, counter), 1, value_bytes=size))
    store.flush()
    store.close()
    assert [zxid for zxid, _ in held_in(tmp_path).txns] == [z(1, 1), z(1, 2), z(1, 3)]


def test_truncate_and_install_on_real_files(tmp_path: Path) -> None:
    store = new_store(tmp_path, segment_bytes=4096)
    for counter in range(1, 101, 5):
        store.append(1, unique_batch(z(1, counter), 5, value_bytes=100))
    history = store.truncate(2, z(1, 33)).history
    assert history is not None
    assert walk(history).last == z(1, 33)
    store.save_accepted_epoch(2)
    store.append(2, unique_batch(z(2, 1), 1))
    store.flush()
    store.close()
    held = held_in(tmp_path)
    assert held.last == z(2, 1)
    assert len(held.txns) == 34
    store = FileStore(str(tmp_path), fsync=True)
    store.recover()
    store.install(3, z(2, 9), b"tree" * 1000, first=True, last=True)
    store.close()
    assert held_in(tmp_path) == Held(z(2, 9), [b"tree" * 1000], [])


def test_only_the_user_may_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = FileStore(str(folder), fsync=True)
    store.recover()
    store.save_accepted_epoch(1)
    store.install(1, z(1, 1), b"tree", first=True, last=True)
    store.append(1, unique_batch(z(1, 2), 1))
    store.flush()
    store.close()
    paths = [folder, *folder.rglob("*")]
    assert len(paths) > 6
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


HOLD = """
import sys
from lab.storage.store import FileStore
store = FileStore(sys.argv[1], fsync=True)
store.recover()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.process
@pytest.mark.covers("Z-8")
def test_a_second_process_on_one_folder_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(DataFolderInUseError, match=rf"^{tmp_path}: in use by process {holder.pid};"):
                FileStore(str(tmp_path), fsync=True).recover()
        finally:
            holder.kill()
    held_in(tmp_path)


def test_no_space_left_is_one_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = new_store(tmp_path, segment_bytes=4096)
    store.append(1, unique_batch(z(1, 1), 10))
    store.flush()

    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DiskError) as caught:
            store.append(1, unique_batch(z(1, 11), 1, value_bytes=5000))
    assert str(caught.value).startswith(f"{tmp_path}/generation.1/log.10000000b: cannot reserve ")
    assert "No space left on device; free space there or choose another --data-dir" in str(caught.value)
    store.close()
    assert held_in(tmp_path).last == z(1, 10)


@pytest.mark.covers("X-28")
def test_a_failed_flush_is_not_reported_as_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = new_store(tmp_path)
    store.append(1, unique_batch(z(1, 1), 1))

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("lab.storage.disk._datasync", broken)
    with pytest.raises(DiskError, match=r"log\.100000001: cannot flush: Input/output error; the device failed"):
        store.flush()
    store.close()


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, offset: whole(fd, [b"".join(buffers)[:7]], offset))
    file = RealDisk().create(str(tmp_path / "file"))
    file.write_at(3, [b"hello ", b"", b"world"])
    assert file.read_at(0, 100) == b"\0\0\0hello world"
    file.close()


def test_a_data_dir_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("not a folder")
    with pytest.raises(DiskError, match=rf"^{path}/lock: cannot open: Not a directory"):
        FileStore(str(path), fsync=True).recover()


def test_a_foreign_epoch_file_is_refused_and_the_folder_is_free_again(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    (tmp_path / "acceptedEpoch").write_bytes(b"\xff" * 1000)
    for _ in range(2):
        with pytest.raises(DataFolderError, match="acceptedEpoch: holds"):
            FileStore(str(tmp_path), fsync=True).recover()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    store = new_store(tmp_path, segment_bytes=4096)
    for counter in range(1, 101):
        store.append(1, unique_batch(z(1, counter), 1, value_bytes=200))
    store.truncate(2, z(1, 50))
    list(store.batches())
    store.install(3, z(1, 60), b"tree", first=True, last=True)
    store.install(4, z(1, 70), b"half", first=True, last=False)
    store.close()
    held_in(tmp_path)
    assert before in (0, len(os.listdir("/proc/self/fd")))


def test_no_region_that_holds_data_is_left_out(tmp_path: Path) -> None:
    file = RealDisk().create(str(tmp_path / "file"))
    file.allocate(8 << 20)
    for offset in (5 << 20, (7 << 20) + 3):
        file.write_at(offset, [b"data"])
    for asked, held in ((0, [5 << 20, (7 << 20) + 3]), ((5 << 20) + 2, [(5 << 20) + 3, (7 << 20) + 6]), (8 << 20, [])):
        regions = file.regions(asked)
        assert all(any(start <= offset < stop for start, stop in regions) for offset in held)
        assert all(asked <= start < stop <= 8 << 20 for start, stop in regions)
    file.close()


def test_corruption_is_found_across_a_lost_part_of_a_real_log(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    for counter in range(1, 101):
        store.append(1, unique_batch(z(1, counter), 1, value_bytes=1000))
        store.flush()
    store.close()
    path = tmp_path / "generation.1" / "log.100000001"
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(60_000))
    with pytest.raises(
        CorruptLogError, match=r"log\.100000001: byte 1\d{4}: .* had been flushed; everything up to 1\."
    ):
        held_in(tmp_path)
