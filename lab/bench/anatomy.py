"""Where a write's time goes: the hop markers of the servers, joined with what the clients saw (zab.md appendix B).

The way of a write is a chain of moments, from the one at which it was meant to be sent to the one at which its reply
was seen; a hop is the time between two neighbours, so the hops of a write add up to its latency.  The chain follows the
voter that closed the quorum: how long the others took, the trace shows (`lab.bench.trace_file`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.bench.latency import percentiles
from lab.bench.markers import MISSING, Markers, Numbers, ServerMarkers, pick
from lab.bench.record import Anatomy, HopTimes
from lab.bench.tally import column
from lab.client.history import History, Kind, Outcome
from lab.targets.hops import HopMarks

CHAIN = (  # moments in their order; "taken": from the link, in the reader's turn; "handed": to the link
    "intended",  # when it was to be sent; in a closed loop, when it was
    "sent",  # handed to the link by the load process
    "received",  # taken by the server that holds the session
    "forwarded",  # handed on to the leader; at the leader itself as before
    "requested",  # taken by the leader; likewise
    "proposed",  # in a batch, validated and encoded
    "logged",  # written to the leader's log
    "offered",  # the proposal handed to the followers
    "proposal",  # taken by the voter that closed the quorum; if that is the leader as before
    "appended",  # written to its log; likewise
    "flushed",  # durable there
    "acked",  # acknowledgement handed over; at the leader itself as before
    "ack",  # taken by the leader; likewise
    "committed",  # counted: a quorum has it
    "informed",  # COMMIT or INFORM handed to the server that holds the session; at the leader as before
    "commit",  # taken there; likewise
    "applied",  # in the tree, the reply made
    "replied",  # handed over
    "done",  # seen by the load process
)

HOPS = (  # what lies between two neighbours; a link is also the time until its reader wakes and has finished its turn
    "schedule",
    "request link",
    "accept",
    "forward link",
    "prepare",
    "own append",
    "publish",
    "proposal link",
    "append",
    "flush",
    "acknowledge",
    "ack link",
    "count",
    "announce",
    "commit link",
    "apply",
    "answer",
    "reply link",
)

assert len(HOPS) == len(CHAIN) - 1

_AT = {moment: place for place, moment in enumerate(CHAIN)}

Mask = NDArray[np.bool]

EVERY = 4  # one in so many zxids is sampled
MARKS_PER_S = 100_000  # room for them at each server; of 40 bytes, that are memory only once they are used
MARKS_MAX = 1 << 22

MEDIAN_BAND = (0.45, 0.55)  # of the samples, by latency
SLOWEST_SHARE = 0.01


def marks_max(seconds: float) -> int:
    """How many markers a server keeps for a window of that length; at one outstanding a leader makes 3.5 a write."""
    return min(MARKS_MAX, int((1 + seconds) * MARKS_PER_S))


class Ways(NamedTuple):
    """Sampled writes, one row each in every column; moments are MISSING (-1) where nobody marked them."""

    client: Numbers
    session: Numbers  # id
    cxid: Numbers
    zxid: Numbers
    attached: Numbers  # server that holds the session
    leader: Numbers
    closer: Numbers  # server whose disk closed the quorum
    batch_txns: Numbers
    moments: Numbers  # one column for each of CHAIN

    @property
    def is_complete(self) -> Mask:
        return np.all(self.moments != MISSING, axis=1)  # type: ignore[no-any-return]

    @property
    def is_ordered(self) -> Mask:
        return np.all(np.diff(self.moments, axis=1) >= 0, axis=1)  # type: ignore[no-any-return]

    def where(self, chosen: Mask) -> "Ways":
        return Ways(*(each[chosen] for each in self))


def sampled_writes(histories: Sequence[History], every: int, start_ns: int, end_ns: int) -> Ways:
    """The writes of sampled zxids that were sent and acknowledged within the window, with what their clients know."""
    parts = []
    for history in histories:
        sent, done, zxid = (column(history, name) for name in ("sent_ns", "done_ns", "zxid"))
        chosen = (
            (column(history, "kind") == Kind.WRITE) & (column(history, "outcome") == Outcome.ACKNOWLEDGED)
            & (zxid % every == 0) & (sent >= start_ns) & (done < end_ns)
        )  # fmt: skip
        rows = np.flatnonzero(chosen)
        moments = np.full((len(rows), len(CHAIN)), MISSING, dtype=np.int64)
        moments[:, _AT["intended"]] = sent[rows]
        actual = "actual_ns" if "actual_ns" in history.columns else "sent_ns"  # of an open loop, and of a closed one
        moments[:, _AT["sent"]] = column(history, actual)[rows]
        moments[:, _AT["done"]] = done[rows]
        nobody = np.full(len(rows), MISSING, dtype=np.int64)
        sessions = np.array(history.sessions, dtype=np.int64)[column(history, "session")[rows]]
        clients = np.full(len(rows), history.client, dtype=np.int64)
        known = (clients, sessions, column(history, "cxid")[rows], zxid[rows])
        parts.append(Ways(*known, nobody, nobody, nobody, nobody, moments))
    return Ways(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def follow(ways: Ways, marks: Sequence[HopMarks]) -> Ways:
    """The writes with every moment that the servers marked."""
    return _Join(ways, [ServerMarkers(each) for each in marks]).followed()


class _Join:
    """Fills in one moment after the other, for all writes at once."""

    def __init__(self, ways: Ways, servers: Sequence[ServerMarkers]) -> None:
        self._ways = Ways(*(each.copy() for each in ways))
        self._servers = servers
        self._frame = np.full(len(ways.zxid), MISSING, dtype=np.int64)  # number of the one that was forwarded

    def followed(self) -> Ways:
        for server in self._servers:
            self._attach(server)
        for server in self._servers:
            self._lead(server)
        for server in self._servers:
            self._vote(server)
            self._answer(server)
        return self._ways

    def _set(self, rows: Numbers, **moments: Numbers) -> None:
        for moment, at_ns in moments.items():
            self._ways.moments[rows, _AT[moment]] = at_ns

    def _get(self, rows: Numbers, moment: str) -> Numbers:
        values: Numbers = self._ways.moments[rows, _AT[moment]]
        return values

    def _attach(self, server: ServerMarkers) -> None:
        """Which requests this server took from their client, and when it handed them on, if it did."""
        ways, received, forwarded = self._ways, server["received"], server["forwarded"]
        for session in np.unique(received.about).tolist():
            rows = np.flatnonzero((ways.session == session) & (ways.attached == MISSING))
            at_ns = _at(received.of(session), ways.cxid[rows])
            here = (at_ns >= self._get(rows, "sent")) & (at_ns <= self._get(rows, "done"))
            rows = rows[here]
            ways.attached[rows] = server.server
            handed_on = forwarded.of(session)
            places = handed_on.covering(ways.cxid[rows])
            self._frame[rows] = pick(handed_on.number, places)
            self._set(rows, received=at_ns[here], forwarded=pick(handed_on.at_ns, places))

    def _lead(self, server: ServerMarkers) -> None:
        """Which writes this server proposed, in which batch, and who closed their quorum."""
        ways, proposed, committed = self._ways, server["proposed"], server["committed"]
        places = proposed.covering(ways.zxid)
        count = pick(proposed.number, places)
        rows = np.flatnonzero((places >= 0) & (ways.zxid > pick(proposed.key, places) - count))
        zxids, decided = ways.zxid[rows], committed.covering(ways.zxid[rows])
        ways.leader[rows], ways.batch_txns[rows] = server.server, count[rows]
        ways.closer[rows] = pick(committed.about, decided)
        self._set(
            rows,
            proposed=proposed.at_ns[places[rows]],
            logged=_at(server["appended"], zxids),
            offered=_at(server["sent"], zxids),
            committed=pick(committed.at_ns, decided),
            informed=_at(server["informed"], zxids),
        )
        own = rows[ways.attached[rows] == server.server]
        self._set(own, forwarded=self._get(own, "received"), requested=self._get(own, "received"))
        self._set(own, informed=self._get(own, "committed"), commit=self._get(own, "committed"))
        requested = server["requested"]
        for learner in np.unique(requested.about).tolist():
            theirs = rows[ways.attached[rows] == learner]
            frames = requested.of(learner)
            self._set(theirs, requested=pick(frames.at_ns, frames.exactly(self._frame[theirs])))
        for relay in self._servers:
            self._relay(rows, relay, requested.of(relay.server))

    def _relay(self, rows: Numbers, relay: ServerMarkers, requested: Markers) -> None:
        """Of these writes, those that the leader took from a relay, which numbers an observer's frames anew."""
        relayed = relay["relayed"]
        for observer in np.unique(relayed.about).tolist():
            theirs = rows[self._ways.attached[rows] == observer]
            by_number = relayed.of(observer)
            by_number = by_number._replace(key=by_number.number, number=by_number.key)
            frames = pick(by_number.number, by_number.exactly(self._frame[theirs]))
            self._set(theirs, requested=pick(requested.at_ns, requested.exactly(frames)))

    def _vote(self, server: ServerMarkers) -> None:
        """The writes whose quorum this server's disk closed."""
        ways = self._ways
        rows = np.flatnonzero(ways.closer == server.server)
        self._set(rows, flushed=_at(server["flushed"], ways.zxid[rows]))
        own = rows[ways.leader[rows] == server.server]
        self._set(own, proposal=self._get(own, "offered"), appended=self._get(own, "offered"))
        self._set(own, acked=self._get(own, "flushed"), ack=self._get(own, "flushed"))
        rows = rows[ways.leader[rows] != server.server]
        for moment in ("proposal", "appended", "acked"):
            self._set(rows, **{moment: _at(server[moment], ways.zxid[rows])})
        for leader in self._servers:
            theirs = rows[ways.leader[rows] == leader.server]
            self._set(theirs, ack=_at(leader["ack"].of(server.server), ways.zxid[theirs]))

    def _answer(self, server: ServerMarkers) -> None:
        """The writes that this server answered."""
        ways = self._ways
        rows = np.flatnonzero(ways.attached == server.server)
        for moment in ("applied", "replied"):
            self._set(rows, **{moment: _at(server[moment], ways.zxid[rows])})
        learning = rows[ways.leader[rows] != server.server]
        self._set(learning, commit=_at(server["commit"], ways.zxid[learning]))


