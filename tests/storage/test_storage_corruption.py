"""A torn tail is cut, damage to flushed transactions is reported with file and offset (Z-6)."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_histories import DATA, Held, make_new_folder, open_store, txns_of, unique_batch, walk, z
from storage_power import new_disk

from lab.sim.disk import MemoryDisk
from lab.storage.errors import CorruptLogError, CorruptSnapshotError, DataFolderError
from lab.storage.frame import FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, pack_frame_header, pack_segment_header
from lab.zab.zxid import show


def five_flushes(segment_bytes: int) -> tuple[MemoryDisk, Held, list[tuple[str, int, int]]]:
    """1.1 to 1.10, two a batch, each batch flushed: a disk, what it holds, and (path, start, end) of each frame."""
    disk = new_disk()
    make_new_folder(disk)
    store, _ = open_store(disk, segment_bytes=segment_bytes)
    store.save_accepted_epoch(1)
    frames, offsets = [], {}
    for counter in range(1, 11, 2):
        batch = unique_batch(z(1, counter), 2, 30)
        store.append(1, batch)
        store.flush()
        path = [path for path in disk.files() if "/log." in path][-1]
        start = offsets.get(path, SEGMENT_HEADER_BYTES)
        offsets[path] = start + FRAME_HEADER_BYTES + len(batch.body)
        frames.append((path, start, offsets[path]))
    held = Held(0, [], txns_of(store.batches()))
    disk.end_process()
    return disk, held, frames


@pytest.mark.parametrize("segment_bytes", [100, 300, 4096])
@given(frame=st.integers(0, 3), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.covers("Z-6")
def test_a_flipped_bit_in_flushed_transactions_is_reported(segment_bytes: int, frame: int, at: float, bit: int) -> None:
    disk, held, frames = five_flushes(segment_bytes)
    path, start, end = frames[frame]
    before = {name: bytes(content) for name, content in disk.files().items()}
    disk.files()[path][start + int(at * (end - start))] ^= 1 << bit
    with pytest.raises(CorruptLogError) as caught:
        open_store(disk)
    assert (caught.value.path, caught.value.offset) == (path, start)
    assert caught.value.intact_upto == [0, *[zxid for zxid, _ in held.txns][1::2]][frame]
    assert f"{path}: byte {start}: " in str(caught.value)
    assert f"everything up to {show(caught.value.intact_upto)} is intact" in str(caught.value)
    assert "\n" not in str(caught.value)
    after = {name: bytes(content) for name, content in disk.files().items()}
    assert {name for name in after if after[name] != before.get(name)} <= {path, f"{DATA}/lock"}, "nothing was touched"


@pytest.mark.parametrize("at", range(0, 200, 7))
@pytest.mark.covers("Z-6", "Z-7")
def test_damage_to_the_last_frame_cannot_be_told_from_a_torn_write_and_is_cut(at: int) -> None:
    disk, held, frames = five_flushes(4096)
    path, start, end = frames[-1]
    disk.files()[path][start + at % (end - start)] ^= 0x55
    _, recovered = open_store(disk)
    assert walk(recovered.history) == held.upto(z(1, 8))
    assert disk.files()[path][start:] == b""


@pytest.mark.parametrize("number", range(4))
def test_a_missing_segment_is_reported_where_the_log_breaks_off(number: int) -> None:
    disk, _, frames = five_flushes(100)
    disk.unlink(frames[number][0])
    with pytest.raises(CorruptLogError) as caught:
        open_store(disk)
    expected = (frames[number - 1][0], frames[number - 1][2]) if number else (frames[1][0], 0)
    assert (caught.value.path, caught.value.offset) == expected


@pytest.mark.parametrize("at", range(SEGMENT_HEADER_BYTES))
@pytest.mark.covers("X-30")
def test_damage_to_a_segment_header_is_reported(at: int) -> None:
    disk, _, frames = five_flushes(300)
    path = frames[0][0]
    disk.files()[path][at] ^= 0x10
    with pytest.raises(CorruptLogError) as caught:
        open_store(disk)
    assert (caught.value.path, caught.value.offset) == (path, 0)


def test_a_log_of_another_format_is_refused_and_not_cut() -> None:
    disk, _, frames = five_flushes(4096)
    header = pack_segment_header(z(1, 1), 0)
    newer = bytearray(header)
    newer[4] = 2
    newer[-4:] = crc32(bytes(newer[:-4])).to_bytes(4, "little")
    disk.files()[frames[0][0]][: len(newer)] = newer
    with pytest.raises(DataFolderError, match=r"log\.100000001: log format 2, this program knows 1"):
        open_store(disk)


def test_a_log_stored_as_a_clients_data_proves_nothing() -> None:
    """The tail is torn and holds, as a value, a frame that would prove a flush past the break."""
    disk, held, frames = five_flushes(4096)
    path, _, end = frames[-1]
    lie = unique_batch(z(1, 30), 1)
    content = disk.files()[path]
    content[end : end + 8] = b"torn it "
    content[end + 100 :] = pack_frame_header(lie, SEGMENT_HEADER_BYTES, z(1, 29)) + lie.body
    _, recovered = open_store(disk)
    assert walk(recovered.history) == held


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_FFFF, 1 << 20])
def test_a_length_beyond_the_file_is_not_believed(length: int) -> None:
    disk, held, frames = five_flushes(4096)
    path, start, _ = frames[-1]
    batch = unique_batch(z(1, 9), 1)
    header = bytearray(pack_frame_header(batch, start, z(1, 8)))
    header[12:16] = length.to_bytes(4, "little")
    header[4:8] = crc32(bytes(header[8:])).to_bytes(4, "little")
    disk.files()[path][start : start + len(header)] = header
    _, recovered = open_store(disk)
    assert walk(recovered.history) == held.upto(z(1, 8))


def test_damage_after_recovery_is_reported_when_it_is_read() -> None:
    disk, _, frames = five_flushes(4096)
    store, _ = open_store(disk)
    path, start, end = frames[2]
    disk.files()[path][end - 1] ^= 1
    with pytest.raises(CorruptLogError) as caught:
        list(store.batches())
    assert (caught.value.path, caught.value.offset, caught.value.intact_upto) == (path, start, z(1, 4))


def an_installed_snapshot() -> tuple[MemoryDisk, str]:
    disk = new_disk()
    make_new_folder(disk)
    store, _ = open_store(disk)
    store.save_accepted_epoch(3)
    for number in range(3):
        store.install(1, z(3, 3), b"chunk %d" % number, first=number == 0, last=number == 2)
    disk.end_process()
    return disk, f"{DATA}/generation.2/snapshot.300000003"


def test_any_flipped_bit_of_a_snapshot_is_reported() -> None:
    disk, path = an_installed_snapshot()
    for at in range(len(disk.files()[path])):
        disk.files()[path][at] ^= 4
        with pytest.raises(CorruptSnapshotError, match=r"snapshot\.300000003: byte \d+: "):
            open_store(disk)
        disk.files()[path][at] ^= 4
        disk.end_process()
    open_store(disk)


@pytest.mark.covers("X-29")
def test_any_cut_of_a_snapshot_is_reported() -> None:
    disk, path = an_installed_snapshot()
    whole = bytes(disk.files()[path])
    for size in range(len(whole)):
        disk.files()[path][:] = whole[:size]
        with pytest.raises(CorruptSnapshotError):
            open_store(disk)
        disk.end_process()
