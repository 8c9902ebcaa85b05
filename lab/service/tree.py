"""The znode tree and the session table: the replicated state (zab.md 8.1).

All changes come from committed transactions, so methods trust their arguments; validation is `prepare`'s.
"""

from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

import msgspec

from lab.service.requests import Stat
from lab.service.transactions import SetDataTxn
from lab.zab.messages import Record

DIGEST_BITS = 64
_DIGEST_MASK = (1 << DIGEST_BITS) - 1
CHUNK_BYTES = 256 << 10  # of a snapshot, before encoding
_SESSIONS_A_CHUNK = 10_000
STALE_MAX = 2048  # 0.6 ms of computing


def parent_of(path: str) -> str:
    return path[: path.rindex("/")] or "/"


class Znode:
    """One node; `share` is what it adds to the tree's digest, `family_share` what its list of children adds."""

    __slots__ = (
        "children", "creates", "czxid", "data", "family_share", "mzxid", "path_crc", "pzxid", "share", "version",
    )  # fmt: skip

    def __init__(self, path: str, data: bytes, zxid: int) -> None:
        self.data = data
        self.version = 0
        self.czxid = self.mzxid = self.pzxid = zxid
        self.creates = 0  # children ever created: the next sequence number; the visible cversion is derived from it
        self.children: set[str] | None = None  # whole paths, which the tree has anyway: a name would be another string
        self.path_crc = crc32(path.encode())
        self.share = self.family_share = 0

    def stat(self) -> Stat:
        children = len(self.children) if self.children else 0
        return Stat(
            self.czxid, self.mzxid, self.pzxid, self.version, 2 * self.creates - children, len(self.data), children
        )


def names_of_children(node: Znode) -> list[str]:
    return sorted(path[path.rindex("/") + 1 :] for path in node.children or ())


class _SnapshotNode(Record, frozen=True):
    path: str
    data: bytes
    version: int
    czxid: int
    mzxid: int
    pzxid: int
    creates: int


class _SnapshotChunk(Record, frozen=True):
    sessions: list[tuple[int, int]]
    nodes: list[_SnapshotNode]


_encode = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(_SnapshotChunk).decode


def check_chunk(data: bytes) -> None:
    """Raises MalformedError unless this is one of the chunks of some tree."""
    _decode_chunk(data)


