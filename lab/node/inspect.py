"""What this replica holds, written to a file for a checker to judge (DESIGN 4).

The checker's record is `lab.client.history.ReplicaState`, which a node does not import; `ReplicaState` is the same
array.  It is written while nothing else is served: a long log can cost this server its leadership.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from lab.service.server import Server
from lab.service.transactions import ErrorTxn, MultiErrorTxn, decode_txns
from lab.zab.config import PeerId
from lab.zab.constants import NO_ZXID
from lab.zab.messages import ServerState, TxnBatch
from lab.zab.zxid import Zxid

_ROLES = {
    ServerState.LOOKING: "looking",
    ServerState.FOLLOWING: "follower",
    ServerState.LEADING: "leader",
    ServerState.OBSERVING: "observer",
}


class ReadableStore(Protocol):
    """What inspecting needs of a store."""

    def log_runs(self) -> list[tuple[Zxid, Zxid]]:
        """(first, last) of each run of the history, after (0, base) for what its snapshot covers."""

    def batches(self, after: Zxid = NO_ZXID) -> Iterator[TxnBatch]:
        """Everything logged after `after`, lazily."""


class ReplicaState(msgspec.Struct, frozen=True, array_like=True):
    """See lab.client.history.ReplicaState, field by field; a node of `nodes` is czxid, mzxid, version, data."""

    server: int
    role: str
    applied_zxid: Zxid
    digest: int | None
    nodes: dict[str, tuple[Zxid, Zxid, int, bytes]]
    log: list[tuple[Zxid, Zxid]] | None
    took_effect: dict[str, int]


def write_state(
    path: str, me: PeerId, server: Server, store: ReadableStore, unknown: Iterable[tuple[int, int]], *, has_log: bool
) -> None:
    """Write this replica's state to `path`, which the reader sees only once it is whole.

    `unknown` are (session, cxid) to look up in the log.  `has_log` False: the store keeps nothing that a restart would
    find, so no log is shown.  Raises OSError.
    """
    state = ReplicaState(
        server=me,
        role=_ROLES[server.peer.state],
        applied_zxid=server.applied_zxid,
        digest=server.tree.digest,
        nodes={name: (node.czxid, node.mzxid, node.version, node.data) for name, node in server.tree.nodes.items()},
        log=store.log_runs() if has_log else None,
        took_effect=_fates(store, set(unknown)),
    )
    write_whole_state(path, state)


def write_whole_state(path: str, state: ReplicaState) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "wb", opener=_private) as file:
        file.write(msgspec.msgpack.encode(state))
    os.replace(temporary, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _fates(store: ReadableStore, asked: set[tuple[int, int]]) -> dict[str, int]:
    """zxid by "session:cxid" of those of `asked` that stand in the log; -1 for one that stands there as an error.

    One that is missing did not happen only if the log is whole: nobody knows what was purged (`workloads.checks`).
    """
    fates: dict[str, int] = {}
    for batch in store.batches() if asked else ():
        for zxid, txn in enumerate(decode_txns(batch.body), batch.first):
            if (txn.session, txn.cxid) in asked:
                fates[f"{txn.session}:{txn.cxid}"] = -1 if isinstance(txn, ErrorTxn | MultiErrorTxn) else zxid
    return fates
