"""When a server takes a snapshot of its own disk: zab.md 7.3, Z-8."""

import pytest
from zab_parties import (
    THREE,
    Party,
    batch,
    batches,
    established_leader,
    looking_learner,
    tell,
    z,
)

from lab.zab.config import ZabConfig
from lab.zab.effects import Append, Barrier, Deliver, EndSnapshot, TakeSnapshot
from lab.zab.events import PeerDown, PeerUp, SnapshotWritten, Submit, Tick
from lab.zab.messages import Ack, Commit, Diff, LeaderInfo, NewLeader, Ping, Proposal, UpToDate
from lab.zab.own_snapshots import OVERDUE_TICKS

TEN = ZabConfig(voters=(1, 2, 3), observers=(4,), snap_count=10)
COUNTS = {Party(1, TEN, seed=seed).peer._own_snapshots._threshold for seed in range(60)}


def serving(**disk: object) -> Party:
    """A follower in BROADCAST of epoch 1, or of the one after its disk's."""
    learner = looking_learner(config=TEN, **disk)
    epoch = learner.peer.state_of_zab.accepted_epoch + 1
    tell(learner, LeaderInfo(epoch), Diff(learner.peer.last_zxid), NewLeader(epoch), UpToDate())
    return learner


def written(party: Party, zxid: str, *, ok: bool = True, gen: int | None = None) -> list[object]:
    party.step(SnapshotWritten(gen or party.peer.state_of_zab.gen, z(zxid), ok))
    return party.all(EndSnapshot)


def test_servers_draw_their_moments_between_half_of_the_count_and_all_of_it():
    assert {5, 6, 7, 8, 9, 10} == COUNTS


@pytest.mark.covers("Z-8", "X-14")
def test_a_snapshot_is_of_what_is_applied_and_flushed_and_stands_last():
    learner = serving()
    gen = learner.peer.state_of_zab.gen
    tell(learner, Proposal(batch("1.1", 10)), Commit(z("1.10")))
    assert learner.all(Deliver)
    assert not learner.all(TakeSnapshot), "applied, but not on this disk: a hole in its log otherwise"
    learner.flush("1.10")
    assert learner.sent() == [(3, Ack(z("1.10")))]
    assert learner.effects[-1] == TakeSnapshot(gen, z("1.10"))


def test_one_that_is_asked_for_is_taken_with_the_next_write_and_the_count_goes_on_after_it():
    learner = serving()
    learner.peer.ask_snapshot()
    tell(learner, Proposal(batch("1.1", 1)), Commit(z("1.1")))
    learner.flush("1.1")
    assert learner.all(TakeSnapshot) == [TakeSnapshot(learner.peer.state_of_zab.gen, z("1.1"))]
    written(learner, "1.1")
    tell(learner, Proposal(batch("1.2", 1)), Commit(z("1.2")))
    learner.flush("1.2")
    assert not learner.all(TakeSnapshot), "it was one"


@pytest.mark.covers("Z-8")
def test_a_flush_that_does_not_reach_what_is_applied_is_not_enough():
    learner = serving()
    tell(learner, Proposal(batch("1.1", 10)), Proposal(batch("1.11", 5)), Commit(z("1.15")))
    learner.flush("1.10")
    assert learner.peer.state_of_zab.applied.last == z("1.15")
    assert not learner.all(TakeSnapshot)
    learner.flush("1.15")
    assert learner.all(TakeSnapshot) == [TakeSnapshot(learner.peer.state_of_zab.gen, z("1.15"))]


def test_what_is_logged_and_not_applied_is_not_counted():
    learner = serving()
    tell(learner, Proposal(batch("1.1", 10)), Proposal(batch("1.11", 10)), Commit(z("1.10")))
    learner.flush("1.20")
    assert learner.all(TakeSnapshot) == [TakeSnapshot(learner.peer.state_of_zab.gen, z("1.10"))]


def test_a_leader_snapshots_what_it_committed():
    leader = established_leader(TEN)
    leader.step(Submit(10, batch("1.1", 10).body))
    leader.flush("1.10")
    assert not leader.all(TakeSnapshot), "not committed"
    leader.hear(1, Ack(z("1.10")), 11)
    assert leader.all(Deliver)
    leader.step(Submit(1, batch("1.11").body))
    leader.flush("1.11")
    assert leader.all(TakeSnapshot) == [TakeSnapshot(leader.peer.state_of_zab.gen, z("1.10"))]


@pytest.mark.covers("Z-8", "X-14")
def test_nothing_is_snapshot_before_broadcast_and_what_was_recovered_counts():
    learner = looking_learner(config=TEN, log=batches(("1.1", 12)), accepted=1, current=1)
    for _ in range(2 * OVERDUE_TICKS):
        learner.step(Tick())
        assert not learner.all(TakeSnapshot)
    tell(learner, LeaderInfo(2), Diff(z("1.12")), NewLeader(2))
    for _ in range(OVERDUE_TICKS):
        learner.step(Tick())
        assert not learner.all(TakeSnapshot)
    tell(learner, UpToDate(), Proposal(batch("2.1")))
    learner.flush("2.1")
    assert learner.all(TakeSnapshot) == [TakeSnapshot(learner.peer.state_of_zab.gen, z("1.12"))]


