"""Where a write's time goes: what servers marked and clients saw becomes hops that add up; a trace shows them."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked_ensemble import SESSION, MarkedEnsemble

from lab.bench.anatomy import CHAIN, HOPS, Ways, dissect
from lab.bench.trace_file import trace_events, write_trace
from lab.client.history import History, Kind, Outcome
from lab.node.marking import Hop, write_marks
from lab.service.requests import Create
from lab.targets.hops import HopMarks, decode_hops
from lab.zab.messages import ServerState
from lab.zab.zxid import make_zxid

ROW = Struct("<5q")
ROLES = {1: "follower", 2: "follower", 3: "leader", 4: "observer"}
LEADER, OBSERVER = 3, 4
HOUR_NS = 3_600_000_000_000

Moments = dict[str, int]


class Forgery:
    """Histories and markers of writes whose moments are made up: each its own batch."""

    def __init__(self, attached: int, *, open_loop: bool = False) -> None:
        self.attached = attached
        self.history = History(0, [SESSION], open_loop=open_loop)
        self.rows: dict[int, list[tuple[int, ...]]] = {server: [] for server in ROLES}
        self.count = 0

    def mark(self, server: int, hop: Hop, key: int, at_ns: int, about: int = 0, number: int = 0) -> None:
        self.rows[server].append((hop, key, about, number, at_ns))

    def write(self, moments: Moments, closer: int) -> None:
        """One more write, by the moments of CHAIN; whoever else votes is not marked."""
        self.count += 1
        zxid, cxid, ns = make_zxid(1, self.count), self.count, moments
        row = {
            "kind": Kind.WRITE, "session": 0, "cxid": cxid, "key": 0, "sent_ns": ns["intended"], "done_ns": ns["done"],
            "outcome": Outcome.ACKNOWLEDGED, "zxid": zxid, "actual_ns": ns["sent"],
        }  # fmt: skip
        for name, column in self.history.columns.items():
            column.append(row.get(name, -1))
        self.mark(self.attached, Hop.RECEIVED, cxid, ns["received"], SESSION)
        if self.attached != LEADER:
            self.mark(self.attached, Hop.FORWARDED, cxid, ns["forwarded"], SESSION, 1000 + self.count)
            self.mark(LEADER, Hop.REQUESTED, 1000 + self.count, ns["requested"], self.attached)
            self.mark(LEADER, Hop.INFORMED, zxid, ns["informed"])
            self.mark(self.attached, Hop.COMMIT, zxid, ns["commit"])
        for hop, moment in ((Hop.PROPOSED, "proposed"), (Hop.APPENDED, "logged"), (Hop.SENT, "offered")):
            self.mark(LEADER, hop, zxid, ns[moment], 0, 1)
        if closer != LEADER:
            for hop, moment in ((Hop.PROPOSAL, "proposal"), (Hop.APPENDED, "appended"), (Hop.ACKED, "acked")):
                self.mark(closer, hop, zxid, ns[moment])
            self.mark(LEADER, Hop.ACK, zxid, ns["ack"], closer)
        self.mark(closer, Hop.FLUSHED, zxid, ns["flushed"])
        self.mark(LEADER, Hop.COMMITTED, zxid, ns["committed"], closer)
        self.mark(self.attached, Hop.APPLIED, zxid, ns["applied"])
        self.mark(self.attached, Hop.REPLIED, zxid, ns["replied"])

    def marks(self) -> list[HopMarks]:
        names = [hop.name.lower() for hop in Hop]
        return [HopMarks(s, names, b"".join(ROW.pack(*row) for row in rows), 0) for s, rows in self.rows.items()]

    def dissect(self, every: int = 1, start_ns: int = 0, end_ns: int = HOUR_NS) -> tuple[Ways, Any]:
        return dissect([self.history], self.marks(), ROLES, every, start_ns, end_ns)


def passed(attached: int, closer: int, *, open_loop: bool = False) -> list[str]:
    """The moments that the way of such a write has; the others are those before them."""
    away = ("forwarded", "requested", "informed", "commit")
    voted = ("proposal", "appended", "acked", "ack")
    skipped = {
        *(() if open_loop else ("sent",)),
        *(away if attached == LEADER else ()),
        *(voted if closer == LEADER else ()),
    }
    return [moment for moment in CHAIN if moment not in skipped]


def moments_of(steps: list[int], attached: int, closer: int, begin: int, *, open_loop: bool = False) -> Moments:
    """Each moment so many ns after the one before; those that the way does not have are as the one before."""
    there, moments, now = passed(attached, closer, open_loop=open_loop), Moments(), begin
    for moment, step in zip(CHAIN, steps, strict=True):
        now += step if moment in there else 0
        moments[moment] = now
    return moments


def chain(step: int = 10, attached: int = LEADER, closer: int = 1, begin: int = 1000) -> Moments:
    return moments_of([step] * len(CHAIN), attached, closer, begin)


# -- hops


STEPS = st.lists(st.integers(0, 1_000_000), min_size=len(CHAIN), max_size=len(CHAIN))


@given(
    attached=st.sampled_from([1, LEADER, OBSERVER]),
    open_loop=st.booleans(),
    writes=st.lists(st.tuples(STEPS, st.sampled_from([1, 2, LEADER])), min_size=1, max_size=30),
)
def test_every_moment_is_found_and_the_hops_add_up_to_the_latency(attached, open_loop, writes):
    forgery, expected, begin = Forgery(attached, open_loop=open_loop), [], 1000
    for steps, closer in writes:
        expected.append(moments_of(steps, attached, closer, begin, open_loop=open_loop))
        forgery.write(expected[-1], closer)
        begin = expected[-1]["done"] + 1
    ways, anatomy = forgery.dissect()
    assert [dict(zip(CHAIN, row, strict=True)) for row in ways.moments.tolist()] == expected
    assert ways.closer.tolist() == [closer for _, closer in writes]
    assert (anatomy.samples, anatomy.incomplete, anatomy.disordered) == (len(writes), 0, 0)
    hops = anatomy.hops.values()
    assert sum(hop.median for hop in hops) == pytest.approx(anatomy.median_us)
    assert sum(hop.slowest for hop in hops) == pytest.approx(anatomy.slowest_us)
    assert sum(hop.mean * hop.n for hop in hops) == pytest.approx(anatomy.latency_us.mean * anatomy.samples)


def test_hops_that_are_not_on_the_way_are_absent():
    forgery = Forgery(LEADER)
    forgery.write(chain(closer=LEADER), LEADER)
    _, anatomy = forgery.dissect()
    away = ["accept", "forward link", "announce", "commit link"]
    voted = ["proposal link", "append", "acknowledge", "ack link"]
    assert list(anatomy.hops) == [hop for hop in HOPS if hop not in (*away, *voted, "schedule")]


def test_each_hop_is_named_after_what_lies_between_its_moments():
    forgery = Forgery(1)
    steps = list(range(0, 1000 * len(CHAIN), 1000))
    forgery.write(moments_of(steps, 1, 2, 1000), 2)
    _, anatomy = forgery.dissect()
    wanted = {hop: float(place) for place, hop in enumerate(HOPS, 1) if hop != "schedule"}
    wanted["request link"] = 2.0  # sent at once
    assert {hop: times.p50 for hop, times in anatomy.hops.items()} == wanted


def test_a_write_that_was_sent_late_waited_for_its_load_process():
    forgery = Forgery(LEADER, open_loop=True)
    forgery.write({**chain(), "intended": 700}, 1)
    _, anatomy = forgery.dissect()
    assert anatomy.hops["schedule"].p50 == pytest.approx(0.31)  # meant to be sent at 700, sent at 1010
    assert anatomy.median_us == pytest.approx(sum(hop.median for hop in anatomy.hops.values()))


def test_a_write_with_a_missing_marker_is_counted_and_left_out():
    forgery = Forgery(LEADER)
    forgery.write(chain(), 1)
    forgery.write(chain(begin=5000), 1)
    del forgery.rows[1][-1]  # that its log was flushed
    ways, anatomy = forgery.dissect()
    assert (anatomy.samples, anatomy.incomplete) == (1, 1)
    assert ways.zxid.tolist() == [make_zxid(1, 1)]


def test_a_write_whose_moments_are_out_of_order_is_counted_and_left_out():
    forgery = Forgery(LEADER)
    forgery.write({**chain(), "proposal": 999}, 1)
    _, anatomy = forgery.dissect()
    assert (anatomy.samples, anatomy.disordered, anatomy.latency_us) == (0, 1, None)


def test_only_sampled_zxids_sent_and_acknowledged_within_the_window_count():
    forgery = Forgery(LEADER)
    for number in range(1, 13):
        forgery.write(chain(begin=1000 * number), 1)
    ways, _ = forgery.dissect(every=3, start_ns=4000, end_ns=11_500)
    assert ways.zxid.tolist() == [make_zxid(1, counter) for counter in range(1, 13) if make_zxid(1, counter) % 3 == 0
                                  and 4 <= counter <= 11]  # fmt: skip


def test_markers_that_found_no_room_are_counted():
    forgery = Forgery(LEADER)
    marks = [HopMarks(each.server, each.hops, each.rows, 5) for each in forgery.marks()]
    _, anatomy = dissect([forgery.history], marks, ROLES, 1, 0, HOUR_NS)
    assert (anatomy.samples, anatomy.dropped, anatomy.hops, anatomy.closers) == (0, 20, {}, {})


def test_batches_are_counted_by_the_voter_that_closed_their_quorum():
    forgery = Forgery(LEADER)
    for number, closer in enumerate((1, 2, 1, LEADER, 1)):
        forgery.write(chain(begin=1000 * (number + 1), closer=closer), closer)
    _, anatomy = forgery.dissect()
    assert anatomy.closers == {"1 follower": 3, "2 follower": 1, "3 leader": 1}


# -- with what servers really mark


def followed(
    attach: ServerState, frames: int, writes: int, tmp_path: Path, relays: int = 0
) -> tuple[Ways, Any, list[HopMarks], Any]:
    """A scripted client's writes, so many a frame, one frame after the other."""
    ensemble = MarkedEnsemble(attach, observers=1, relays=relays)
    history, cxid = History(0, [SESSION]), 0
    for _ in range(frames):
        requests = [Create(cxid + place, f"/{cxid + place}", b"") for place in range(1, writes + 1)]
        sent_ns = ensemble.now_ns()
        ensemble.ask(*requests)
        done_ns = ensemble.now_ns()
        for reply in ensemble.replies[-writes:]:
            cxid += 1
            row = {"kind": Kind.WRITE, "session": 0, "cxid": cxid, "sent_ns": sent_ns, "done_ns": done_ns,
                   "outcome": Outcome.ACKNOWLEDGED, "zxid": reply.zxid}  # type: ignore[union-attr]  # fmt: skip
            for name, column in history.columns.items():
                column.append(row.get(name, -1))
    marks = []
    for server, marked in ensemble.marks.items():
        write_marks(str(tmp_path / "marks"), server, marked)
        marks.append(decode_hops((tmp_path / "marks").read_bytes()))
    return *dissect([history], marks, ROLES, 1, 0, HOUR_NS), marks, ensemble


