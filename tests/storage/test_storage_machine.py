"""Any sequence of storage effects, any crash, any torn tail: what was flushed is there, and nothing was invented."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from storage_histories import (
    Held,
    labels_of,
    make_new_folder,
    open_store,
    tree_at,
    txns_of,
    unique_batch,
    walk,
    z,
)
from storage_power import Power, coin, new_disk

from lab.sim.disk import MemoryDisk
from lab.storage.store import FileStore
from lab.zab.constants import NO_ZXID
from lab.zab.zxid import Zxid, counter_of, epoch_of, follows

GEN = 7
seeds = st.integers(0, 2**32)
shares = st.sampled_from([0.0, 0.5, 0.9, 1.0])


class StoreMachine(RuleBasedStateMachine):
    """`held` is what the store was told, `certain` the zxid up to which its log has promised to keep it.

    `held` goes back to the beginning of its generation; `labels` are the snapshots from which the store may see it.
    """

    @initialize(fsync=st.booleans(), segment_bytes=st.sampled_from([100, 600, 4096]), retain=st.integers(1, 3))
    def start(self, fsync: bool, segment_bytes: int, retain: int) -> None:
        self.fsync = fsync
        self.segment_bytes = segment_bytes
        self.retain = retain
        self.disk = new_disk()
        make_new_folder(self.disk)
        self.held = Held(0, [], [])
        self.labels = [0]
        self.writing: Zxid | None = None
        self.may_keep = False  # what is being written: the generation of the log is still the same
        self.certain = 0
        self.unreported: Zxid | None = None
        self.reopen()
        self.store.save_accepted_epoch(1 << 30)

    # -- what a server does

    @rule(length=st.integers(1, 6), new_epoch=st.booleans(), value_bytes=st.sampled_from([8, 100, 700]))
    def append(self, length: int, new_epoch: bool, value_bytes: int) -> None:
        last = self.held.last
        first = z(epoch_of(last) + 1, 1) if new_epoch or counter_of(last) == 0 else last + 1
        batch = unique_batch(first, length, value_bytes)
        self.held = self.held._replace(txns=self.held.txns + txns_of([batch]))
        self.unreported = batch.last
        self.store.append(GEN, batch)

    @rule()
    def flush(self) -> None:
        flushed = self.store.flush()
        if self.unreported is None:
            assert flushed is None
        else:
            assert flushed is not None
            assert (flushed.gen, flushed.zxid) == (GEN, self.unreported)
        self.settle()

    @rule()
    def barrier(self) -> None:
        self.store.barrier()
        self.settle()
        assert self.store.flush() is None

    @rule(at=st.floats(0, 1))
    def truncate(self, at: float) -> None:
        zxid = self.some_zxid(at)
        label = max((label for label in self.labels if self.log_base <= label <= zxid), default=None)
        self.may_keep = False
        if label is None:  # purged: nothing is touched (Z-11)
            assert self.store.truncate(GEN + 1, zxid).history is None
            self.settle()
            return
        new = self.held.upto(zxid)
        self.held, self.certain = new, min(self.certain, zxid)
        self.labels = [label for label in self.labels if label <= zxid]
        truncated = self.store.truncate(GEN + 1, zxid)
        assert truncated.gen == GEN + 1
        assert truncated.history is not None
        assert walk(truncated.history) == new.seen_from(label)
        assert labels_of(self.disk) == self.labels, "H-5: a snapshot above the cut brings back what was cut"
        self.settle()

    @rule(at=st.floats(0, 1), beyond=st.integers(1, 3))
    def truncate_to_what_is_not_held(self, at: float, beyond: int) -> None:
        last_of_epoch = max(zxid for zxid in self.zxids() if epoch_of(zxid) == epoch_of(self.some_zxid(at)))
        assert self.store.truncate(GEN + 1, last_of_epoch + beyond).history is None
        self.settle()

    @rule(chunks=st.lists(st.binary(max_size=200), min_size=1, max_size=3), epochs=st.integers(0, 1))
    def install(self, chunks: list[bytes], epochs: int) -> None:
        label = z(epoch_of(self.held.last) + epochs, counter_of(self.held.last) + 1)
        for number, chunk in enumerate(chunks):
            first, last = number == 0, number == len(chunks) - 1
            if last:
                self.installing = Held(label, chunks, [])
            self.store.install(GEN + 1, label, chunk, first=first, last=last)
            if not last:  # it has returned, so it has waited for everything appended before
                self.settle()
        self.held, self.certain, self.installing = self.installing, label, None
        self.labels, self.may_keep = [label], False
        self.settle()

    @rule(at=st.floats(0, 1))
    def begin_snapshot(self, at: float) -> None:
        """Of something flushed, as Z-8 has it; appends may have gone further."""
        if self.writing is not None:
            return
        self.append(3, False, 100)
        self.flush()
        newer = [zxid for zxid in self.zxids() if self.labels[-1] < zxid <= self.flushed]
        label = newer[int(at * (len(newer) - 1))]
        self.store.begin_snapshot(label, tree_at(label))
        self.writing, self.may_keep = label, True

    @rule(slices=st.integers(1, 8))
    def write_on(self, slices: int) -> None:
        for _ in range(slices):
            if self.writing is not None and self.store.snapshot_outcome() is not None:
                self.end_snapshot()

    @rule(at=st.floats(0, 1))
    def take_snapshot(self, at: float) -> None:
        self.begin_snapshot(at)
        while self.writing is not None:
            self.write_on(1)

    def end_snapshot(self) -> None:
        label, keep = self.writing, self.may_keep
        assert label is not None
        self.writing, log_base = None, self.log_base
        self.store.end_snapshot(keep=keep, log_after=None)
        if keep:
            self.labels = [*self.labels, label][-self.retain :]
        assert labels_of(self.disk) == self.labels
        assert self.log_base <= max(self.labels[0], log_base), "purged beyond the oldest snapshot that is kept"

    @rule(chunk=st.binary(max_size=50))
    def begin_to_install(self, chunk: bytes) -> None:
        self.store.install(GEN + 1, self.held.last + 1, chunk, first=True, last=False)
        self.settle()

    @rule(after=st.floats(0, 1), until=st.floats(0, 1), beside=st.integers(-2, 2))
    def read_log(self, after: float, until: float, beside: int) -> None:
        after_zxid, until_zxid = max(self.some_zxid(after) + beside, 0), self.some_zxid(until) + beside
        answer = self.store.read_log(2, 5, after_zxid, until_zxid, 1 << 20)
        if after_zxid < self.log_base:
            assert answer.batches is None
            return
        assert answer.batches is not None
        assert answer.previous == max(zxid for zxid in self.zxids() if zxid <= after_zxid)
        assert txns_of(answer.batches) == [txn for txn in self.held.txns if answer.previous < txn[0] <= until_zxid]

    # -- what befalls it

    @rule()
    def process_dies(self) -> None:
        """What was flushed is with the operating system, whatever the durability."""
        floor = self.flushed
        self.disk.end_process()
        self.reopen(floor)

    @rule(seed=seeds, share=shares)
    def power_fails(self, seed: int, share: float) -> None:
        self.disk.lose_power(coin(seed, share))
        self.reopen()

    @rule(
        seed=seeds,
        share=shares,
        operations=st.integers(0, 20),
        effect=st.sampled_from(["append", "flush", "truncate", "install", "recover", "roll", "snapshot"]),
        at=st.floats(0, 1),
    )
    def power_fails_within(self, effect: str, operations: int, seed: int, share: float, at: float) -> None:
        self.installing: Held | None = None
        before = self.held
        with Power(self.disk, operations) as power:
            self.carry_out(effect, at)
        cut_short = power.failed and effect == "truncate"  # what lies after the target may be there still
        self.reopen_after(seed, share, allowed=before if cut_short else self.held)

    def carry_out(self, effect: str, at: float) -> None:
        match effect:
            case "append" | "roll":
                self.append(3, False, 8 if effect == "append" else 700)
            case "flush":
                self.append(2, False, 100)
                self.flush()
            case "truncate":
                self.truncate(at)
            case "install":
                self.install([b"one", b"two"], 0)
            case "snapshot":
                self.take_snapshot(at)
            case "recover":
                self.store.close()
                self.store, _ = self.new_store()

    # -- how it is judged

    def new_store(self) -> tuple[FileStore, Held]:
        store, recovered = open_store(self.disk, fsync=self.fsync, segment_bytes=self.segment_bytes, retain=self.retain)
        assert recovered.may_vote
        return store, walk(recovered.history)

    def reopen_after(self, seed: int, share: float, allowed: Held) -> None:
        self.disk.lose_power(coin(seed, share))
        self.reopen(allowed=allowed)

    def reopen(self, floor: Zxid | None = None, allowed: Held | None = None) -> None:
        self.store, found = self.new_store()
        allowed = allowed if allowed is not None else self.held
        if getattr(self, "installing", None) is not None and found.base == self.installing.base:
            assert found == self.installing
            self.held = found
        else:
            assert found == allowed.seen_from(found.base).upto(found.last), "something was invented or changed"
            certain = max(self.certain, self.labels[-1])  # a snapshot is flushed even where the log is not
            assert found.last >= (certain if floor is None else floor), "something flushed is lost"
            self.held = allowed.upto(found.last)
        self.installing, self.writing = None, None
        self.labels = labels_of(self.disk)
        assert found.base == self.labels[-1], "recovery starts from the newest snapshot"
        assert not [path for path in self.disk.files() if path.endswith(".tmp")]
        self.certain, self.unreported = found.last, None
        self.flushed = found.last

    def settle(self) -> None:
        """Everything appended is as durable as promised."""
        self.flushed = self.held.last
        self.unreported = None
        if self.fsync:
            self.certain = self.flushed

    def zxids(self) -> list[Zxid]:
        return [self.held.base, *(zxid for zxid, _ in self.held.txns)]

    @property
    def log_base(self) -> Zxid:
        return self.store.log_runs()[0][1]

    def some_zxid(self, at: float) -> Zxid:
        zxids = self.zxids()
        return zxids[min(int(at * len(zxids)), len(zxids) - 1)]

    @rule(seed=seeds)
    def recovery_is_idempotent_and_durable(self, seed: int) -> None:
        self.disk.end_process()
        _, first = self.new_store()
        self.disk.lose_power(coin(seed, 0.0))
        self.store, again = self.new_store()
        assert first == again
        self.disk.end_process()
        self.reopen(self.flushed)

    @invariant()
    def runs_are_what_is_held(self) -> None:
        if not hasattr(self, "store"):
            return
        runs = self.store.log_runs()
        assert runs[0] == (0, self.log_base)
        assert self.log_base in self.zxids()
        logged = [zxid for zxid in self.zxids() if zxid > self.log_base]
        assert [zxid for first, last in runs[1:] for zxid in range(first, last + 1)] == logged
        assert all(follows(first, last) for (_, last), (first, _) in pairwise(runs))
        assert NO_ZXID not in self.zxids()


@pytest.mark.timeout(300)
@pytest.mark.covers("INV-18", "Z-3", "Z-6", "Z-7", "Z-10")
def test_any_sequence_of_effects_and_crashes() -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=1000,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def operations_of(effect: Callable[[FileStore], object], fsync: bool) -> int:
    """How many disk operations the effect takes."""
    disk, store = a_long_history(fsync)
    with Power(disk) as power:
        effect(store)
    return power.used


def a_long_history(fsync: bool = True) -> tuple[MemoryDisk, FileStore]:
    """1.1 to 1.12 in four batches, two of them in a segment."""
    disk = new_disk()
    make_new_folder(disk)
    store, _ = open_store(disk, fsync=fsync, segment_bytes=500)
    store.save_accepted_epoch(5)
    for first in (1, 4, 7, 10):
        store.append(1, unique_batch(z(1, first), 3, 40))
        store.flush()
    return disk, store


def install(store: FileStore) -> None:
    for number in range(3):
        store.install(2, z(3, 3), b"chunk %d" % number, first=number == 0, last=number == 2)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.covers("Z-11", "X-20")
def test_power_cut_at_every_operation_of_an_install_leaves_the_old_or_the_new_history(share: float) -> None:
    new = Held(z(3, 3), [b"chunk 0", b"chunk 1", b"chunk 2"], [])
    outcomes = set()
    for operations in range(operations_of(install, fsync=True) + 1):
        disk, store = a_long_history()
        old = Held(0, [], txns_of(store.batches()))
        with Power(disk, operations):
            install(store)
        disk.lose_power(coin(operations, share))
        _, recovered = open_store(disk)
        found = walk(recovered.history)
        assert found in (old, new)
        outcomes.add(found.base)
        assert disk.listdir("/data")[:2] == ["CURRENT", "acceptedEpoch"]
        assert sum(name.startswith("generation.") for name in disk.listdir("/data")) == 1
    assert outcomes == {0, z(3, 3)}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("counter", range(13))
@pytest.mark.covers("Z-10", "X-22")
def test_power_cut_at_every_operation_of_a_truncate_leaves_a_history_between_old_and_new(
    counter: int, share: float
) -> None:
    target = z(1, counter) if counter else 0
    for operations in range(operations_of(lambda store: store.truncate(2, target), fsync=True) + 1):
        disk, store = a_long_history()
        old = Held(0, [], txns_of(store.batches()))
        with Power(disk, operations) as power:
            store.truncate(2, target)
        disk.lose_power(coin(operations, share))
        _, recovered = open_store(disk)
        found = walk(recovered.history)
        assert found == old.upto(found.last)
        assert found.last >= target if power.failed else found.last == target
        assert not [path for path in disk.files() if path.endswith(".tmp")]
