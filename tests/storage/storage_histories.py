"""Histories as lists, for tests to compare what a store holds with what it was given."""

from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

import msgspec

from lab.sim.disk import MemoryDisk
from lab.sim.writer import SlicedWriter
from lab.storage.disk import read_file
from lab.storage.layout import labelled
from lab.storage.snapshots import Report
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

    def seen_from(self, label: Zxid) -> "Held":
        """The same history as a snapshot that the server itself took at `label`, and what follows it."""
        if label == self.base:
            return self
        return Held(label, tree_at(label), [txn for txn in self.txns if txn[0] > label])


def tree_at(zxid: Zxid) -> list[bytes]:
    """The chunks of the tree that the tests' servers have at `zxid`."""
    return [b"the tree at %x" % zxid, b"its second half" * 10]


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


def open_store(
    disk: MemoryDisk, *, fsync: bool = True, segment_bytes: int = 4096, retain: int = 3, report: Report = print
) -> tuple[FileStore, Recovered]:
    store = FileStore(
        DATA,
        fsync=fsync,
        disk=disk,
        segment_bytes=segment_bytes,
        snap_retain_count=retain,
        incarnation=0xABC,
        start_writer=SlicedWriter,
        report=report,
    )
    return store, store.recover()


def take_snapshot(store: FileStore, zxid: Zxid, log_after: Zxid | None = None) -> None:
    """Begin, write and keep one."""
    store.begin_snapshot(zxid, tree_at(zxid))
    while (written := store.snapshot_outcome()) is None:
        pass
    store.end_snapshot(keep=written, log_after=log_after)


def folder_of(disk: MemoryDisk) -> str:
    """The generation in force."""
    return f"{DATA}/{read_file(disk, f'{DATA}/CURRENT', 64).decode().split()[0]}"


def labels_of(disk: MemoryDisk, stem: str = "snapshot") -> list[Zxid]:
    """Of the snapshots, or log segments, in the generation in force."""
    return [zxid for zxid, _ in labelled(disk.listdir(folder_of(disk)), stem)]