@pytest.mark.parametrize(
    ("attach", "relays"),
    [(ServerState.LEADING, 0), (ServerState.FOLLOWING, 0), (ServerState.OBSERVING, 0), (ServerState.OBSERVING, 1)],
)
def test_every_scripted_write_is_followed_from_end_to_end(attach: ServerState, relays: int, tmp_path: Path):
    ways, anatomy, _, ensemble = followed(attach, 4, 5, tmp_path, relays)
    assert (anatomy.samples, anatomy.incomplete, anatomy.disordered) == (20, 0, 0)
    assert set(ways.attached.tolist()) == {ensemble.attached}
    assert set(ways.leader.tolist()) == {ensemble.leader}
    assert anatomy.batch_txns == 5.0
    assert (np.diff(ways.moments, axis=1).sum(axis=1) == ways.moments[:, -1] - ways.moments[:, 0]).all()


# -- the trace


def events_of(ways: Ways, marks: list[HopMarks], kind: str) -> list[dict[str, Any]]:
    return [event for event in trace_events(ways, marks, ROLES, 0) if event["ph"] == kind]


@pytest.mark.parametrize("attach", [ServerState.LEADING, ServerState.FOLLOWING, ServerState.OBSERVING])
def test_slices_of_a_row_do_not_overlap(attach: ServerState, tmp_path: Path):
    ways, _, marks, _ = followed(attach, 3, 4, tmp_path)
    rows: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events_of(ways, marks, "X"):
        assert event["dur"] >= 0, event
        rows.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    assert len({pid for pid, _ in rows}) >= 4
    for slices in rows.values():
        slices.sort()
        for (_, end), (begin, _) in pairwise(slices):
            assert end <= begin + 1e-6


