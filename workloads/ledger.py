"""The checker of a run too long to be held in memory: it takes histories slice by slice, and keeps little.

What it keeps does not grow with the run, but for one bit a transaction: of each key the greatest acknowledged write and
how many sets there were, of each session its last zxid, which zxids were acknowledged, and the writes of unknown
outcome.  `check_registers` also sees the order of a key's versions over the whole run; here it is looked at within a
slice, and at the end they are as many as the sets were.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lab.client.history import COLUMNS, History, Kind, Outcome, ReplicaState
from workloads.checks.linearizable import check_linearizable
from workloads.checks.logs import too_few_copies
from workloads.checks.operations import Operations, show, times
from workloads.checks.replicas import check_replicas, sets_of, version_order
from workloads.checks.sessions import check_sessions
from workloads.verdict import Verdict

Bits = NDArray[np.uint8]

FINDINGS_MAX = 20
COUNTER_BITS = 32  # of a zxid; the rest is its epoch
CHUNK = 1 << 20  # zxids that are looked up in the logs at once


class Ledger:
    """`take` every slice of every client, a client's in their order; then ask `verdict`."""

    def __init__(self, paths: Sequence[str], seed: int, value_bytes: int) -> None:
        """`paths` are the keys' nodes, created once and then only set."""
        keys = len(paths)
        self._paths, self._seed, self._value_bytes = paths, seed, value_bytes
        self._sets = np.zeros(keys, np.int64)
        self._last = {name: np.full(keys, -1, np.int64) for name in ("client", "session", "cxid", "zxid", "version")}
        self._last_zxid: dict[int, int] = {}  # by session
        self._seen: dict[int, Bits] = {}  # epoch -> a byte for each eight counters
        self._unknown: list[tuple[int, int, int, int]] = []  # client, session, cxid, key
        self._findings: list[str] = []
        self.writes = 0  # acknowledged

    @property
    def unknown(self) -> list[tuple[int, int]]:
        """(session, cxid) of the writes whose fate no client knows."""
        return [(session, cxid) for _, session, cxid, _ in self._unknown]

    def take(self, history: History) -> None:
        """Check a slice by itself and against what came before.  It must hold writes only."""
        ops = Operations.of([history])
        assert ops.is_write.all(), "what a read may return can lie in any earlier slice"
        self._findings += [
            *check_sessions(ops), *version_order(ops), *check_linearizable(ops),
            *self._session_order(ops), *self._twice(ops),
        ]  # fmt: skip
        self.writes += len(ops.writes)
        self._sets += sets_of(ops, len(self._paths))
        self._keep_last(ops)
        rows = np.flatnonzero(ops.outcome == Outcome.UNKNOWN)
        names = [ops.session_ids[session] for session in ops.session[rows]]
        found = zip(ops.client[rows].tolist(), names, ops.cxid[rows].tolist(), ops.key[rows].tolist(), strict=True)
        self._unknown += found

    def verdict(self, replicas: Sequence[ReplicaState], voters: int) -> Verdict:
        """Judge the run after the load stopped and every live replica reached the last zxid."""
        ops = Operations.of(self._condensed())
        few, first = self._in_too_few_logs(replicas, voters)
        findings = [
            *self._findings,
            *check_replicas(ops, replicas, self._paths, self._seed, self._value_bytes, self._sets),
            *([f"acknowledged zxid {show(first)} stands in the logs of less than a quorum{times(few)}"] if few else []),
        ]
        if not replicas and self.writes:
            findings.append("no replica was there to be compared with the acknowledged writes")
        more = [f"and {len(findings) - FINDINGS_MAX} more"] if len(findings) > FINDINGS_MAX else []
        return Verdict(
            ok=not findings, writes=self.writes, reads=0, reads_total=0, replicas=len(replicas),
            lost=few + self._keys_behind(replicas, voters), findings=findings[:FINDINGS_MAX] + more,
        )  # fmt: skip

    # -- a slice against those before

    def _session_order(self, ops: Operations) -> list[str]:
        findings = []
        for index, session in enumerate(ops.session_ids):
            rows = ops.writes[ops.session[ops.writes] == index]
            if not len(rows):
                continue
            before = self._last_zxid.get(session, -1)
            if ops.zxid[rows[0]] <= before:
                name = ops.name(rows[0])
                findings.append(
                    f"a session's zxids went back: {name} at {show(ops.zxid[rows[0]])} after {show(before)}"
                )
            self._last_zxid[session] = max(before, int(ops.zxid[rows[-1]]))
        return findings

    def _twice(self, ops: Operations) -> list[str]:
        """A zxid of this slice that an earlier one was acknowledged under; those of the slice itself are known."""
        findings = []
        zxids = np.unique(ops.zxid[ops.writes])
        for epoch in np.unique(zxids >> COUNTER_BITS).tolist():
            counters = zxids[zxids >> COUNTER_BITS == epoch] & ((1 << COUNTER_BITS) - 1)
            seen = self._room(epoch, int(counters[-1]))
            bits = (1 << (counters & 7)).astype(np.uint8)
            again = counters[(seen[counters >> 3] & bits) != 0]
            if len(again):
                findings.append(f"zxid {show((epoch << COUNTER_BITS) + int(again[0]))} was acknowledged before"
                                f"{times(len(again))}")  # fmt: skip
            np.bitwise_or.at(seen, counters >> 3, bits)
        return findings

    def _room(self, epoch: int, counter: int) -> Bits:
        """The epoch's bits, with room for this counter."""
        seen = self._seen.get(epoch, np.zeros(0, np.uint8))
        if counter >> 3 >= len(seen):
            seen = np.concatenate((seen, np.zeros(max(len(seen), (counter >> 3) + 1 - len(seen)), np.uint8)))
        self._seen[epoch] = seen
        return seen

    def _keep_last(self, ops: Operations) -> None:
        rows = ops.writes[ops.key[ops.writes] >= 0]
        rows = rows[np.argsort(ops.zxid[rows], kind="stable")]
        newest = np.full(len(self._paths), -1, np.int64)
        newest[ops.key[rows]] = rows  # of a key's several rows the last one stays
        keys = np.flatnonzero(newest >= 0)
        keys = keys[ops.zxid[newest[keys]] > self._last["zxid"][keys]]
        rows = newest[keys]
        sessions = np.array(ops.session_ids, np.int64)[ops.session[rows]]
        columns = {"client": ops.client, "cxid": ops.cxid, "zxid": ops.zxid, "version": ops.version}
        for name, column in columns.items():
            self._last[name][keys] = column[rows]
        self._last["session"][keys] = sessions

    # -- the end

    def _condensed(self) -> list[History]:
        """Of each key its greatest acknowledged write, and the unknown writes, as if there had been no others."""
        rows: dict[int, list[tuple[int, int, int, int, int, int]]] = {}
        last = {name: column.tolist() for name, column in self._last.items()}
        for key, zxid in enumerate(last["zxid"]):
            if zxid >= 0:
                row = (last["cxid"][key], last["session"][key], key, Outcome.ACKNOWLEDGED, zxid, last["version"][key])
                rows.setdefault(last["client"][key], []).append(row)
        for client, session, cxid, key in self._unknown:
            rows.setdefault(client, []).append((cxid, session, key, Outcome.UNKNOWN, -1, -1))
        return [_history(client, sorted(its_rows)) for client, its_rows in sorted(rows.items())]

    def _in_too_few_logs(self, replicas: Sequence[ReplicaState], voters: int) -> tuple[int, int]:
        """(how many acknowledged zxids, the first of them)."""
        count, first = 0, -1
        for epoch, seen in sorted(self._seen.items()):
            for begin in range(0, len(seen), CHUNK >> 3):
                bits = np.unpackbits(seen[begin : begin + (CHUNK >> 3)], bitorder="little")
                zxids = (epoch << COUNTER_BITS) + 8 * begin + np.flatnonzero(bits)
                few = zxids[too_few_copies(zxids, replicas, voters)]
                count, first = count + len(few), int(few[0]) if len(few) and first < 0 else first
        return count, first

    def _keys_behind(self, replicas: Sequence[ReplicaState], voters: int) -> int:
        """Keys whose greatest acknowledged write some replica's node is older than, though enough logs hold it."""
        behind = np.zeros(len(self._paths), np.bool_)
        for replica in replicas:
            nodes = (replica.nodes.get(path) for path in self._paths)
            held = np.array([-1 if node is None else node.mzxid for node in nodes], np.int64)
            behind |= held < self._last["zxid"]
        order = np.argsort(self._last["zxid"], kind="stable")
        behind[order[too_few_copies(self._last["zxid"][order], replicas, voters)]] = False
        return int(np.count_nonzero(behind))


def _history(client: int, rows: Sequence[tuple[int, int, int, int, int, int]]) -> History:
    sessions = sorted({session for _, session, *_ in rows})
    history = History(client, sessions)
    for cxid, session, key, outcome, zxid, version in rows:
        known = {"kind": Kind.WRITE, "session": sessions.index(session), "cxid": cxid, "key": key, "outcome": outcome,
                 "zxid": zxid, "version": version, "sent_ns": 0, "done_ns": 0}  # fmt: skip
        for name, _ in COLUMNS:
            history.columns[name].append(known.get(name, -1))
    return history
