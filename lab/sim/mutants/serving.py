"""The service: what is validated, applied and answered."""

from collections.abc import Sequence

from lab.service import outcomes, server
from lab.service.overlay import Overlay
from lab.service.prepare import Prepared, Preparer
from lab.service.proposals import Proposals
from lab.service.reading import answer_reads
from lab.service.requests import Request
from lab.service.server import Server
from lab.service.sessions import LocalSession
from lab.service.transactions import MultiTxn, Txn
from lab.service.tree import Tree
from lab.sim.mutants.planting import Patch, mutant
from lab.zab.effects import PeerEffect, Synced
from lab.zab.learner import Learner


@mutant("INV-17")
def digest_not_updated(patch: Patch) -> None:
    """A deleted node stays in the tree's digest."""
    plain = Tree.delete

    def delete(self: Tree, path: str, zxid: int) -> None:
        share = self.nodes[path].share
        plain(self, path, zxid)
        self._sum += share

    patch(Tree, "delete", delete)


@mutant("INV-17, zab.md 8.4")
def multi_applied_in_part(patch: Patch) -> None:
    """Of a multi only the first change reaches the tree."""
    plain = outcomes.apply_txn

    def apply_txn(tree: Tree, txn: Txn, zxid: int) -> None:
        plain(tree, txn.txns[0] if isinstance(txn, MultiTxn) else txn, zxid)

    patch(outcomes, "apply_txn", apply_txn)
    patch(server, "apply_txn", apply_txn)


@mutant("INV-29")
def write_proposed_twice(patch: Patch) -> None:
    """Some forwarded writes are queued a second time, as a retry that nobody asked for would."""
    plain, count = Proposals.add, [0]

    def add(self: Proposals, session: int, attachment: int, writes: list[Prepared], size: int) -> None:
        plain(self, session, attachment, writes, size)
        count[0] += 1
        if count[0] % 50 == 0:
            plain(self, session, attachment, writes, size)

    patch(Proposals, "add", add)


MOVED = """
ensemble 3
start 1 2 3
serve
client a at 1
hold 1 -> 3
do a create /old=
client a at 2
do a create /new=
release 1 -> 3
serve
check
"""


@mutant("zab.md 8.3 (SessionMoved, ZOOKEEPER-710)", scenario_name="a session moves", scenario=MOVED)
def session_attachment_not_checked(patch: Patch) -> None:
    """Requests that an older attachment of a session sent still take effect after the session has moved."""
    plain = Preparer.prepare

    def prepare(self: Preparer, session: int, attachment: int, requests: Sequence[Prepared], into: list[Txn]) -> None:
        plain(self, session, self._attachments.get(session, attachment), requests, into)

    patch(Preparer, "prepare", prepare)


@mutant("INV-24, zab.md 5.2")
def validated_against_the_applied_tree_only(patch: Patch) -> None:
    """Version checks and new versions do not see the writes in flight."""
    plain = Preparer.prepare

    def prepare(self: Preparer, session: int, attachment: int, requests: Sequence[Prepared], into: list[Txn]) -> None:
        self.forget()
        plain(self, session, attachment, requests, into)

    patch(Preparer, "prepare", prepare)


@mutant("INV-27, ZOOKEEPER-3125")
def sequence_number_of_the_living(patch: Patch) -> None:
    """A sequential node's number counts the children that there are, not those that there ever were."""
    plain = Overlay.look

    def look(self: Overlay, path: str):  # type: ignore[no-untyped-def]
        pending = plain(self, path)
        pending.creates = pending.children
        return pending

    patch(Overlay, "look", look)


@mutant("INV-22, zab.md 5.4")
def read_answered_ahead_of_an_own_write(patch: Patch) -> None:
    """A read does not wait for the writes that its session sent before it."""
    plain = Server._admit

    def admit(self: Server, session: LocalSession, requests: list[Request], size: int, effects: list) -> None:  # type: ignore[type-arg]
        reads = [request for request in requests if type(request) in server._READS]
        if reads and session.pending:
            self._answer(session, answer_reads(self.tree, reads, self.applied_zxid))  # type: ignore[arg-type]
            requests = [request for request in requests if request not in reads]
        if requests:
            plain(self, session, requests, size, effects)

    patch(Server, "_admit", admit)


SYNC = """
ensemble 3 sync_mode="quorum"
start 1 2 3
serve
client a at 3
client b at 1
hold 3 -> 1
do a create /a=1
do b sync
release 3 -> 1
serve
check
"""


@mutant("zab.md 5.8, INV-24", scenario_name="a sync at a follower behind", scenario=SYNC)
def sync_answered_without_asking_the_leader(patch: Patch) -> None:
    """A follower answers `sync` from what it happens to have applied."""

    def ask_sync(_: Learner, nonce: int) -> list[PeerEffect]:
        return [Synced(nonce)]

    patch(Learner, "ask_sync", ask_sync)


SNAPPED = """
ensemble 3
start 1 2 3
serve
client a at 3
do a create-seq /q-=
crash 1
wipe 1
start 1
serve
do a create-seq /q-=
"""


@mutant("INV-17, ZOOKEEPER-3249", scenario_name="numbers after a SNAP", scenario=SNAPPED)
def snapshot_forgets_what_was_created(patch: Patch) -> None:
    """A loaded snapshot counts the children that there are, so numbers are given again."""
    plain = Tree.add_chunk

    def add_chunk(self: Tree, data: bytes) -> None:
        plain(self, data)
        for node in self.nodes.values():
            node.creates = 0

    patch(Tree, "add_chunk", add_chunk)