@pytest.mark.parametrize("attach", [ServerState.LEADING, ServerState.FOLLOWING, ServerState.OBSERVING])
def test_arrows_lead_from_every_frame_of_requests_to_its_reply_through_slices_that_are_there(
    attach: ServerState, tmp_path: Path
):
    ways, _, marks, _ = followed(attach, 3, 4, tmp_path)
    slices = [(e["pid"], e["tid"], e["ts"], e["ts"] + e["dur"]) for e in events_of(ways, marks, "X")]
    flows: dict[int, list[dict[str, Any]]] = {}
    for event in trace_events(ways, marks, ROLES, 0):
        if event["ph"] in "stf":
            flows.setdefault(event["id"], []).append(event)
    assert len(flows) == 3  # one a frame
    for steps in flows.values():
        assert [step["ph"] for step in steps] == ["s", *"t" * (len(steps) - 2), "f"]
        assert [step["ts"] for step in steps] == sorted(step["ts"] for step in steps)
        for step in steps:
            assert any(
                (pid, tid) == (step["pid"], step["tid"]) and begin <= step["ts"] <= end
                for pid, tid, begin, end in slices
            ), step


def test_what_a_leader_did_not_mark_is_left_out_and_arrows_pass_it_by():
    """At a follower's client the leader's own application is on nobody's way: there may be no marker of it."""
    forgery = Forgery(1)
    forgery.write(chain(attached=1), 2)
    ways, anatomy = forgery.dissect()
    assert anatomy.samples == 1
    slices = events_of(ways, forgery.marks(), "X")
    assert all(event["dur"] >= 0 for event in slices), slices
    assert (LEADER, "commit") not in {(event["pid"], event["name"]) for event in slices}
    assert [len(events_of(ways, forgery.marks(), kind)) for kind in "sf"] == [1, 1]