def _at(markers: Markers, keys: Numbers) -> Numbers:
    return pick(markers.at_ns, markers.covering(keys))


def dissect(
    histories: Sequence[History],
    marks: Sequence[HopMarks],
    roles: Mapping[int, str],
    every: int,
    start_ns: int,
    end_ns: int,
) -> tuple[Ways, Anatomy]:
    """The sampled writes of the window whose way is known from end to end, and what they say together."""
    ways = follow(sampled_writes(histories, every, start_ns, end_ns), marks)
    complete = ways.where(ways.is_complete)
    whole = complete.where(complete.is_ordered)
    return whole, Anatomy(
        every=every,
        samples=len(whole.zxid),
        incomplete=len(ways.zxid) - len(complete.zxid),
        disordered=len(complete.zxid) - len(whole.zxid),
        dropped=sum(each.dropped for each in marks),
        **_summary(whole, roles),
    )


def _summary(ways: Ways, roles: Mapping[int, str]) -> dict[str, Any]:
    if not len(ways.zxid):
        return {}
    latency = ways.moments[:, -1] - ways.moments[:, 0]
    order = np.argsort(latency, kind="stable")
    low, high = (int(len(order) * share) for share in MEDIAN_BAND)
    median, slowest = order[low : high + 1], order[-max(1, int(len(order) * SLOWEST_SHARE)) :]
    hops = np.diff(ways.moments, axis=1)
    passed = _passed(ways)
    return {
        "latency_us": percentiles(latency),
        "median_us": float(latency[median].mean()) / 1e3,
        "slowest_us": float(latency[slowest].mean()) / 1e3,
        "batch_txns": float(ways.batch_txns.mean()),
        "hops": {
            hop: _times(hops[:, place], passed[hop], median, slowest)
            for place, hop in enumerate(HOPS)
            if passed[hop].any()
        },
        "closers": _closers(ways, roles),
    }


