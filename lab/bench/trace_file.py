"""Sampled writes as a file for ui.perfetto.dev or chrome://tracing (Chrome's Trace Event Format, JSON).

One row group per server and client, one slice per thing that was done, and through them one flow of arrows per frame:
request, proposal, acknowledgement, commit, reply.  What a server did to a batch is one slice for all of it, and so are
writes that were sent in one frame and answered in one; they share an arrow, and the numbers of the first of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lab.bench.anatomy import CHAIN, Ways
from lab.bench.markers import ServerMarkers, pick
from lab.targets.hops import HopMarks

WRITES_MAX = 1_000  # shown, evenly spread over the window; a viewer grows slow with many more
SLOWEST_MAX = 50  # and the slowest of all
CLIENT_PIDS = 100  # rows of clients are numbered from here, those of servers by their ids

Event = dict[str, Any]


def check_writable(path: Path) -> None:
    """Raise OSError if the file could not be written; one that was not there is not there afterwards."""
    existed = path.exists()
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()


def write_trace(path: Path, ways: Ways, marks: Sequence[HopMarks], roles: Mapping[int, str], start_ns: int) -> None:
    """`ways` are whole ones; times in the file count from `start_ns`.  Raises OSError."""
    shown = ways.where(_chosen(ways))
    document = {
        "traceEvents": trace_events(shown, marks, roles, start_ns),
        "displayTimeUnit": "ns",
        "otherData": {"writes sampled": len(ways.zxid), "writes shown": len(shown.zxid)},
    }
    path.write_bytes(orjson.dumps(document))


def _chosen(ways: Ways) -> "np.ndarray[tuple[int], np.dtype[np.bool]]":
    count = len(ways.zxid)
    chosen = np.zeros(count, dtype=np.bool)
    if count:
        by_time = np.argsort(ways.moments[:, 0], kind="stable")
        chosen[by_time[np.linspace(0, count - 1, min(count, WRITES_MAX)).astype(np.int64)]] = True
        chosen[np.argsort(ways.moments[:, -1] - ways.moments[:, 0])[-SLOWEST_MAX:]] = True
    return chosen


def trace_events(ways: Ways, marks: Sequence[HopMarks], roles: Mapping[int, str], start_ns: int) -> list[Event]:
    rows = _Rows(start_ns)
    batches = _Batches(ways, [ServerMarkers(each) for each in marks])
    for index in range(len(ways.zxid)):
        _Write(ways, index, rows, batches).draw()
    clients = sorted(set(ways.client.tolist()))
    names = {CLIENT_PIDS + client: f"client {client}" for client in clients}
    names |= {each.server: f"server {each.server}, {roles.get(each.server, 'looking')}" for each in marks}
    return [*_names(names), *rows.events()]


def _names(names: Mapping[int, str]) -> Iterator[Event]:
    """Clients first, then the leader, then the others."""
    order = sorted(names, key=lambda pid: (pid < CLIENT_PIDS, "leader" not in names[pid], pid))
    for place, pid in enumerate(order):
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": names[pid]}}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": place}}


class _Slice:
    """One thing that was done, in a row group; `lane` is its row there, once all are known."""

    def __init__(self, pid: int, name: str, begin_ns: int, end_ns: int, args: dict[str, Any]) -> None:
        self.pid, self.name, self.begin_ns, self.end_ns, self.args = pid, name, begin_ns, end_ns, args
        self.lane = 0


class _Rows:
    """Gathers slices and flows, and puts slices that overlap into rows beside each other."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._slices: dict[tuple[int, str, int, int], _Slice] = {}
        self._flows: list[list[tuple[_Slice, int]]] = []

    def add(self, pid: int, name: str, begin_ns: int, end_ns: int, **args: Any) -> _Slice:
        """The slice; the one that is there already if it is the same."""
        key = (pid, name, begin_ns, end_ns)
        if key not in self._slices:
            self._slices[key] = _Slice(pid, name, begin_ns, end_ns, args)
        return self._slices[key]

    def has(self, pid: int, name: str, begin_ns: int, end_ns: int) -> bool:
        return (pid, name, begin_ns, end_ns) in self._slices

    def flow(self, steps: list[tuple[_Slice, int]]) -> None:
        """Arrows from slice to slice, each touched at that time."""
        self._flows.append(steps)

    def events(self) -> Iterator[Event]:
        self._lay_out()
        for each in self._slices.values():
            yield {
                "ph": "X", "name": each.name, "cat": "zab", "pid": each.pid, "tid": each.lane,
                "ts": self._us(each.begin_ns), "dur": (each.end_ns - each.begin_ns) / 1e3, "args": each.args,
            }  # fmt: skip
        for number, steps in enumerate(self._flows, 1):
            for place, (at, at_ns) in enumerate(steps):
                kind = "s" if place == 0 else "f" if place == len(steps) - 1 else "t"
                event = {
                    "ph": kind, "name": "write", "cat": "flow", "id": number, "pid": at.pid, "tid": at.lane,
                    "ts": self._us(at_ns),
                }  # fmt: skip
                yield {**event, "bp": "e"} if kind == "f" else event

    def _us(self, at_ns: int) -> float:
        return (at_ns - self._start_ns) / 1e3

    def _lay_out(self) -> None:
        ends: dict[int, list[int]] = {}  # of the last slice in each row of a group
        for each in sorted(self._slices.values(), key=lambda slice_: (slice_.begin_ns, slice_.end_ns)):
            rows = ends.setdefault(each.pid, [])
            each.lane = next((lane for lane, end_ns in enumerate(rows) if end_ns <= each.begin_ns), len(rows))
            rows[each.lane : each.lane + 1] = [each.end_ns]


