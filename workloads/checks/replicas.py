"""(b) Every replica holds every acknowledged write, and (d) replicas at one zxid are equal (INV-17, INV-25, INV-29)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lab.client.history import Outcome, ReplicaState, Znode
from workloads.checks.operations import Ints, Operations, lookup, show, times
from workloads.values import value_of, writer_of

KEYS_NAMED_MAX = 5  # for each server


@dataclass(frozen=True, eq=False)
class Expected:
    """What each key's node must look like, by key."""

    paths: Sequence[str]
    last: Ints  # row of the acknowledged write with the greatest zxid, -1 if there is none
    sets: Ints  # acknowledged sets (version above 0: creates do not count)
    unknown_sets: Ints
    seed: int
    value_bytes: int


def check_replicas(
    ops: Operations,
    replicas: Sequence[ReplicaState],
    paths: Sequence[str],
    seed: int,
    value_bytes: int,
    sets: Ints | None = None,
) -> list[str]:
    """`sets`: acknowledged sets of each key, where `ops` holds only its greatest write; None: `ops` holds them all."""
    expected = _expected(ops, paths, seed, value_bytes, sets)
    unknown = _unknown_writes(ops)
    effects = Effects(ops, replicas, unknown, len(paths))
    findings = [*version_order(ops), *effects.findings]
    greatest = int(ops.zxid[ops.writes].max()) if len(ops.writes) else 0
    for replica in replicas:
        if replica.applied_zxid < greatest:
            findings.append(
                f"server {replica.server} is at {show(replica.applied_zxid)}, "
                f"behind the acknowledged write {show(greatest)}"
            )
        wrong = [*_nodes(ops, replica, expected, unknown), *_versions(replica, expected, effects.count(replica))]
        findings += wrong[:KEYS_NAMED_MAX]
        if len(wrong) > KEYS_NAMED_MAX:
            findings.append(f"server {replica.server}: {len(wrong) - KEYS_NAMED_MAX} more like these")
    return findings + _digests(replicas)


def _expected(ops: Operations, paths: Sequence[str], seed: int, value_bytes: int, sets: Ints | None) -> Expected:
    keyed = ops.writes[ops.key[ops.writes] >= 0]
    by_zxid = keyed[np.argsort(ops.zxid[keyed], kind="stable")]
    last = np.full(len(paths), -1, np.int64)
    last[ops.key[by_zxid]] = by_zxid  # of a key's several rows the last one stays
    if sets is None:
        sets = sets_of(ops, len(paths))
    unknown = ops.is_write & (ops.outcome == Outcome.UNKNOWN) & (ops.key >= 0)
    return Expected(paths, last, sets, np.bincount(ops.key[unknown], minlength=len(paths)), seed, value_bytes)


def sets_of(ops: Operations, keys: int) -> Ints:
    """Acknowledged sets of each key."""
    keyed = ops.writes[ops.key[ops.writes] >= 0]
    return np.bincount(ops.key[keyed[ops.version[keyed] != 0]], minlength=keys)


def _unknown_writes(ops: Operations) -> dict[tuple[int, int], int]:
    """Row of each write of unknown outcome, by (client, cxid)."""
    rows = np.flatnonzero(ops.is_write & (ops.outcome == Outcome.UNKNOWN))
    return {(int(ops.client[row]), int(ops.cxid[row])): int(row) for row in rows}


def _nodes(
    ops: Operations, replica: ReplicaState, expected: Expected, unknown: dict[tuple[int, int], int]
) -> Iterable[str]:
    """Each key is at its greatest acknowledged zxid with that write's data, or later, with an unknown one's."""
    nodes, last, server = replica.nodes, expected.last.tolist(), f"server {replica.server}"
    for key, path in enumerate(expected.paths):
        row, node = last[key], nodes.get(path)
        if node is None:
            if row >= 0:
                yield f"{server}: {path} is missing, {ops.name(row)} was acknowledged at {show(ops.zxid[row])}"
        elif row >= 0 and node.mzxid < ops.zxid[row]:
            yield (
                f"{server}: {path} is at {show(node.mzxid)}, {ops.name(row)} was acknowledged at {show(ops.zxid[row])}"
            )
        elif row >= 0 and node.mzxid == ops.zxid[row]:
            client, cxid = int(ops.client[row]), int(ops.cxid[row])
            if node.data != value_of(expected.seed, client, cxid, expected.value_bytes):
                yield f"{server}: {path} at {show(node.mzxid)} does not hold the data of {ops.name(row)}"
        else:
            yield from _later(ops, replica, key, node, expected, unknown)


