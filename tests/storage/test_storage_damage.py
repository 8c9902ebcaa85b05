"""Whatever happened to one file of a data folder: recovery gives a legal history, or refuses and names a file.

Legal is all of what was flushed, or, where the damage cannot be told from a torn write, a prefix that ends in the last
batch flushed (Z-6).
"""

from pathlib import Path

import pytest
from storage_histories import DATA, Held, make_new_folder, open_store, unique_batch, walk, z
from storage_power import new_disk

from lab.sim.disk import MemoryDisk
from lab.storage.errors import StorageError
from lab.storage.store import FileStore
from lab.zab.events import Recovered

LAST_BATCH_BEGINS = z(3, 5)
OFFSETS_PER_FILE = 60


def a_folder() -> tuple[MemoryDisk, Held]:
    """A snapshot of 3.2 in two chunks, a log of two segments up to 3.6, both epochs: every kind of file."""
    disk = new_disk()
    make_new_folder(disk)
    store, _ = open_store(disk, segment_bytes=200)
    store.save_accepted_epoch(3)
    store.install(1, z(3, 2), b"first chunk" * 9, first=True, last=False)
    store.install(1, z(3, 2), b"second chunk", first=False, last=True)
    for first in (z(3, 3), LAST_BATCH_BEGINS):
        store.append(1, unique_batch(first, 2, 40))
        store.flush()
    store.save_current_epoch(3)
    store.save_accepted_epoch(12)
    disk.end_process()
    _, recovered = open_store(disk)
    held = walk(recovered.history)
    assert (held.base, held.last) == (z(3, 2), z(3, 6))
    disk.end_process()
    return disk, held


def copy(disk: MemoryDisk) -> MemoryDisk:
    """Another disk with the same content, all of it durable."""
    other = new_disk()
    for folder in (DATA, *{path.rpartition("/")[0] for path in disk.files()} - {DATA}):
        other.mkdir(folder)
    for path, content in disk.files().items():
        other.create(path).write_at(0, [bytes(content)])
    return other


def outcome(disk: MemoryDisk, held: Held) -> str:
    """What recovery makes of it: `whole`, `cut`, or the file that the refusal names."""
    try:
        _, recovered = open_store(disk)
        found = walk(recovered.history)
    except StorageError as error:
        text = str(error)
        assert "\n" not in text
        assert text.startswith(f"{DATA}/"), text
        return text.removeprefix(f"{DATA}/").split(":")[0]
    assert (recovered.accepted_epoch, recovered.current_epoch, recovered.may_vote) == (12, 3, True)
    if found == held:
        return "whole"
    assert found == held.upto(LAST_BATCH_BEGINS - 1), "a wrong history"
    return "cut"


def damaged_files() -> list[str]:
    disk, _ = a_folder()
    return [path for path in disk.files() if not path.endswith("/lock")]


def some(size: int) -> range:
    """Offsets all over a file: the stride is odd, so every class modulo a power of two occurs."""
    return range(0, size, max(size // OFFSETS_PER_FILE, 1) | 1)


@pytest.mark.parametrize("path", damaged_files())
@pytest.mark.covers("Z-6", "INV-18")
def test_a_flipped_bit_anywhere_is_refused_or_was_a_torn_write(path: str) -> None:
    disk, held = a_folder()
    is_last_log = "/log." in path and path == max(p for p in disk.files() if "/log." in p)
    refused = 0
    for at in some(len(disk.files()[path])):
        for bit in (at % 8, (at + 3) % 8):
            victim = copy(disk)
            victim.files()[path][at] ^= 1 << bit
            found = outcome(victim, held)
            if not is_last_log:
                assert found == path.removeprefix(f"{DATA}/"), (at, bit, found)
            refused += found not in ("whole", "cut")
    assert refused or is_last_log  # all that this one holds is the last batch


@pytest.mark.parametrize("path", damaged_files())
@pytest.mark.covers("Z-6", "X-29", "X-30", "INV-18")
def test_a_file_cut_anywhere_is_refused_or_was_a_torn_write(path: str) -> None:
    disk, held = a_folder()
    for size in some(len(disk.files()[path])):
        victim = copy(disk)
        del victim.files()[path][size:]
        found = outcome(victim, held)
        if "/log." not in path:
            assert found == path.removeprefix(f"{DATA}/"), (size, found)


@pytest.mark.parametrize("path", damaged_files())
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff" * 100, b"garbage " * 40])
def test_a_file_of_garbage_is_refused_or_was_a_torn_write(path: str, content: bytes) -> None:
    disk, held = a_folder()
    disk.files()[path][:] = content
    found = outcome(disk, held)
    assert found != "whole"


@pytest.mark.parametrize("path", damaged_files())
@pytest.mark.parametrize("other", damaged_files())
def test_a_file_in_the_place_of_another_is_refused(path: str, other: str) -> None:
    disk, held = a_folder()
    if path != other:
        disk.files()[path][:] = disk.files()[other]
        assert outcome(disk, held) != "whole"


@pytest.mark.parametrize("name", ["acceptedEpoch", "currentEpoch", "CURRENT", "snapshot", "log"])
def test_on_a_real_disk_likewise(tmp_path: Path, name: str) -> None:
    def recover() -> Recovered:
        store = FileStore(str(tmp_path), fsync=True)
        try:
            recovered = store.recover()
            walk(recovered.history)
            return recovered
        finally:
            store.close()

    (tmp_path / "initialize").touch()
    store = FileStore(str(tmp_path), fsync=True)
    store.recover()
    store.save_accepted_epoch(1)
    store.save_current_epoch(1)
    for counter in range(1, 7):
        store.append(1, unique_batch(z(1, counter), 1))
        store.flush()
    store.close()
    (path,) = tmp_path.rglob(f"{name}*")
    whole = path.read_bytes()
    used = len(whole.rstrip(b"\0"))  # a log is preallocated
    for at in range(0, used // 2, max(used // 20, 1)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(StorageError, match=rf"^{path}: "):
            recover()
    path.write_bytes(whole)
    assert recover().history.base == 0
