"""Hop markers: which places a write passes, in which order, and what is not marked."""

import random
from pathlib import Path

from marked_ensemble import SESSION, MarkedEnsemble

from lab.node.marking import ROW, Hop, MarkedServer, Marks, as_they_are, parts, write_marks
from lab.service.events import ClientRequests
from lab.service.requests import Connect, Create, SetData
from lab.service.server import Server
from lab.storage.memory import MemoryStore
from lab.storage.store import FileStore
from lab.targets.hops import ROW_NAMES, decode_hops
from lab.zab.config import ZabConfig
from lab.zab.effects import Send
from lab.zab.events import History, Notified, PeerUp, Received, Recovered, Start
from lab.zab.messages import Diff, LeaderInfo, NewLeader, Notification, Request, ServerState, UpToDate, Vote
from lab.zab.zxid import make_zxid

LEADING, FOLLOWING, OBSERVING = ServerState.LEADING, ServerState.FOLLOWING, ServerState.OBSERVING

EMPTY = Recovered(0, 0, History(0, (), (), 0), True)
VOTING = ("proposal", "appended", "flushed", "acked")


def marked(ensemble: MarkedEnsemble, *servers: int) -> list[str]:
    """What these servers marked since the last call, in the order of time."""
    return [row.hop.name.lower() for row in ensemble.rows() if row.server in servers]


def test_a_write_at_the_leader_is_proposed_logged_sent_flushed_acknowledged_committed_applied_answered():
    ensemble = MarkedEnsemble(LEADING)
    ensemble.ask(Create(1, "/a", b""))
    assert marked(ensemble, ensemble.leader) == [
        "received", "proposed", "appended", "sent", "flushed", "ack", "ack", "committed", "applied", "informed",
        "replied",
    ]  # fmt: skip


def test_a_write_at_a_follower_is_forwarded_voted_for_and_answered_there():
    ensemble = MarkedEnsemble(FOLLOWING)
    ensemble.ask(Create(1, "/a", b""))
    assert marked(ensemble, ensemble.attached) == ["received", "forwarded", *VOTING, "commit", "applied", "replied"]


def test_a_forwarded_write_is_marked_as_requested_by_the_leader_which_answers_nobody():
    ensemble = MarkedEnsemble(FOLLOWING)
    ensemble.ask(Create(1, "/a", b""))
    assert marked(ensemble, ensemble.leader) == [
        "requested", "proposed", "appended", "sent", "flushed", "ack", "ack", "committed", "applied", "informed",
    ]  # fmt: skip


def test_a_write_at_an_observer_is_answered_before_its_log_is_flushed():
    ensemble = MarkedEnsemble(OBSERVING, observers=1)
    ensemble.ask(Create(1, "/a", b""))
    assert marked(ensemble, ensemble.attached) == [
        "received", "forwarded", "commit", "applied", "appended", "replied", "flushed"
    ]  # fmt: skip


def test_a_relay_marks_an_observer_s_frame_by_its_numbers_on_both_sides():
    ensemble = MarkedEnsemble(OBSERVING, observers=1, relays=1)
    ensemble.ask(Create(1, "/a", b""))
    rows = ensemble.rows()
    (forwarded,) = [row for row in rows if row.hop is Hop.FORWARDED]
    (relayed,) = [row for row in rows if row.hop is Hop.RELAYED]
    (requested,) = [row for row in rows if row.hop is Hop.REQUESTED and row.server == ensemble.leader]
    assert (relayed.about, relayed.number) == (ensemble.attached, forwarded.number)
    assert (requested.about, requested.key) == (relayed.server, relayed.key)


def test_a_single_voter_is_its_own_quorum():
    ensemble = MarkedEnsemble(LEADING, voters=1)
    ensemble.ask(Create(1, "/a", b""))
    rows = ensemble.rows()
    assert "ack" not in [row.hop.name.lower() for row in rows]
    assert [row.about for row in rows if row.hop is Hop.COMMITTED] == [ensemble.leader]


def test_the_voter_whose_acknowledgement_closes_the_quorum_is_named():
    """In this world the leader's own disk is always first, so the first follower to acknowledge is the second vote."""
    ensemble = MarkedEnsemble(LEADING)
    ensemble.ask(Create(1, "/a", b""))
    rows = ensemble.rows()
    first = next(row for row in rows if row.hop is Hop.ACK)
    (closed,) = [row for row in rows if row.hop is Hop.COMMITTED]
    assert closed.about == first.about != ensemble.leader


