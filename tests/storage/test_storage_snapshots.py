"""Snapshots of the own disk: begun, kept, passed over, purged (zab.md 7.4, 7.6, Z-8, X-14, X-29, X-30)."""

from collections.abc import Callable

import pytest
from storage_histories import (
    Held,
    folder_of,
    labels_of,
    make_new_folder,
    open_store,
    take_snapshot,
    tree_at,
    txns_of,
    unique_batch,
    walk,
    z,
)
from storage_power import Power, coin, new_disk

from lab.sim.disk import MemoryDisk
from lab.storage.errors import CorruptLogError, CorruptSnapshotError
from lab.storage.layout import log_name, snapshot_name
from lab.storage.snapshots import SNAPSHOTS_TRIED_MAX
from lab.storage.store import FileStore

SHARES = pytest.mark.parametrize("share", [0.0, 0.5, 1.0])


def served(snapshots: int, *, fsync: bool = True, retain: int = 3) -> tuple[MemoryDisk, FileStore, Held]:
    """A server with a snapshot after every third of its batches of two, and one batch behind the last snapshot."""
    disk = new_disk()
    make_new_folder(disk)
    store, _ = open_store(disk, fsync=fsync, segment_bytes=600, retain=retain)
    store.save_accepted_epoch(5)
    txns = []
    for counter in range(1, 6 * snapshots + 3, 2):
        batch = unique_batch(z(1, counter), 2)
        store.append(1, batch)
        store.flush()
        txns += txns_of([batch])
        if (counter + 1) % 6 == 0:
            take_snapshot(store, batch.last)
    return disk, store, Held(0, [], txns)


