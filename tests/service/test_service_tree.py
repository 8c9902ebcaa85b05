"""The znode tree: stats, digest, snapshots (zab.md 8.1)."""

import os
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.service.paths import is_valid_path
from lab.service.requests import Stat
from lab.service.transactions import SetDataTxn
from lab.service.tree import STALE_MAX, Tree, _SnapshotChunk, _SnapshotNode, names_of_children, parent_of

CHANGES = st.lists(
    st.tuples(st.sampled_from("cds"), st.sampled_from(("/a", "/b", "/a/x", "/a/y", "/b/z")), st.binary(max_size=3)),
    max_size=30,
)


def grow(changes: list[tuple[str, str, bytes]]) -> Tree:
    """Apply what is possible of these changes, one zxid each."""
    tree = Tree()
    for zxid, change in enumerate(changes, 1):
        apply_change(tree, change, zxid)
    return tree


def apply_change(tree: Tree, change: tuple[str, str, bytes], zxid: int) -> None:
    kind, path, data = change
    node = tree.nodes.get(path)
    if kind == "c" and node is None and parent_of(path) in tree.nodes:
        tree.create(path, data, zxid)
    elif kind == "d" and node is not None and not node.children:
        tree.delete(path, zxid)
    elif kind == "s" and node is not None:
        tree.set_data(path, data, node.version + 1, zxid)


def contents(tree: Tree) -> dict[str, tuple[bytes, int, int, int, int]]:
    """A node's own, and what its children have left in it."""
    return {
        path: (node.data, node.version, node.mzxid, node.creates, node.pzxid if node.creates else 0)
        for path, node in tree.nodes.items()
    }


@pytest.mark.covers("S18", "S105")
def test_stat_of_a_life():
    tree = Tree()
    tree.create("/a", b"one", 1)
    tree.set_data("/a", b"four", 1, 2)
    tree.create("/a/x", b"", 3)
    tree.create("/a/y", b"", 4)
    tree.delete("/a/x", 5)
    assert tree.nodes["/a"].stat() == Stat(czxid=1, mzxid=2, pzxid=5, version=1, cversion=3, data_length=4, children=1)
    assert tree.nodes["/"].stat() == Stat(czxid=0, mzxid=0, pzxid=1, version=0, cversion=1, data_length=0, children=1)


def test_deleted_and_created_anew_is_another_node():
    tree = Tree()
    tree.create("/a", b"1", 1)
    tree.set_data("/a", b"2", 1, 2)
    tree.delete("/a", 3)
    tree.create("/a", b"2", 4)
    assert tree.nodes["/a"].stat().version == 0
    assert tree.nodes["/a"].czxid == 4


@given(CHANGES, CHANGES)
@pytest.mark.covers("INV-17")
def test_digests_are_equal_iff_contents_are(some: list[tuple[str, str, bytes]], others: list[tuple[str, str, bytes]]):
    a, b = grow(some), grow(others)
    assert (a.digest == b.digest) == (contents(a) == contents(b))


@pytest.mark.covers("X-32", "INV-27")
def test_what_children_leave_in_their_parent_never_gets_less():
    tree = Tree()
    tree.create("/a", b"", 1)
    tree.create("/a/x", b"", 5)
    tree.delete("/a/x", 4)  # late, as a replay could be (ZOOKEEPER-3125)
    assert (tree.nodes["/a"].pzxid, tree.nodes["/a"].creates) == (5, 1)
    tree.delete("/a", 6)
    tree.create("/a", b"", 7)
    assert (tree.nodes["/a"].pzxid, tree.nodes["/a"].creates) == (7, 0)  # another incarnation counts anew


def test_a_child_that_came_and_went_shows_in_the_digest():
    """Else two servers could number the next sequential node differently and nobody would notice."""
    a, b = Tree(), Tree()
    a.create("/x", b"", 1)
    a.delete("/x", 2)
    assert a.digest != b.digest
    assert Tree.load(a.chunks()).digest == a.digest


def test_digest_does_not_depend_on_the_order_of_independent_changes():
    a, b = Tree(), Tree()
    a.create("/a", b"1", 1)
    a.create("/b", b"2", 2)
    b.create("/b", b"2", 2)
    b.create("/a", b"1", 1)
    assert a.digest == b.digest