def _passed(ways: Ways) -> dict[str, Mask]:
    """For each hop, whose way leads over it: a leader's own client needs no link to the leader, for example."""
    away, voted = ways.leader != ways.attached, ways.leader != ways.closer
    late = ways.moments[:, _AT["sent"]] > ways.moments[:, _AT["intended"]]
    some = {"schedule": late}
    some |= dict.fromkeys(("accept", "forward link", "announce", "commit link"), away)
    some |= dict.fromkeys(("proposal link", "append", "acknowledge", "ack link"), voted)
    return {hop: some.get(hop, np.ones(len(away), dtype=np.bool)) for hop in HOPS}


def _times(hop_ns: Numbers, passed: Mask, median: Numbers, slowest: Numbers) -> HopTimes:
    p50, p90, p99 = np.percentile(hop_ns[passed], (50, 90, 99)) / 1e3
    return HopTimes(
        n=int(passed.sum()),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        mean=float(hop_ns[passed].mean()) / 1e3,
        median=float(hop_ns[median].mean()) / 1e3,
        slowest=float(hop_ns[slowest].mean()) / 1e3,
    )


def _closers(ways: Ways, roles: Mapping[int, str]) -> dict[str, int]:
    """How many of the sampled batches each voter closed, by its number and role."""
    first = np.unique(ways.moments[:, _AT["committed"]], return_index=True)[1]
    counts = Counter(ways.closer[first].tolist())
    return {f"{server} {roles.get(server, 'looking')}": counts[server] for server in sorted(counts)}