class Tree:
    """Znodes by path, the attachment of every session, and a digest that tells two contents apart.

    `sessions` keeps every session there ever was, some 100 bytes each: expiry, which will remove them, comes later
    (zab.md 8.3).

    The digest sums a share per node over path, data, version and mzxid, and one per parent over path, creates and
    pzxid, so it does not depend on order.  Shares are hashes of tuples of ints, which CPython computes alike in every
    process (unlike those of str).  Only content counts, so nodes that got new data have their shares computed when the
    digest is read, or once there are STALE_MAX of them: a node that is written often costs that but once.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Znode] = {}
        self.sessions: dict[int, int] = {}
        self._sum = 0  # of all shares, those of stale nodes as they were
        self._stale: set[Znode] = set()  # nodes whose share is not that of their data
        self._add("/", Znode("/", b"", 0))

    @property
    def digest(self) -> int:
        for node in self._stale:
            share = hash((node.path_crc, crc32(node.data), node.version, node.mzxid))
            self._sum += share - node.share
            node.share = share
        self._stale.clear()
        self._sum &= _DIGEST_MASK
        return self._sum

    def create(self, path: str, data: bytes, zxid: int) -> None:
        parent_path = parent_of(path)
        parent = self.nodes[parent_path]
        self._add(path, Znode(path, data, zxid))
        if parent.children is None:
            parent.children = set()
        parent.children.add(path)
        parent.creates += 1
        self._note_family(parent, zxid)

    def delete(self, path: str, zxid: int) -> None:
        node = self.nodes.pop(path)
        self._sum -= node.share + node.family_share
        self._stale.discard(node)
        parent = self.nodes[parent_of(path)]
        assert parent.children is not None, f"{path} was in no parent"
        parent.children.remove(path)
        self._note_family(parent, zxid)

    def set_data(self, path: str, data: bytes, version: int, zxid: int) -> None:
        node = self.nodes[path]
        node.data, node.version, node.mzxid = data, version, zxid
        self._stale.add(node)
        if len(self._stale) >= STALE_MAX:
            _ = self.digest

    def set_run(self, sets: Sequence[SetDataTxn], zxid: int) -> None:
        """As `set_data` for each, the first at `zxid`: most of what is ever applied, so one loop without calls."""
        nodes, stale = self.nodes, self._stale.add
        for one in sets:
            node = nodes[one.path]
            node.data, node.version, node.mzxid = one.data, one.version, zxid
            stale(node)
            zxid += 1
        if len(self._stale) >= STALE_MAX:
            _ = self.digest

    def open_session(self, session: int, attachment: int) -> None:
        self.sessions[session] = attachment

    def chunks(self, bytes_max: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The whole state, parents before children; at least one chunk of about `bytes_max`, each self-contained."""
        sessions = sorted(self.sessions.items())
        for start in range(0, len(sessions), _SESSIONS_A_CHUNK):
            yield _encode(_SnapshotChunk(sessions[start : start + _SESSIONS_A_CHUNK], []))
        nodes, size = list[_SnapshotNode](), 0
        for path in sorted(self.nodes):
            node = self.nodes[path]
            nodes.append(_SnapshotNode(path, node.data, node.version, node.czxid, node.mzxid, node.pzxid, node.creates))
            size += len(path) + len(node.data) + 64
            if size >= bytes_max:
                yield _encode(_SnapshotChunk([], nodes))
                nodes, size = [], 0
        yield _encode(_SnapshotChunk([], nodes))

    @classmethod
    def load(cls, chunks: Iterable[bytes]) -> "Tree":
        """The tree that `chunks` describe; no chunks are the empty tree of a new server (snapshot.0)."""
        tree = cls()
        for data in chunks:
            tree.add_chunk(data)
        return tree

    def add_chunk(self, data: bytes) -> None:
        """Take in the next of `chunks`; the tree is whole after the last.  Raises MalformedError.

        This is most of a start: one loop, in which siblings, which come one after the other, share what they can.
        """
        chunk = _decode_chunk(data)
        self.sessions.update(chunk.sessions)
        nodes, total, family, siblings = self.nodes, self._sum, "", set[str]()
        for saved in chunk.nodes:
            path, content, zxid = saved.path, saved.data, saved.mzxid
            if path in nodes:  # the root is there from the start
                total -= nodes[path].share + nodes[path].family_share
            if path != "/":
                cut = path.rfind("/")
                parent_path = path[:cut]
                if parent_path != family or not siblings or cut < 0:
                    family, siblings = parent_path, self._children_at(path)
                siblings.add(path)
            node = nodes[path] = Znode(path, content, saved.czxid)
            node.version, node.mzxid = saved.version, zxid
            node.share = hash((node.path_crc, crc32(content), saved.version, zxid))
            total += node.share
            if saved.creates:
                node.creates, node.pzxid = saved.creates, max(saved.czxid, saved.pzxid)
                node.family_share = hash((node.path_crc, node.creates, node.pzxid))
                total += node.family_share
        self._sum = total

    def _children_at(self, path: str) -> set[str]:
        """The children of a saved node's parent, which must be there."""
        parent = self.nodes.get(parent_of(path)) if path.startswith("/") else None
        if parent is None:
            raise msgspec.ValidationError(f"node {path!r} comes without its parent")
        if parent.children is None:
            parent.children = set()
        return parent.children

    def _add(self, path: str, node: Znode) -> None:
        node.share = hash((node.path_crc, crc32(node.data), node.version, node.mzxid))
        self._sum += node.share
        self.nodes[path] = node

    def _note_family(self, parent: Znode, zxid: int) -> None:
        """A child was created or deleted."""
        if zxid > parent.pzxid:  # never downwards (ZOOKEEPER-3125)
            parent.pzxid = zxid
        share = hash((parent.path_crc, parent.creates, parent.pzxid))
        self._sum += share - parent.family_share
        parent.family_share = share
