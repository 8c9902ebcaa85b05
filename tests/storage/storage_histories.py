"""Histories as lists, for tests to compare what a store holds with what it was given."""

from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

import msgspec

from lab.sim.disk import MemoryDisk
from lab.storage.store import FileStore
from lab.zab.batches import find_flaw, make_batch
from lab.zab.events import History, Recovered
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, make_zxid

DATA = "/data"
Txn = tuple[Zxid, bytes]


class Held(NamedTuple):
    """A history walked to its end."""

    base: Zxid
    chunks: list[bytes]
    txns: list[Txn]

    @property
    def last(self) -> Zxid:
        return self.txns[-1][0] if self.txns else self.base

    def upto(self, zxid: Zxid) -> "Held":
        return Held(self.base, self.chunks, [txn for txn in self.txns if txn[0] <= zxid])


def batch_of(first: Zxid, values: Iterable[bytes]) -> TxnBatch:
    values = list(values)
    return make_batch(first, len(values), msgspec.msgpack.encode(values))


def txns_of(batches: Iterable[TxnBatch]) -> list[Txn]:
    txns = []
    for batch in batches:
        assert find_flaw(batch) is None
        values = msgspec.msgpack.decode(batch.body, type=list[bytes])
        assert len(values) == batch.count
        txns += [(batch.first + at, value) for at, value in enumerate(values)]
    return txns


def walk(history: History) -> Held:
    return Held(history.base, list(history.chunks), txns_of(history.batches))


_numbers = count()


def unique_batch(first: Zxid, length: int, value_bytes: int = 20) -> TxnBatch:
    """No two transactions ever made are the same, so that a resurrected one is told from its successor."""
    return batch_of(first, (b"%*d" % (value_bytes, next(_numbers)) for _ in range(length)))


def z(epoch: int, counter: int) -> Zxid:
    return make_zxid(epoch, counter)


def make_new_folder(disk: MemoryDisk) -> None:
    """What whoever makes a new server leaves: a folder with the marker `initialize`, durable."""
    disk.mkdir(DATA)
    disk.create(f"{DATA}/initialize")
    disk.sync_dir("")
    disk.sync_dir(DATA)


def open_store(disk: MemoryDisk, *, fsync: bool = True, segment_bytes: int = 4096) -> tuple[FileStore, Recovered]:
    store = FileStore(DATA, fsync=fsync, disk=disk, segment_bytes=segment_bytes)
    return store, store.recover()
