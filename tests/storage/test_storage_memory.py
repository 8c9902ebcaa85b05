"""A store in memory answers like one on a disk, until what it would need is dropped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_histories import Held, make_new_folder, open_store, txns_of, unique_batch, walk, z
from storage_power import new_disk

from lab.storage.memory import MemoryStore
from lab.storage.store import FileStore
from lab.zab.constants import NO_ZXID
from lab.zab.events import LogRead, Truncated
from lab.zab.zxid import Zxid, epoch_of

counters = st.integers(0, 25)
effects = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("flush")),
    st.tuples(st.just("truncate"), st.integers(0, 3), counters),
    st.tuples(st.just("read"), st.integers(0, 3), counters, st.integers(0, 3), counters),
    st.tuples(st.just("install"), st.integers(0, 2)),
)


class Pair:
    """The same effects on both stores."""

    def __init__(self) -> None:
        disk = new_disk()
        make_new_folder(disk)
        self.on_disk, recovered = open_store(disk, segment_bytes=300)
        self.on_disk.save_accepted_epoch(1000)
        self.in_memory = MemoryStore()
        assert walk(self.in_memory.recover(initialize=True).history) == walk(recovered.history)
        self.last: Zxid = 0

    def carry_out(self, kind: str, *values: int) -> None:
        match kind, values:
            case "append", (length, new_epoch):
                first = z(epoch_of(self.last) + 1, 1) if new_epoch or self.last == 0 else self.last + 1
                batch = unique_batch(first, length)
                self.on_disk.append(1, batch)
                self.in_memory.append(1, batch)
                self.last = batch.last
            case "flush", ():
                assert self.on_disk.flush() == self.in_memory.flush()
            case "truncate", (epoch, counter):
                self.compare_truncated(self.on_disk.truncate(2, z(epoch, counter)), z(epoch, counter))
            case "read", (epoch, counter, until_epoch, until_counter):
                zxids = z(epoch, counter), z(until_epoch, until_counter)
                self.compare_reads(
                    self.on_disk.read_log(4, 5, *zxids, 1_000), self.in_memory.read_log(4, 5, *zxids, 1_000)
                )
            case "install", (beyond,):
                self.last += beyond
                for store in (self.on_disk, self.in_memory):
                    store.install(3, self.last, b"half", first=True, last=False)
                    store.install(3, self.last, b"one", first=True, last=False)
                    store.install(3, self.last, b"two", first=False, last=True)

    def compare_truncated(self, on_disk: Truncated, zxid: Zxid) -> None:
        in_memory = self.in_memory.truncate(2, zxid)
        assert (on_disk.history is None) == (in_memory.history is None)
        if on_disk.history is not None and in_memory.history is not None:
            held = walk(on_disk.history)
            assert held == walk(in_memory.history)
            self.last = held.last

    def compare_reads(self, on_disk: LogRead, in_memory: LogRead) -> None:
        assert on_disk.previous == in_memory.previous
        assert (on_disk.batches is None) == (in_memory.batches is None)
        assert txns_of(on_disk.batches or ()) == txns_of(in_memory.batches or ())


@given(st.lists(effects, max_size=30))
@settings(max_examples=300)
def test_it_answers_like_a_store_on_a_disk(script: list[tuple[str, ...]]) -> None:
    pair = Pair()
    for effect in script:
        pair.carry_out(*effect)
    assert pair.on_disk.log_runs() == pair.in_memory.log_runs()
    assert txns_of(pair.on_disk.batches()) == txns_of(pair.in_memory.batches())


@pytest.mark.covers("Z-12")
def test_a_restart_is_a_wipe() -> None:
    recovered = MemoryStore().recover(initialize=False)
    assert (recovered.history.base, recovered.may_vote) == (NO_ZXID, False)
    assert MemoryStore().recover(initialize=True).may_vote


def test_what_was_dropped_is_answered_not_possible() -> None:
    store = MemoryStore(txns_max=80)
    store.recover(initialize=True)
    for counter in range(1, 102, 10):
        store.append(1, unique_batch(z(1, counter), 10))
    (_, start), *runs = store.log_runs()
    assert runs == [(start + 1, z(1, 110))]
    assert 60 <= z(1, 110) - start <= 80
    assert store.read_log(2, 1, start - 1, z(1, 110), 1_000).batches is None
    assert txns_of(store.read_log(2, 1, start, z(1, 110), 1_000_000).batches or ()) == txns_of(store.batches())
    assert store.truncate(2, z(1, 109)).history is None, "the tree before it cannot be rebuilt"
    assert store.log_runs() == [(0, start), *runs]
    store.install(3, z(2, 5), b"tree", first=True, last=True)
    history = store.truncate(4, z(2, 5)).history
    assert history is not None
    assert walk(history) == Held(z(2, 5), [b"tree"], [])


def test_large_transactions_are_bounded_by_their_bytes() -> None:
    store = MemoryStore(bytes_max=100_000)
    store.recover(initialize=True)
    for counter in range(1, 101):
        store.append(1, unique_batch(z(1, counter), 1, value_bytes=10_000))
    assert 80_000 <= sum(len(batch.body) for batch in store.batches()) <= 100_000


def test_both_stores_have_the_methods_of_a_store() -> None:
    from lab.service.host import Store

    disk_store: Store = FileStore("/nowhere", fsync=True, disk=new_disk())
    memory_store: Store = MemoryStore()
    for name in vars(Store):
        if not name.startswith("_"):
            assert callable(getattr(disk_store, name)), name
            assert callable(getattr(memory_store, name)), name