def _later(
    ops: Operations,
    replica: ReplicaState,
    key: int,
    node: Znode,
    expected: Expected,
    unknown: dict[tuple[int, int], int],
) -> Iterable[str]:
    """A node newer than every acknowledged write must come from a write of unknown outcome."""
    where = f"server {replica.server}: {expected.paths[key]} at {show(node.mzxid)}"
    writer = writer_of(node.data)
    row = -1 if writer is None else unknown.get(writer, -1)
    if writer is None or row < 0 or ops.key[row] != key:
        yield f"{where} comes from no acknowledged and no unknown write"
    elif node.data != value_of(expected.seed, *writer, expected.value_bytes):
        yield f"{where} holds damaged data of {ops.name(row)}"


class Effects:
    """Which writes of unknown outcome took effect, as far as logs tell."""

    def __init__(
        self, ops: Operations, replicas: Sequence[ReplicaState], unknown: dict[tuple[int, int], int], keys: int
    ) -> None:
        self._keys = keys
        self.findings: list[str] = []
        self._complete = any(_log_is_complete(replica) for replica in replicas)
        zxids: dict[str, int] = {}
        for replica in replicas:
            for name, zxid in replica.took_effect.items():
                other = zxids.setdefault(name, zxid)
                if other != zxid:
                    self.findings.append(f"unknown request {name} stands in logs at {show(other)} and {show(zxid)}")
        self._applied: list[tuple[int, int]] = []  # (zxid, key) of sets
        for row in unknown.values():
            zxid = zxids.get(f"{ops.session_ids[ops.session[row]]}:{ops.cxid[row]}", -1)
            if zxid >= 0 and ops.key[row] >= 0:
                self._applied.append((zxid, int(ops.key[row])))
        self.findings += _taken_zxids(ops, [zxid for zxid, _ in self._applied])

    def count(self, replica: ReplicaState) -> Ints | None:
        """How many unknown sets of each key this replica has applied; None if no log goes back far enough to tell."""
        if not self._complete:
            return None
        keys = [key for zxid, key in self._applied if zxid <= replica.applied_zxid]
        return np.bincount(np.array(keys, np.int64), minlength=self._keys)


def _log_is_complete(replica: ReplicaState) -> bool:
    """Whether its log reaches back to the first transaction: it has no snapshot base."""
    return replica.log is not None and not any(first <= 0 < last for first, last in replica.log)


def _taken_zxids(ops: Operations, zxids: list[int]) -> list[str]:
    _, taken = lookup(np.sort(ops.zxid[ops.writes]), np.array(zxids, np.int64))
    findings = [f"{taken.sum()} unknown requests stand in a log at an acknowledged one's zxid"] if taken.any() else []
    if len(set(zxids)) != len(zxids):
        findings.append("two unknown requests stand in the logs at one zxid")
    return findings


def _versions(replica: ReplicaState, expected: Expected, unknown_applied: Ints | None) -> Iterable[str]:
    """A key's version counts its sets: the acknowledged ones, and the unknown ones that took effect (INV-29)."""
    nodes = replica.nodes
    low = expected.sets + (unknown_applied if unknown_applied is not None else 0)
    high = low if unknown_applied is not None else expected.sets + expected.unknown_sets
    for path, least, most in zip(expected.paths, low.tolist(), high.tolist(), strict=True):
        node = nodes.get(path)
        if node is not None and not least <= node.version <= most:
            allowed = f"{least}" if least == most else f"{least} to {most}"
            yield f"server {replica.server}: {path} has version {node.version}, its sets make {allowed}"


def version_order(ops: Operations) -> list[str]:
    """Later writes of a key have greater versions."""
    rows = ops.writes[ops.key[ops.writes] >= 0]
    rows = rows[np.lexsort((ops.zxid[rows], ops.key[rows]))]
    same_key = ops.key[rows][1:] == ops.key[rows][:-1]
    back = np.flatnonzero(same_key & (ops.version[rows][1:] <= ops.version[rows][:-1]))
    if not len(back):
        return []
    one, other = rows[back[0]], rows[back[0] + 1]
    return [
        f"versions of a key do not increase: {ops.name(one)} made {ops.version[one]}, "
        f"the later {ops.name(other)} {ops.version[other]}{times(len(back))}"
    ]


def _digests(replicas: Sequence[ReplicaState]) -> list[str]:
    first: dict[int, ReplicaState] = {}
    findings = []
    for replica in replicas:
        if replica.digest is not None:
            other = first.setdefault(replica.applied_zxid, replica)
            if other.digest != replica.digest:
                findings.append(
                    f"servers {other.server} and {replica.server} are both at {show(replica.applied_zxid)} "
                    f"with digests {other.digest:#x} and {replica.digest:#x}"
                )
    return findings