def damage(disk: MemoryDisk, label: int, how: str) -> None:
    path = f"{folder_of(disk)}/{snapshot_name(label)}"
    content = disk.files()[path]
    if how == "empty":
        content.clear()
    elif how == "cut":
        del content[len(content) - 3 :]
    else:
        content[len(content) // 2] ^= 1
    disk.open(path).sync()


def restarted(disk: MemoryDisk, **settings: object) -> tuple[FileStore, Held, list[str]]:
    disk.end_process()
    lines: list[str] = []
    store, recovered = open_store(disk, report=lines.append, **settings)  # type: ignore[arg-type]
    return store, walk(recovered.history), lines


# -- recovery


@pytest.mark.covers("S34", "S31")
def test_recovery_starts_from_the_newest_snapshot_and_replays_what_follows() -> None:
    disk, _, held = served(2)
    _, found, lines = restarted(disk)
    assert found == held.seen_from(z(1, 12))
    assert lines == []


@pytest.mark.covers("S34", "X-29")
@pytest.mark.parametrize("how", ["empty", "cut", "flipped"])
def test_a_damaged_snapshot_is_passed_over_for_an_older_one_with_one_line(how: str) -> None:
    disk, _, held = served(2)  # X-29 is `empty`
    damage(disk, z(1, 12), how)
    store, found, lines = restarted(disk)
    assert found == held.seen_from(z(1, 6))
    assert len(lines) == 1
    assert lines[0].startswith("/data/generation.1/snapshot.10000000c: byte ")
    assert labels_of(disk) == [0, z(1, 6)]
    assert walk(store.truncate(2, z(1, 3)).history) == held.upto(z(1, 3))  # type: ignore[arg-type]


@pytest.mark.covers("X-29")
def test_if_no_snapshot_is_whole_recovery_refuses_and_names_the_newest() -> None:
    disk, _, _ = served(2)
    for label in (0, z(1, 6), z(1, 12)):
        damage(disk, label, "cut")
    before = disk.files()
    with pytest.raises(CorruptSnapshotError, match=r"snapshot\.10000000c: byte \d+: .*; to rejoin"):
        restarted(disk)
    assert disk.files() == before


@pytest.mark.parametrize("fsync", [True, False])
def test_an_older_snapshot_will_not_do_if_its_log_does_not_reach_the_damaged_one(fsync: bool) -> None:
    disk, _, _ = served(2, fsync=fsync)
    damage(disk, z(1, 12), "flipped")
    for label in labels_of(disk, "log"):
        if label > z(1, 6):
            disk.unlink(f"{folder_of(disk)}/{log_name(label)}")
    before = disk.files()
    with pytest.raises(CorruptLogError, match=r"but there was a snapshot of 1\.12; everything up to 1\.6 is intact"):
        restarted(disk)
    assert disk.files() == before


@pytest.mark.covers("S34")
def test_no_more_than_the_newest_hundred_snapshots_are_tried() -> None:
    disk, _, _ = served(1)
    newest = labels_of(disk)[-1]
    whole = bytes(disk.files()[f"{folder_of(disk)}/{snapshot_name(newest)}"])
    for label in range(newest + 1, newest + 1 + SNAPSHOTS_TRIED_MAX):  # none is what its name says
        disk.create(f"{folder_of(disk)}/{snapshot_name(label)}").write_at(0, [whole])
    with pytest.raises(CorruptSnapshotError, match=rf"snapshot\.{newest + SNAPSHOTS_TRIED_MAX:x}: byte 0: header says"):
        restarted(disk)


@pytest.mark.covers("Z-8")
def test_an_unfinished_snapshot_is_never_read_and_leaves_no_trace() -> None:
    disk, store, held = served(1)
    store.begin_snapshot(z(1, 8), tree_at(z(1, 8)))
    store.snapshot_outcome()
    assert [name for name in disk.listdir(folder_of(disk)) if name.endswith(".tmp")] == ["snapshot.100000008.abc.tmp"]
    _, found, lines = restarted(disk)
    assert found == held.seen_from(z(1, 6))
    assert lines == []
    assert not [name for name in disk.listdir(folder_of(disk)) if name.endswith(".tmp")]


# -- the log


@pytest.mark.covers("X-30")
@pytest.mark.parametrize("size", [0, 1, 20])
@pytest.mark.parametrize("fsync", [True, False])
def test_a_newest_segment_without_its_whole_header_holds_nothing(size: int, fsync: bool) -> None:
    disk, _, held = served(1, fsync=fsync)  # the process died before the header was written
    disk.create(f"{folder_of(disk)}/{log_name(z(1, 9))}").write_at(0, [bytes(disk.files()[newest_log(disk)][:size])])
    store, found, _ = restarted(disk)
    assert found == held.seen_from(z(1, 6))
    store.append(1, unique_batch(z(1, 9), 1))
    store.flush()
    _, found, _ = restarted(disk)
    assert found.last == z(1, 9)


def newest_log(disk: MemoryDisk) -> str:
    return f"{folder_of(disk)}/{log_name(labels_of(disk, 'log')[-1])}"


def test_damage_in_the_log_before_a_snapshot_costs_only_that_part_of_the_log() -> None:
    disk, _, held = served(2)
    disk.files()[f"{folder_of(disk)}/{log_name(z(1, 1))}"][60] ^= 1
    store, found, _ = restarted(disk)
    assert found == held.seen_from(z(1, 12))
    assert store.log_runs() == [(0, z(1, 6)), (z(1, 7), z(1, 14))]
    assert store.read_log(2, 1, z(1, 4), z(1, 14), 1 << 20).batches is None
    assert store.truncate(2, z(1, 4)).history is None, "the log from snapshot 0 to it has a hole"
    damage(disk, z(1, 6), "flipped")
    assert store.truncate(2, z(1, 8)).history is None, "and from snapshot 0 to this, too"


def test_damage_in_the_log_behind_the_newest_snapshot_is_refused() -> None:
    disk, store, _ = served(2)
    store.append(1, unique_batch(z(1, 15), 1))
    store.flush()
    disk.files()[newest_log(disk)][60] ^= 1
    with pytest.raises(CorruptLogError, match=r"but 1\.14 had been flushed; everything up to 1\.12 is intact"):
        restarted(disk)


# -- TRUNC


@pytest.mark.covers("X-14", "Z-11")
def test_a_cut_below_a_snapshot_takes_the_snapshot_with_it() -> None:
    disk, store, held = served(2)  # X-14, H-5
    history = store.truncate(2, z(1, 11)).history
    assert history is not None
    assert walk(history) == held.upto(z(1, 11)).seen_from(z(1, 6))
    assert labels_of(disk) == [0, z(1, 6)]
    _, found, _ = restarted(disk)
    assert found == held.upto(z(1, 11)).seen_from(z(1, 6))


def test_a_cut_that_no_whole_snapshot_could_be_followed_to_touches_nothing() -> None:
    disk, store, _ = served(4, retain=2)
    assert labels_of(disk) == [z(1, 18), z(1, 24)]
    damage(disk, z(1, 18), "flipped")
    before = disk.files()
    for target in (z(1, 3), z(1, 17), z(1, 20)):
        assert store.truncate(2, target).history is None
    assert disk.files() == before


# -- purge


def test_the_newest_snapshots_are_kept_with_all_of_the_log_since_the_oldest_of_them() -> None:
    disk, store, held = served(5)
    assert labels_of(disk) == [z(1, 18), z(1, 24), z(1, 30)]
    (_, base), run = store.log_runs()
    assert base <= z(1, 18)
    assert run == (base + 1, z(1, 32))
    assert min(labels_of(disk, "log")) == base + 1
    for label in labels_of(disk):
        history = store.read_log(2, 1, label, z(1, 32), 1 << 20)
        assert txns_of(history.batches or ()) == [txn for txn in held.txns if txn[0] > label]
    assert store.read_log(2, 1, base - 1, z(1, 32), 1 << 20).batches is None, "purged: the learner gets the tree (R5)"


def test_a_purge_stops_where_a_learner_is_being_sent_the_log() -> None:
    """Z-18: else a SNAP of a large tree under load would never be followed by what was written meanwhile."""
    _, store, held = served(4)
    for counter, log_after in ((27, z(1, 13)), (28, z(1, 13)), (29, None)):
        store.append(1, unique_batch(z(1, counter), 1))
        store.flush()
        take_snapshot(store, z(1, counter), log_after)
        history = store.read_log(2, 1, z(1, 13), z(1, 20), 1 << 20).batches
        if log_after is None:
            assert history is None
        else:
            assert txns_of(history or ()) == [txn for txn in held.txns if z(1, 13) < txn[0] <= z(1, 20)]


def test_a_damaged_snapshot_is_not_counted_among_those_to_keep() -> None:
    disk, store, _ = served(3)
    damage(disk, z(1, 18), "cut")
    for counter in (21, 22):
        store.append(1, unique_batch(z(1, counter), 1))
        store.flush()
    take_snapshot(store, z(1, 22))
    assert labels_of(disk) == [z(1, 6), z(1, 12), z(1, 22)]


def test_a_dropped_snapshot_changes_nothing() -> None:
    disk, store, held = served(1)
    store.begin_snapshot(z(1, 8), tree_at(z(1, 8)))
    while store.snapshot_outcome() is None:
        pass
    store.end_snapshot(keep=False, log_after=None)
    assert not [name for name in disk.listdir(folder_of(disk)) if name.endswith(".tmp")]
    assert labels_of(disk) == [0, z(1, 6)]
    _, found, _ = restarted(disk)
    assert found == held.seen_from(z(1, 6))


# -- every crash


def enumerate_crashes(
    make: Callable[[], tuple[MemoryDisk, FileStore, Held]],
    act: Callable[[FileStore], None],
    judge: Callable[[MemoryDisk, Held, Held], None],
    share: float,
) -> int:
    """Cut the power before each operation of `act` in turn; returns how many there are."""
    operations = 0
    while True:
        disk, store, held = make()
        with Power(disk, operations) as power:
            act(store)
        disk.lose_power(coin(operations, share))
        _, recovered = open_store(disk)
        judge(disk, walk(recovered.history), held)
        assert not [path for path in disk.files() if path.endswith(".tmp")]
        if not power.failed:
            return operations
        operations += 1


@pytest.mark.covers("Z-8")
@SHARES
@pytest.mark.parametrize("fsync", [True, False])
def test_power_cut_at_every_operation_of_a_snapshot_and_its_purge_loses_nothing(fsync: bool, share: float) -> None:
    seen = set()

    def judge(disk: MemoryDisk, found: Held, held: Held) -> None:
        assert found == held.upto(found.last).seen_from(found.base)
        assert found.last == held.last or not fsync
        assert found.last >= z(1, 24), "a snapshot was kept"
        assert found.base == labels_of(disk)[-1]
        seen.add(found.base)

    operations = enumerate_crashes(
        lambda: served(4, fsync=fsync, retain=2), lambda store: take_snapshot(store, z(1, 26)), judge, share
    )
    assert operations > 8
    assert seen == {z(1, 24), z(1, 26)}


@SHARES
@pytest.mark.parametrize("counter", [0, 5, 6, 7, 11, 12, 13])
def test_power_cut_at_every_operation_of_a_cut_among_snapshots(counter: int, share: float) -> None:
    target = z(1, counter) if counter else 0

    def judge(disk: MemoryDisk, found: Held, held: Held) -> None:
        assert found == held.upto(found.last).seen_from(found.base)
        assert found.last >= target
        assert found.base == labels_of(disk)[-1]

    enumerate_crashes(lambda: served(2), lambda store: assert_cut(store, target), judge, share)
    disk, store, _ = served(2)
    assert_cut(store, target)
    disk.lose_power(coin(counter, share))
    _, found, _ = restarted(disk)
    assert found.last == target


def assert_cut(store: FileStore, target: int) -> None:
    assert store.truncate(2, target).history is not None


@SHARES
def test_power_cut_at_every_operation_of_an_install_over_a_snapshot_in_the_making(share: float) -> None:
    def act(store: FileStore) -> None:
        store.begin_snapshot(z(1, 8), tree_at(z(1, 8)))
        store.snapshot_outcome()
        store.install(2, z(3, 3), b"tree", first=True, last=True)
        while store.snapshot_outcome() is None:
            pass
        store.end_snapshot(keep=False, log_after=None)

    def judge(disk: MemoryDisk, found: Held, held: Held) -> None:
        assert found in (held.seen_from(z(1, 6)), Held(z(3, 3), [b"tree"], []))
        assert sum(name.startswith("generation.") for name in disk.listdir("/data")) == 1

    enumerate_crashes(lambda: served(1), act, judge, share)


@SHARES
def test_power_cut_at_every_operation_of_a_recovery_that_passes_a_snapshot_over(share: float) -> None:
    def make() -> tuple[MemoryDisk, FileStore, Held]:
        disk, store, held = served(2)
        damage(disk, z(1, 12), "flipped")
        store.close()
        return disk, FileStore("/data", fsync=True, disk=disk), held

    def judge(disk: MemoryDisk, found: Held, held: Held) -> None:
        assert found == held.seen_from(z(1, 6))

    enumerate_crashes(make, lambda store: store.recover() and None, judge, share)