def test_both_ends_number_forwarded_frames_alike():
    ensemble = MarkedEnsemble(FOLLOWING)
    for cxid in (1, 2, 3):
        ensemble.ask(Create(cxid, f"/{cxid}", b""))
    rows = ensemble.rows()
    sent = [(row.key, row.about, row.number) for row in rows if row.hop is Hop.FORWARDED]
    taken = [(row.key, row.about) for row in rows if row.hop is Hop.REQUESTED]
    assert [(cxid, session) for cxid, session, _ in sent] == [(1, SESSION), (2, SESSION), (3, SESSION)]
    assert taken == [(number, ensemble.attached) for _, _, number in sent]


def test_a_frame_is_marked_once_and_its_batch_with_the_number_of_its_transactions():
    ensemble = MarkedEnsemble(LEADING)
    ensemble.ask(*(Create(cxid, f"/{cxid}", b"") for cxid in range(1, 6)))
    rows = ensemble.rows()
    assert [(row.key, row.about) for row in rows if row.hop is Hop.RECEIVED] == [(5, SESSION)]
    assert [(row.key, row.number) for row in rows if row.hop is Hop.PROPOSED] == [(make_zxid(1, 6), 5)]


def test_every_server_marks_the_batches_that_hold_a_sampled_zxid_and_no_others():
    ensemble = MarkedEnsemble(LEADING, every=4)
    ensemble.ask(Create(1, "/a", b""))  # zxid 2: the session's opening was 1; the first of each kind is marked always
    ensemble.rows()
    for cxid in range(2, 12):  # zxids 3 to 12
        ensemble.ask(SetData(cxid, "/a", b"", -1))
    rows = ensemble.rows()
    for hop in (Hop.PROPOSED, Hop.PROPOSAL, Hop.FLUSHED, Hop.ACK, Hop.APPLIED, Hop.REPLIED):
        assert {row.key for row in rows if row.hop is hop} == {make_zxid(1, counter) for counter in (4, 8, 12)}, hop
    assert len([row for row in rows if row.hop is Hop.RECEIVED]) == 10  # nobody knows their zxids yet


def test_what_finds_no_room_is_counted():
    ensemble = MarkedEnsemble(LEADING, room=5)
    ensemble.ask(Create(1, "/a", b""))
    rows, dropped = ensemble.marks[ensemble.leader].take()
    assert (len(rows) // 40, dropped) == (5, 6)
    assert ensemble.marks[ensemble.leader].take() == (b"", 0)


def test_a_server_that_marks_nothing_is_made_of_the_plain_parts():
    assert parts(None) == (Server, as_they_are, FileStore, MemoryStore)


def test_a_reader_knows_the_places_by_their_names(tmp_path: Path):
    marks = Marks(10, 1)
    marks.add(Hop.FLUSHED, 17, 0, 0, 99)
    write_marks(str(tmp_path / "marks"), 3, marks)
    read = decode_hops((tmp_path / "marks").read_bytes())
    (row,) = [dict(zip(ROW_NAMES, values, strict=True)) for values in ROW.iter_unpack(read.rows)]
    assert (read.server, read.dropped, read.hops[row["hop"]], row["key"], row["at_ns"]) == (3, 0, "flushed", 17, 99)


def test_without_a_path_what_was_marked_is_forgotten():
    marks = Marks(10, 1)
    marks.add(Hop.FLUSHED, 17, 0, 0, 99)
    write_marks("", 3, marks)
    assert marks.take() == (b"", 0)


def test_a_client_that_waited_until_its_follower_served_is_no_relayed_one():
    server = MarkedServer(Marks(100, 1), 1, ZabConfig(voters=(1, 2, 3)), EMPTY, random.Random(1))
    server.step(Start())
    for peer in (2, 3):
        server.step(PeerUp(peer, 100 + peer))
        server.step(Notified(peer, Notification(ServerState.LOOKING, Vote(9, make_zxid(9, 9), 3), 1)))
    server.step(ClientRequests(1, [Connect(SESSION, 1, 0)], 10))  # held: this server does not serve yet
    session = server.peer.role.session
    for message in (LeaderInfo(10), Diff(0), NewLeader(10)):
        server.step(Received(3, session, message))
    effects = server.step(Received(3, session, UpToDate()))
    assert Request in [type(effect.message) for effect in effects if isinstance(effect, Send)]
