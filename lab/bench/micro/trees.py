"""The tree: sets applied, the digest that tells two trees apart, and snapshots of it."""

from collections.abc import Sequence
from functools import partial

from lab.bench.micro.inputs import FIRST, KEYS, set_txns, tree, value
from lab.bench.micro.part import Part, expect, now
from lab.service.transactions import SetDataTxn
from lab.service.tree import Tree
from lab.zab.zxid import Zxid

_SNAPSHOT_BYTES = 256 << 10  # a chunk


class Setting:
    """A run of sets after the other, as they are committed; `digest`: the digest is asked for after each."""

    def __init__(self, count: int, *, digest: bool) -> None:
        self._tree = tree()
        self._txns: Sequence[SetDataTxn] = set_txns(count)
        self._digest = digest
        self._zxid: Zxid = FIRST

    def run(self, rounds: int) -> float:
        made, txns, digest, zxid = self._tree, self._txns, self._digest, self._zxid
        started = now()
        for _ in range(rounds):
            made.set_run(txns, zxid)
            zxid += len(txns)
            if digest:
                made.digest  # noqa: B018 - what it costs to know it
        seconds = now() - started
        self._zxid = zxid
        return seconds

    def check(self) -> None:
        """The same tree, made by the last batch alone, has the same digest."""
        other, zxid = tree(), self._zxid - len(self._txns)
        for at, txn in enumerate(self._txns):
            other.set_data(txn.path, txn.data, txn.version, zxid + at)
        expect(self._tree.digest, other.digest, "digest")
        expect(self._tree.nodes["/k1"].data, value(1), "data of /k1")


class Snapshotting:
    """The whole tree, with data, as chunks."""

    def __init__(self) -> None:
        self._tree = tree()
        for at, txn in enumerate(set_txns(KEYS)):
            self._tree.set_data(txn.path, txn.data, txn.version, FIRST + at)

    def run(self, rounds: int) -> float:
        made = self._tree
        started = now()
        for _ in range(rounds):
            for _ in made.chunks(_SNAPSHOT_BYTES):
                pass
        return now() - started

    def check(self) -> None:
        loaded = Tree.load(self._tree.chunks(_SNAPSHOT_BYTES))
        expect(loaded.digest, self._tree.digest, "digest of what the chunks hold")


class Loading(Snapshotting):
    """Those chunks, made a tree."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks = list(self._tree.chunks(_SNAPSHOT_BYTES))

    def run(self, rounds: int) -> float:
        started = now()
        for _ in range(rounds):
            Tree.load(self._chunks)
        return now() - started


PARTS = (
    Part("tree/set/256", "a set applied to the tree", "write", 256, 50, partial(Setting, 256, digest=False)),
    Part("tree/set-digest/256", "a set applied, and the tree's digest known after every 256", "write", 256, 50,
         partial(Setting, 256, digest=True)),
    Part("tree/snapshot", "a znode with 100 bytes put into a snapshot's chunk", "znode", KEYS + 1, 15, Snapshotting),
    Part("tree/load", "a znode taken from a snapshot's chunk", "znode", KEYS + 1, 4, Loading),
)  # fmt: skip