class _Batches:
    """When every server, not only the one that closed the quorum, logged the batches of these writes."""

    def __init__(self, ways: Ways, servers: Sequence[ServerMarkers]) -> None:
        self._moments: dict[int, dict[str, list[int]]] = {}
        for server in servers:
            found = self._moments[server.server] = {}
            for hop in ("proposal", "appended", "flushed", "acked", "applied"):
                markers = server[hop]
                found[hop] = pick(markers.at_ns, markers.covering(ways.zxid)).tolist()

    def voters(self, index: int, leader: int) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
        """The followers that voted for a write: proposal, appended, flushed, acked."""
        for server, found in self._moments.items():
            moments = tuple(found[hop][index] for hop in ("proposal", "appended", "flushed", "acked"))
            if server != leader and min(moments) >= 0:
                yield server, moments  # type: ignore[misc]

    def at(self, server: int, hop: str, index: int) -> int:
        return self._moments[server][hop][index]


class _Write:
    """One sampled write and its batch."""

    def __init__(self, ways: Ways, index: int, rows: _Rows, batches: _Batches) -> None:
        self._rows, self._batches, self._index = rows, batches, index
        self._ns = dict(zip(CHAIN, ways.moments[index].tolist(), strict=True))
        self._attached, self._leader, self._closer = (
            int(column[index]) for column in (ways.attached, ways.leader, ways.closer)
        )
        self._client = CLIENT_PIDS + int(ways.client[index])
        self._batch = {"txns": int(ways.batch_txns[index])}
        latency_us = (self._ns["done"] - self._ns["intended"]) / 1e3
        self._own = {
            "zxid": f"{int(ways.zxid[index]):#x}", "cxid": int(ways.cxid[index]), "latency_us": latency_us,
            **self._batch, "quorum closed by": f"server {self._closer}",
        }  # fmt: skip

    def draw(self) -> None:
        ns = self._ns
        if ns["intended"] < ns["sent"]:
            self._slice(self._client, "due", "intended", "sent", self._own)
        is_new = not self._rows.has(self._client, "write", ns["sent"], ns["done"])
        write = self._slice(self._client, "write", "sent", "done", self._own)
        arrows = [*self._propose(), *self._vote(), *self._answer()]
        if is_new:
            self._rows.flow([(write, ns["sent"]), *arrows, (write, ns["done"] - 1)])

    def _slice(self, pid: int, name: str, begin: str, end: str, args: dict[str, Any]) -> _Slice:
        return self._rows.add(pid, name, self._ns[begin], self._ns[end], **args)

    def _propose(self) -> Iterator[tuple[_Slice, int]]:
        ns, leader = self._ns, self._leader
        if self._attached != leader:
            yield self._slice(self._attached, "accept", "received", "forwarded", {}), ns["received"]
        yield self._slice(leader, "prepare", "requested", "proposed", self._batch), ns["requested"]
        self._slice(leader, "own append", "proposed", "logged", self._batch)
        yield self._slice(leader, "publish", "logged", "offered", self._batch), ns["logged"]

    def _vote(self) -> Iterator[tuple[_Slice, int]]:
        """Every voter's part; the arrows pass the one that closed the quorum."""
        ns, leader, rows = self._ns, self._leader, self._rows
        flushed_ns = self._batches.at(leader, "flushed", self._index)
        if flushed_ns >= ns["offered"]:
            flush = rows.add(leader, "send, flush", ns["offered"], flushed_ns, **self._batch)
            if self._closer == leader:
                yield flush, ns["offered"]
        for voter, (proposal, appended, flushed, acked) in self._batches.voters(self._index, leader):
            append = rows.add(voter, "append", proposal, appended, **self._batch)
            rows.add(voter, "flush", appended, flushed, **self._batch)
            acknowledge = rows.add(voter, "acknowledge", flushed, acked)
            if voter == self._closer:
                yield append, proposal
                yield acknowledge, flushed

    def _answer(self) -> Iterator[tuple[_Slice, int]]:
        ns, leader, rows = self._ns, self._leader, self._rows
        applied_ns = self._batches.at(leader, "applied", self._index)
        if applied_ns >= ns["ack"]:  # the way of a write that another server answers does not lead there
            yield rows.add(leader, "commit", ns["ack"], applied_ns, **self._batch), ns["ack"]
        if self._attached != leader:
            yield self._slice(self._attached, "apply", "commit", "applied", self._batch), ns["commit"]
        yield self._slice(self._attached, "answer", "applied", "replied", self._batch), ns["applied"]
