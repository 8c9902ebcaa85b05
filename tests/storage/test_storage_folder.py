"""Data folders: a new server's, a wiped one's, one whose files contradict each other (zab.md 1.3, Z-2, Z-12)."""

import pytest
from storage_histories import DATA, Held, make_new_folder, open_store, unique_batch, walk, z
from storage_power import Power, coin, new_disk

from lab.sim.disk import MemoryDisk
from lab.storage.disk import replace_file
from lab.storage.errors import DataFolderError, DataFolderInUseError
from lab.storage.line import seal_line
from lab.storage.store import FileStore
from lab.zab.constants import EPOCH_MAX, NO_ZXID


def new_server() -> tuple[MemoryDisk, FileStore]:
    disk = new_disk()
    make_new_folder(disk)
    store, _ = open_store(disk)
    return disk, store


def write(disk: MemoryDisk, name: str, content: bytes) -> None:
    replace_file(disk, DATA, name, content)


def test_a_new_server_has_an_empty_history_and_may_vote() -> None:
    disk = new_disk()
    make_new_folder(disk)
    store, recovered = open_store(disk)
    assert walk(recovered.history) == Held(0, [], [])
    assert (recovered.accepted_epoch, recovered.current_epoch, recovered.may_vote) == (0, 0, True)
    assert store.log_runs() == [(0, 0)]
    assert disk.listdir(DATA) == ["CURRENT", "generation.1", "lock"]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_power_cut_at_every_operation_of_the_first_start_leaves_a_server_that_may_vote(share: float) -> None:
    for operations in range(40):
        disk = new_disk()
        make_new_folder(disk)
        with Power(disk, operations):
            open_store(disk)
        disk.lose_power(coin(operations, share))
        _, recovered = open_store(disk)
        assert recovered.may_vote
        assert walk(recovered.history) == Held(0, [], [])


def test_the_marker_does_not_wipe_a_folder_that_has_a_history() -> None:
    disk, store = new_server()
    store.save_accepted_epoch(1)
    store.append(1, unique_batch(z(1, 1), 3))
    store.flush()
    disk.end_process()
    disk.create(f"{DATA}/initialize")
    _, recovered = open_store(disk)
    assert walk(recovered.history).last == z(1, 3)
    assert not disk.exists(f"{DATA}/initialize")


def wiped_server() -> tuple[MemoryDisk, FileStore]:
    disk = new_disk()
    disk.mkdir(DATA)
    disk.sync_dir("")
    store, recovered = open_store(disk)
    assert (recovered.history.base, recovered.may_vote) == (NO_ZXID, False)
    assert store.log_runs() == []
    return disk, store


def restarted(disk: MemoryDisk) -> tuple[FileStore, int, bool]:
    disk.lose_power(coin(1, 0.0))
    store, recovered = open_store(disk)
    return store, recovered.history.base, recovered.may_vote


@pytest.mark.covers("Z-12")
def test_an_unexpectedly_empty_folder_may_not_vote_until_a_synchronization_is_complete() -> None:
    disk, store = wiped_server()
    assert store.truncate(1, 0).history is None
    assert store.read_log(2, 1, 0, 5, 100).batches is None
    store.save_accepted_epoch(4)
    store, base, may_vote = restarted(disk)
    assert (base, may_vote) == (NO_ZXID, False)
    store.install(1, z(3, 9), b"tree", first=True, last=True)
    store, base, may_vote = restarted(disk)
    assert (base, may_vote) == (z(3, 9), False), "installed, but NEWLEADER of epoch 4 is not acknowledged"
    store.save_current_epoch(3)
    store, base, may_vote = restarted(disk)
    assert (base, may_vote) == (z(3, 9), False), "the repair of Z-2 is no synchronization"
    store.save_current_epoch(4)
    _, base, may_vote = restarted(disk)
    assert (base, may_vote) == (z(3, 9), True)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_power_cut_at_every_operation_of_a_wiped_servers_first_install(share: float) -> None:
    bases = set()
    for operations in range(25):
        disk, store = wiped_server()
        store.save_accepted_epoch(4)
        with Power(disk, operations):
            store.install(1, z(3, 9), b"tree", first=True, last=True)
        _, base, may_vote = restarted(disk)
        bases.add(base)
        assert not may_vote
    assert bases == {NO_ZXID, z(3, 9)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"7\n",
        b"\x00\x00\n",
        seal_line("acceptedEpoch", "7")[:-1],  # cut
        seal_line("acceptedEpoch", "7") + b"\n",
        seal_line("acceptedEpoch", "7").replace(b"7", b"6", 1),  # one flipped bit: another promise
        seal_line("CURRENT", "7"),  # of another file
        seal_line("acceptedEpoch", "-1"),
        seal_line("acceptedEpoch", "one"),
        seal_line("acceptedEpoch", str(EPOCH_MAX + 1)),
    ],
)
@pytest.mark.parametrize("name", ["acceptedEpoch", "currentEpoch"])
def test_garbage_in_an_epoch_file_is_refused_by_name(name: str, content: bytes) -> None:
    disk, store = new_server()
    store.save_accepted_epoch(7)
    disk.end_process()
    write(disk, name, content)
    with pytest.raises(DataFolderError, match=rf"^/data/{name}: holds b'.*', not an epoch"):
        open_store(disk)


