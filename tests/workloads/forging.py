"""Small histories of a correct service for tests to damage, and a slow checker with no code of the fast one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lab.client.history import History, Kind, Outcome, ReplicaState, Znode
from workloads.kinds.read_mix import path_of
from workloads.values import value_of, writer_of

SEED, VALUE_BYTES = 7, 24
EPOCH = 1 << 32


@dataclass
class Trial:
    histories: list[History]
    replicas: list[ReplicaState]
    keys: int

    @property
    def paths(self) -> list[str]:
        return [path_of(key) for key in range(self.keys)]

    def rows(self, kind: Kind, outcome: Outcome) -> list[tuple[History, int]]:
        return [
            (history, row)
            for history in self.histories
            for row in range(len(history))
            if history.columns["kind"][row] == kind and history.columns["outcome"][row] == outcome
        ]


def add_row(history: History, **columns: int) -> None:
    for name, column in history.columns.items():
        column.append(columns.get(name, -1))


class Service:
    """One register per key, applied at once; replicas are equal and have full logs."""

    def __init__(self, rng: random.Random, clients: int, sessions: int, keys: int) -> None:
        self.rng, self.keys = rng, keys
        self.histories = [History(c, [c << 8 | s for s in range(sessions)]) for c in range(1, clients + 1)]
        self.nodes: dict[str, Znode] = {}
        self.zxid, self.now = EPOCH, 0
        self.took_effect: dict[str, int] = {}
        self.cxids = dict.fromkeys(range(1, clients + 1), 0)

    def write(self, history: History, session: int, key: int, outcome: Outcome, effective: bool = True) -> None:
        client = history.client
        cxid = self._next_cxid(client)
        sent = self.now
        zxid = version = -1
        if outcome != Outcome.UNKNOWN or effective:
            self.zxid += 1
        if outcome == Outcome.FAILED:
            zxid = self.zxid
        elif outcome == Outcome.ACKNOWLEDGED or effective:
            before = self.nodes.get(path_of(key))
            new_version = 0 if before is None else before.version + 1
            czxid = self.zxid if before is None else before.czxid
            data = value_of(SEED, client, cxid, VALUE_BYTES)
            self.nodes[path_of(key)] = Znode(czxid, self.zxid, new_version, data)
            if outcome == Outcome.ACKNOWLEDGED:
                zxid, version = self.zxid, new_version
            else:
                self.took_effect[f"{history.sessions[session]}:{cxid}"] = self.zxid
        done = 0 if outcome == Outcome.UNKNOWN else self.now
        add_row(
            history,
            kind=Kind.WRITE,
            session=session,
            cxid=cxid,
            key=key,
            sent_ns=sent,
            done_ns=done,
            outcome=outcome,
            zxid=zxid,
            version=version,
        )

    def read(self, history: History, session: int, key: int, checked: bool) -> None:
        cxid = self._next_cxid(history.client)
        base = {
            "kind": Kind.READ,
            "session": session,
            "cxid": cxid,
            "key": key,
            "sent_ns": self.now,
            "done_ns": self.now,
            "outcome": Outcome.ACKNOWLEDGED,
        }
        if not checked:
            add_row(history, **base)
            return
        node = self.nodes[path_of(key)]
        writer, writer_cxid = writer_of(node.data) or (-1, -1)
        add_row(
            history,
            **base,
            zxid=self.zxid,
            mzxid=node.mzxid,
            writer=writer,
            writer_cxid=writer_cxid,
            version=node.version,
            intact=1,
        )

    def _next_cxid(self, client: int) -> int:
        self.now += 1
        self.cxids[client] += 1
        return self.cxids[client]

    def replicas(self, servers: int, observers: int, logs: bool) -> list[ReplicaState]:
        roles = ["leader", *["follower"] * (servers - observers - 1), *["observer"] * observers]
        return [
            ReplicaState(
                server=server,
                role=role,
                applied_zxid=self.zxid,
                digest=99,
                nodes=dict(self.nodes),
                log=[(EPOCH + 1, self.zxid)] if logs else None,
                took_effect=dict(self.took_effect) if logs else {},
            )
            for server, role in enumerate(roles, 1)
        ]


def make_trial(
    seed: int = 1,
    *,
    operations: int = 60,
    clients: int = 2,
    sessions: int = 2,
    keys: int = 3,
    servers: int = 4,
    observers: int = 1,
    logs: bool = True,
    sampled: float = 0.8,
) -> Trial:
    """A trial in which nothing is wrong."""
    rng = random.Random(seed)
    service = Service(rng, clients, sessions, keys)
    for key in range(keys):
        service.write(service.histories[0], 0, key, Outcome.ACKNOWLEDGED)
    for _ in range(operations):
        history, session, key = rng.choice(service.histories), rng.randrange(sessions), rng.randrange(keys)
        if rng.random() < 0.4:
            service.read(history, session, key, rng.random() < sampled)
        else:
            outcome = rng.choices(list(Outcome), (8, 1, 2))[0]
            service.write(history, session, key, outcome, effective=rng.random() < 0.6)
    return Trial(service.histories, service.replicas(servers, observers, logs), keys)


# -- the slow checker ---------------------------------------------------------------------------------------------


def is_right(trial: Trial) -> bool:
    """Rule by rule over plain dicts."""
    rows = [
        {
            "client": h.client,
            "sid": h.sessions[h.columns["session"][i]],
            **{name: column[i] for name, column in h.columns.items()},
        }
        for h in trial.histories
        for i in range(len(h))
    ]
    clients_right = _sessions_right(trial, rows) and _reads_right(rows)
    return clients_right and _replicas_right(trial, rows) and _logs_right(trial, rows)


def _acknowledged(rows: Sequence[dict], kind: Kind) -> list[dict]:
    return [r for r in rows if r["kind"] == kind and r["outcome"] == Outcome.ACKNOWLEDGED]


def _sessions_right(trial: Trial, rows: list[dict]) -> bool:
    writes = _acknowledged(rows, Kind.WRITE)
    zxids = [w["zxid"] for w in writes]
    if len(set(zxids)) != len(zxids) or any(z <= 0 for z in zxids):
        return False
    for history in trial.histories:
        cxids = list(history.columns["cxid"])
        if cxids != sorted(set(cxids)):
            return False
    for sid in {r["sid"] for r in rows}:
        mine = [r for r in rows if r["sid"] == sid]
        seen = [r["zxid"] for r in mine if r["zxid"] > 0]
        written = [r["zxid"] for r in mine if r in writes]
        done = [r["done_ns"] for r in mine if r["done_ns"] > 0]
        if seen != sorted(seen) or written != sorted(set(written)) or done != sorted(done):
            return False
    return all(r["done_ns"] >= r["sent_ns"] for r in rows if r["done_ns"] > 0)


def _reads_right(rows: list[dict]) -> bool:
    writes = {(r["client"], r["cxid"]): r for r in rows if r["kind"] == Kind.WRITE}
    acknowledged = {r["zxid"] for r in _acknowledged(rows, Kind.WRITE)}
    unknown: set[tuple] = set()
    seen: dict[tuple, int] = {}
    for r in rows:
        if r["outcome"] != Outcome.ACKNOWLEDGED or r["key"] < 0:
            continue
        at = r["zxid"]
        if r["kind"] == Kind.READ:
            if r["intact"] == -1:
                continue
            origin = writes.get((r["writer"], r["writer_cxid"]))
            if r["intact"] == 0 or origin is None or origin["key"] != r["key"] or r["mzxid"] > r["zxid"]:
                return False
            if origin["outcome"] == Outcome.FAILED:
                return False
            if origin["outcome"] == Outcome.ACKNOWLEDGED:
                if (r["mzxid"], r["version"]) != (origin["zxid"], origin["version"]):
                    return False
            else:
                if r["mzxid"] in acknowledged:
                    return False
                unknown.add((r["writer"], r["writer_cxid"], r["mzxid"]))
            at = r["mzxid"]
        if at < seen.get((r["sid"], r["key"]), 0):
            return False
        seen[r["sid"], r["key"]] = at
    return len({(c, x) for c, x, _ in unknown}) == len(unknown) == len({z for _, _, z in unknown})


def _replicas_right(trial: Trial, rows: list[dict]) -> bool:
    writes = _acknowledged(rows, Kind.WRITE)
    unknown = {(r["client"], r["cxid"]): r for r in rows if r["kind"] == Kind.WRITE and r["outcome"] == Outcome.UNKNOWN}
    effects: dict[str, int] = {}
    for replica in trial.replicas:
        for name, zxid in replica.took_effect.items():
            if effects.setdefault(name, zxid) != zxid:
                return False
    known = [r for r in unknown.values() if effects.get(f"{r['sid']}:{r['cxid']}", -1) >= 0]
    at = [effects[f"{r['sid']}:{r['cxid']}"] for r in known]
    if len(set(at)) != len(at) or set(at) & {w["zxid"] for w in writes}:
        return False
    complete = any(r.log is not None and not any(a <= 0 < b for a, b in r.log) for r in trial.replicas)
    digests: dict[int, int] = {}
    for replica in trial.replicas:
        if replica.digest is not None and digests.setdefault(replica.applied_zxid, replica.digest) != replica.digest:
            return False
        if any(w["zxid"] > replica.applied_zxid for w in writes):
            return False
        for key, path in enumerate(trial.paths):
            mine = sorted((w for w in writes if w["key"] == key), key=lambda w: w["zxid"])
            versions = [w["version"] for w in mine]
            if versions != sorted(set(versions)):
                return False
            node = replica.nodes.get(path)
            if node is None:
                if mine:
                    return False
                continue
            if mine and node.mzxid < mine[-1]["zxid"]:
                return False
            if mine and node.mzxid == mine[-1]["zxid"]:
                origin = mine[-1]
            else:
                origin = unknown.get(writer_of(node.data))
            if origin is None or origin["key"] != key:
                return False
            if node.data != value_of(SEED, origin["client"], origin["cxid"], VALUE_BYTES):
                return False
            sets = sum(w["version"] != 0 for w in mine)
            maybe = [r for r in unknown.values() if r["key"] == key]
            sure = sum(r["key"] == key and z <= replica.applied_zxid for r, z in zip(known, at, strict=True))
            allowed = [sets + sure] if complete else range(sets, sets + len(maybe) + 1)
            if node.version not in allowed:
                return False
    return True


def _logs_right(trial: Trial, rows: list[dict]) -> bool:
    voters = [r for r in trial.replicas if r.role != "observer"]
    if all(r.log is None for r in voters):
        return True
    return all(
        2 * sum(any(a <= w["zxid"] <= b for a, b in r.log or []) for r in voters) > len(voters)
        for w in _acknowledged(rows, Kind.WRITE)
    )