@given(CHANGES, st.dictionaries(st.integers(1, 1 << 62), st.integers(0, 5), max_size=4))
def test_snapshot_round_trip(changes: list[tuple[str, str, bytes]], sessions: dict[int, int]):
    tree = grow(changes)
    for session, attachment in sessions.items():
        tree.open_session(session, attachment)
    chunks = list(tree.chunks())
    assert chunks
    loaded = Tree.load(chunks)
    assert loaded.digest == tree.digest
    assert loaded.sessions == tree.sessions
    assert {path: node.stat() for path, node in loaded.nodes.items()} == {p: n.stat() for p, n in tree.nodes.items()}
    assert list(loaded.chunks()) == chunks


@given(CHANGES, st.integers(0, 30))
@pytest.mark.covers("X-31", "X-32", "INV-17")
def test_a_snapshot_of_any_moment_and_the_log_after_it_make_the_same_tree(
    changes: list[tuple[str, str, bytes]], at: int
):
    """Of children, too: no number is given twice after a recovery (ZOOKEEPER-3125, ZOOKEEPER-3249)."""
    whole, recovered = Tree(), Tree()
    for zxid, change in enumerate(changes, 1):
        if zxid == at + 1:
            recovered = Tree.load(recovered.chunks())
        for tree in (whole, recovered):
            apply_change(tree, change, zxid)
    assert {path: node.stat() for path, node in recovered.nodes.items()} == {
        path: node.stat() for path, node in whole.nodes.items()
    }
    assert recovered.digest == whole.digest


def test_large_snapshot_comes_in_chunks_and_no_chunks_are_the_empty_tree():
    tree = Tree()
    for i in range(5):
        tree.create(f"/{i}", bytes(200 << 10), i + 1)
    chunks = list(tree.chunks())
    assert len(chunks) > 1
    assert contents(Tree.load(chunks)) == contents(tree)
    assert contents(Tree.load([])) == contents(Tree())


PRINT_DIGEST = """
from lab.service.transactions import SetDataTxn
from lab.service.tree import STALE_MAX, Tree
tree = Tree()
for i in range(50):
    tree.create(f"/node-{i}", str(i).encode(), i + 1)
tree.set_data("/node-7", b"seven", 1, 99)
print(tree.digest)
"""


@pytest.mark.parametrize("path", ["b", "b/c", "", "/b/c", "x/a"])
def test_a_node_that_no_parent_stands_before_is_refused(path: str):
    """Also right behind a node whose parent is there."""
    node = _SnapshotNode("/a", b"", 0, 1, 1, 1, 0)
    orphan = msgspec.structs.replace(node, path=path)
    with pytest.raises(msgspec.ValidationError, match="comes without its parent"):
        Tree().add_chunk(msgspec.msgpack.encode(_SnapshotChunk([], [node, orphan])))


def test_children_are_listed_by_their_names_below_any_parent():
    tree = Tree()
    for path in ("/b", "/a", "/a/d", "/a/c", "/a/c/e"):
        tree.create(path, b"", 1)
    loaded = Tree.load(tree.chunks())
    for some in (tree, loaded):
        assert names_of_children(some.nodes["/"]) == ["a", "b"]
        assert names_of_children(some.nodes["/a"]) == ["c", "d"]
        assert names_of_children(some.nodes["/b"]) == []


def test_digest_is_the_same_in_every_process():
    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert digest("1") == digest("2") != ""


@pytest.mark.parametrize(
    ("path", "valid"),
    [
        ("/", True),
        ("/a", True),
        ("/a/b-c.d", True),
        ("/é", True),
        ("", False),
        ("a", False),
        ("/a/", False),
        ("//a", False),
        ("/a/./b", False),
        ("/a/..", False),
        ("/a\0", False),
        ("/a\x7f", False),
        ("/\ufff0", False),
    ],
)
def test_paths(path: str, valid: bool):
    assert is_valid_path(path) is valid


def test_the_digest_is_of_the_content_however_often_it_is_read() -> None:
    read, unread = Tree(), Tree()
    for tree in (read, unread):
        for n in range(STALE_MAX + 100):
            tree.create(f"/{n}", b"", n + 1)
    for zxid in range(1 << 16, (1 << 16) + 3 * STALE_MAX):
        path, data = f"/{zxid % (STALE_MAX + 7)}", zxid.to_bytes(4, "big")
        for tree in (read, unread):
            tree.set_run([SetDataTxn(1, 1, path, data, zxid & 0xFFFF)], zxid)
        if not zxid % 5:
            _ = read.digest
    for tree in (read, unread):
        tree.set_data("/3", b"last words", 9, 1 << 20)
        tree.delete("/3", (1 << 20) + 1)  # its new share was never counted in one of them
    assert read.digest == unread.digest == Tree.load(unread.chunks()).digest