def test_epochs_survive_a_power_cut() -> None:
    disk, store = new_server()
    store.save_accepted_epoch(7)
    store.save_current_epoch(6)
    disk.lose_power(coin(0, 0.0))
    _, recovered = open_store(disk)
    assert (recovered.accepted_epoch, recovered.current_epoch) == (7, 6)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.covers("X-26")
def test_power_cut_at_every_operation_of_saving_an_epoch_leaves_the_old_or_the_new_one(share: float) -> None:
    for operations in range(8):
        disk, store = new_server()
        store.save_accepted_epoch(100)
        with Power(disk, operations) as power:
            store.save_accepted_epoch(234)
        allowed = {100, 234} if power.failed else {234}
        disk.lose_power(coin(operations, share))
        _, recovered = open_store(disk)
        assert recovered.accepted_epoch in allowed
        assert not disk.exists(f"{DATA}/acceptedEpoch.tmp")


@pytest.mark.parametrize(
    ("content", "epoch"),
    [
        (seal_line("acceptedEpoch", "5"), 5),  # whole: the rename was interrupted
        (seal_line("acceptedEpoch", "5")[:-1], 0),  # torn
        (b"", 0),
    ],
)
@pytest.mark.covers("X-26")
def test_a_leftover_epoch_is_adopted_only_if_it_is_whole(content: bytes, epoch: int) -> None:
    disk, _ = new_server()
    disk.end_process()
    disk.create(f"{DATA}/acceptedEpoch.tmp").write_at(0, [content])
    _, recovered = open_store(disk)
    assert recovered.accepted_epoch == epoch
    assert not disk.exists(f"{DATA}/acceptedEpoch.tmp")


def test_a_leftover_epoch_does_not_replace_the_saved_one() -> None:
    disk, store = new_server()
    store.save_accepted_epoch(3)
    disk.end_process()
    disk.create(f"{DATA}/acceptedEpoch.tmp").write_at(0, [seal_line("acceptedEpoch", "5")])
    _, recovered = open_store(disk)
    assert recovered.accepted_epoch == 3


@pytest.mark.covers("S35", "X-26", "Z-2")
def test_a_log_of_an_epoch_never_accepted_is_refused() -> None:
    disk, store = new_server()
    store.save_accepted_epoch(2)
    store.append(1, unique_batch(z(2, 1), 1))
    store.flush()
    disk.end_process()
    disk.unlink(f"{DATA}/acceptedEpoch")
    with pytest.raises(DataFolderError, match=r"acceptedEpoch: is 0, below the epoch of the last logged zxid 2\.1"):
        open_store(disk)


@pytest.mark.covers("Z-2", "X-26")
def test_a_current_epoch_behind_the_log_is_left_to_the_core() -> None:
    disk, store = new_server()
    store.save_accepted_epoch(2)
    store.append(1, unique_batch(z(2, 1), 1))
    store.flush()
    disk.end_process()
    _, recovered = open_store(disk)
    assert (recovered.accepted_epoch, recovered.current_epoch) == (2, 0)