@pytest.mark.covers("Z-8")
def test_a_snapshot_that_waits_for_a_late_disk_for_a_second_makes_it_flush():
    learner = serving()
    gen = learner.peer.state_of_zab.gen
    tell(learner, Proposal(batch("1.1", 10)), Commit(z("1.10")))
    for _ in range(OVERDUE_TICKS):
        tell(learner, Ping(z("1.10")))
        learner.step(Tick())
        assert not learner.all(TakeSnapshot)
    tell(learner, Ping(z("1.10")))
    learner.step(Tick())
    assert learner.effects[0] == Barrier()
    assert learner.sent() == [(3, Ack(z("1.10")))], "the Appends that a Barrier waits for yield no Flushed"
    assert learner.effects[-1] == TakeSnapshot(gen, z("1.10"))


def test_an_overdue_leader_counts_its_own_flush_before_it_snapshots():
    leader = established_leader(TEN)
    leader.step(Submit(10, batch("1.1", 10).body))
    leader.hear(1, Ack(z("1.10")), 11)
    leader.hear(2, Ack(z("1.10")), 21)
    leader.step(Submit(10, batch("1.11", 10).body))
    assert leader.all(Append)
    assert leader.peer.state_of_zab.applied.last == 0, "only one of three voters holds it"
    leader.flush("1.10")
    assert leader.all(TakeSnapshot) == [TakeSnapshot(leader.peer.state_of_zab.gen, z("1.10"))]


def test_one_at_a_time_and_it_is_kept():
    learner = serving()
    tell(learner, Proposal(batch("1.1", 10)), Commit(z("1.10")))
    learner.flush("1.10")
    tell(learner, Proposal(batch("1.11", 10)), Commit(z("1.20")))
    learner.flush("1.20")
    assert not learner.all(TakeSnapshot)
    assert written(learner, "1.10") == [EndSnapshot(keep=True)]
    tell(learner, Proposal(batch("1.21")), Commit(z("1.21")))
    learner.flush("1.21")
    assert learner.all(TakeSnapshot)


def test_one_that_failed_is_dropped_and_the_next_comes_in_its_turn():
    learner = serving()
    tell(learner, Proposal(batch("1.1", 10)), Commit(z("1.10")))
    learner.flush("1.10")
    assert written(learner, "1.10", ok=False) == [EndSnapshot(keep=False)]
    tell(learner, Proposal(batch("1.11", 4)), Commit(z("1.14")))
    learner.flush("1.14")
    assert not learner.all(TakeSnapshot)
    tell(learner, Proposal(batch("1.15", 6)), Commit(z("1.20")))
    learner.flush("1.20")
    assert learner.all(TakeSnapshot)


@pytest.mark.covers("Z-8")
def test_one_begun_in_another_generation_of_the_log_is_dropped():
    learner = serving()
    gen = learner.peer.state_of_zab.gen
    tell(learner, Proposal(batch("1.1", 10)), Commit(z("1.10")))
    learner.flush("1.10")
    learner.step(PeerDown(3, 103))
    assert written(learner, "1.10", gen=gen) == [EndSnapshot(keep=False)]


def test_a_server_that_stops_serving_in_the_same_step_takes_none():
    learner = serving()
    tell(learner, Proposal(batch("1.1", 10)), Commit(z("1.10")))
    for tick in range(OVERDUE_TICKS + 1):
        if tick < OVERDUE_TICKS - THREE.sync_limit_ticks + 1:  # then not a word from the leader any more
            tell(learner, Ping(z("1.10")))
        assert learner.peer.phase.name == "BROADCAST"
        learner.step(Tick())
    assert learner.kinds()[0] == "StopServing"
    assert not learner.all(TakeSnapshot)


def test_none_at_all_if_the_count_is_0():
    learner = Party(1, ZabConfig(voters=(1,), snap_count=0))
    learner.step(Submit(1000, batch("1.1", 1000).body))
    learner.flush("1.1000")
    assert learner.all(Deliver)
    assert not learner.all(TakeSnapshot)


@pytest.mark.covers("X-38")
def test_an_election_and_a_DIFF_neither_load_a_snapshot_nor_write_one():
    learner = serving(log=batches(("1.1", 4)), accepted=1, current=1)
    seen = set[str]()
    for epoch in (3, 4, 5):
        for message in (PeerDown(3, 103), PeerUp(3, 100 + epoch)):
            learner.step(message)
            seen |= set(learner.kinds())
        assert learner.peer.phase.name == "ELECTION"
        for voter in (2, 3):
            learner.vote(voter, 3, epoch=9, zxid=z("9.9"), round_=epoch)
            seen |= set(learner.kinds())
        for message in (LeaderInfo(epoch), Diff(z("1.4")), NewLeader(epoch), UpToDate()):
            tell(learner, message)
            seen |= set(learner.kinds())
        assert learner.peer.phase.name == "BROADCAST"
    assert not seen & {"Restore", "Install", "LoadSnapshot", "TakeSnapshot", "Truncate"}