def test_what_was_done_to_a_batch_is_one_slice_at_each_voter(tmp_path: Path):
    ways, _, marks, ensemble = followed(ServerState.LEADING, 3, 4, tmp_path)
    counts = Counter((event["pid"], event["name"]) for event in events_of(ways, marks, "X"))
    for voter in {1, 2, 3} - {ensemble.leader}:
        assert {name: counts[voter, name] for name in ("append", "flush", "acknowledge")} == {
            "append": 3, "flush": 3, "acknowledge": 3
        }  # fmt: skip
    assert (counts[100, "write"], counts[ensemble.leader, "prepare"], counts[ensemble.leader, "commit"]) == (3, 3, 3)


def test_the_file_names_servers_by_their_roles_and_clients_come_first(tmp_path: Path):
    ways, _, marks, _ = followed(ServerState.LEADING, 1, 1, tmp_path)
    write_trace(tmp_path / "trace.json", ways, marks, ROLES, 0)
    document = orjson.loads((tmp_path / "trace.json").read_bytes())
    named = [event for event in document["traceEvents"] if event["name"] == "process_name"]
    assert [event["args"]["name"] for event in named] == [
        "client 0", "server 3, leader", "server 1, follower", "server 2, follower", "server 4, observer"
    ]  # fmt: skip
    assert document["otherData"] == {"writes sampled": 1, "writes shown": 1}