@pytest.mark.covers("S35")
def test_a_current_epoch_above_the_accepted_one_is_refused() -> None:
    disk, _ = new_server()
    disk.end_process()
    write(disk, "currentEpoch", seal_line("currentEpoch", "3"))
    with pytest.raises(DataFolderError, match="acceptedEpoch: is 0, below currentEpoch 3"):
        open_store(disk)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (seal_line("CURRENT", "generation.9"), "CURRENT: points at generation.9, which is missing"),
        (seal_line("CURRENT", "../../etc"), "CURRENT: holds .* not the name of a generation"),
        (seal_line("CURRENT", "generation.1").replace(b"1", b"3", 1), "CURRENT: holds .* with its checksum"),
        (b"", "CURRENT: holds b'', not the name of a generation"),
    ],
)
def test_a_current_that_points_nowhere_is_refused(content: bytes, reason: str) -> None:
    disk, _ = new_server()
    disk.end_process()
    write(disk, "CURRENT", content)
    with pytest.raises(DataFolderError, match=reason):
        open_store(disk)


@pytest.mark.covers("X-29")
def test_a_generation_without_a_snapshot_is_refused() -> None:
    disk, _ = new_server()
    disk.end_process()
    disk.unlink(f"{DATA}/generation.1/snapshot.0")
    with pytest.raises(DataFolderError, match=r"generation\.1: holds no snapshot"):
        open_store(disk)


@pytest.mark.parametrize("marker", [None, "initialize", "unsynced"])
@pytest.mark.covers("X-29", "Z-11")
def test_a_history_without_current_is_refused_and_kept(marker: str | None) -> None:
    disk, store = new_server()
    store.save_accepted_epoch(1)
    store.append(1, unique_batch(z(1, 1), 1))
    store.flush()
    disk.end_process()
    disk.unlink(f"{DATA}/CURRENT")
    if marker:
        disk.create(f"{DATA}/{marker}")
    with pytest.raises(DataFolderError, match="CURRENT: missing, yet there is a history"):
        open_store(disk)
    assert disk.exists(f"{DATA}/generation.1/log.100000001")


@pytest.mark.covers("Z-8")
def test_two_stores_on_one_folder_are_kept_apart() -> None:
    disk, store = new_server()
    with pytest.raises(DataFolderInUseError):
        open_store(disk)
    store.close()
    open_store(disk)


def test_a_refused_recovery_lets_go_of_the_folder() -> None:
    disk, _ = new_server()
    disk.end_process()
    write(disk, "currentEpoch", seal_line("currentEpoch", "3"))
    for _ in range(2):
        with pytest.raises(DataFolderError):
            open_store(disk)


@pytest.mark.covers("X-20", "Z-11")
def test_an_abandoned_install_leaves_the_old_history_and_no_trace() -> None:
    disk, store = new_server()
    store.save_accepted_epoch(9)
    store.append(1, unique_batch(z(9, 1), 2))
    store.install(2, z(9, 9), b"half", first=True, last=False)
    store.install(2, z(9, 8), b"again", first=True, last=False)
    disk.end_process()
    store, recovered = open_store(disk)
    assert walk(recovered.history).last == z(9, 2)
    assert disk.listdir(DATA) == ["CURRENT", "acceptedEpoch", "generation.1", "lock"]
    store.install(1, z(9, 7), b"whole", first=True, last=True)
    store.append(1, unique_batch(z(9, 8), 1))
    store.flush()
    disk.lose_power(coin(3, 0.0))
    _, recovered = open_store(disk)
    held = walk(recovered.history)
    assert (held.base, held.chunks, held.last) == (z(9, 7), [b"whole"], z(9, 8))


@pytest.mark.covers("S20", "INV-7")
def test_appending_what_does_not_follow_is_our_bug() -> None:
    _, store = new_server()
    store.append(1, unique_batch(z(1, 1), 3))
    for first in (z(1, 3), z(1, 5), z(2, 2), z(0, 9)):
        with pytest.raises(AssertionError):
            store.append(1, unique_batch(first, 1))


@pytest.mark.covers("Z-7")
def test_an_epoch_that_was_read_at_a_start_is_there_after_a_power_cut() -> None:
    """Seed 4255264090: a process died between rename and flush of the folder; the next one repeated the promise."""
    for operations in range(40):
        disk, store = new_server()
        store.save_accepted_epoch(1)
        with Power(disk, operations) as power:
            store.save_accepted_epoch(2)
        disk.end_process()
        _, recovered = open_store(disk)
        disk.lose_power(coin(operations, 0.0))
        assert open_store(disk)[1].accepted_epoch == recovered.accepted_epoch
        if not power.failed:
            return
    raise AssertionError("more operations than expected")
