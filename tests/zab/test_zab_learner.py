"""A learner alone, its leader played by the test: promises, history, persistence order, proposals (zab.md 4.4, 4.7)."""

import pytest
from zab_parties import (
    THREE,
    Party,
    batch,
    batches,
    history,
    looking_learner,
    serving_learner,
    session_of,
    tell,
    z,
)

from lab.zab.batches import split_batch
from lab.zab.constants import NO_ZXID
from lab.zab.effects import (
    Append,
    Barrier,
    CloseSession,
    Deliver,
    Install,
    LoadSnapshot,
    Replay,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Serve,
    StopServing,
    Synced,
    Truncate,
)
from lab.zab.events import Flushed, Forward, PeerDown, Received, SessionClosed, SyncAsked, Tick, Truncated
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    LeaderInfo,
    NewLeader,
    ObserverInfo,
    Phase,
    Ping,
    Proposal,
    Request,
    ServerState,
    Snap,
    SnapChunk,
    Sync,
    SyncProgress,
    Trunc,
    TxnBatch,
    UpToDate,
)

OBSERVER = 4


def is_looking(party: Party) -> bool:
    return party.peer.state is ServerState.LOOKING


# -- discovery


@pytest.mark.covers("S36", "S37")
def test_first_packet_is_its_info():
    assert (3, FollowerInfo(2, may_vote=True)) in looking_learner(accepted=2, current=1).sent()
    assert (3, ObserverInfo(2, leader=3)) in looking_learner(OBSERVER, accepted=2, current=1).sent()


@pytest.mark.covers("S39", "INV-4")
def test_promise_is_durable_before_it_is_given():
    learner = looking_learner(log=batches(("1.1", 3)), accepted=1, current=1)
    tell(learner, LeaderInfo(4))
    assert learner.effects[:1] == [SaveAcceptedEpoch(4)]
    assert learner.sent() == [(3, AckEpoch(1, z("1.3")))]


@pytest.mark.covers("INV-13", "Z-12")
def test_epoch_promised_before_is_not_to_be_counted_again():
    learner = looking_learner(log=batches(("1.1", 3)), accepted=4, current=1)
    tell(learner, LeaderInfo(4))
    assert not learner.all(SaveAcceptedEpoch)
    assert learner.sent() == [(3, AckEpoch(-1, z("1.3")))]  # INV-13


@pytest.mark.covers("INV-4")
def test_older_epoch_than_promised_is_refused():
    learner = looking_learner(accepted=4, current=1)
    tell(learner, LeaderInfo(3))
    assert is_looking(learner)


# -- history: L2 to L7


@pytest.mark.covers("X-16", "X-17", "INV-12")
def test_new_leader_makes_history_durable_then_the_epoch_then_acks():
    learner = looking_learner()
    tell(learner, LeaderInfo(2), Diff(z("1.2")), Proposal(batch("1.1", 2)), Commit(z("1.2")))
    assert learner.effects == []  # nothing is logged piecemeal
    tell(learner, NewLeader(2))
    assert learner.kinds() == ["Append", "Replay", "SaveCurrentEpoch", "Ack"]  # H-1, H-3
    assert learner.all(SaveCurrentEpoch) == [SaveCurrentEpoch(2)]
    assert learner.sent() == [(3, Ack(z("2.0")))]


@pytest.mark.covers("Z-3", "INV-12")
def test_uncommitted_part_is_logged_and_acked_only_after_uptodate():
    learner = looking_learner()
    tell(learner, LeaderInfo(1), Diff(0), Proposal(batch("1.1", 2)), NewLeader(1))
    assert learner.kinds() == ["SaveCurrentEpoch", "Ack"]
    tell(learner, UpToDate())
    assert learner.kinds() == ["Ack", "Append", "Entered", "Serve"]
    assert learner.sent() == [(3, Ack(z("1.0")))]
    learner.flush("1.2")
    assert learner.sent() == [(3, Ack(z("1.2")))]


@pytest.mark.covers("X-18", "X-46")
def test_commit_between_new_leader_and_uptodate_waits_for_the_log():
    learner = looking_learner()
    tell(
        learner, LeaderInfo(1), Diff(0), Proposal(batch("1.1")), NewLeader(1), Proposal(batch("1.2")), Commit(z("1.1"))
    )
    assert learner.effects == []  # H-4: the proposal is still pending
    tell(learner, UpToDate())
    assert learner.all(Append) == [Append(learner.peer.state_of_zab.gen, b) for b in batches(("1.1", 1), ("1.2", 1))]
    assert learner.all(Deliver) == [Deliver(batch("1.1"))]


@pytest.mark.covers("Z-10")
def test_commit_inside_a_batch_divides_it():
    learner = looking_learner()
    tell(learner, LeaderInfo(2), Diff(z("1.2")), Proposal(batch("1.1", 3)), Commit(z("1.2")), NewLeader(2))
    assert learner.all(Replay) == [Replay(batch("1.1", 2))]


@pytest.mark.covers("X-22", "Z-11")
def test_trunc_rebuilds_the_tree_and_what_follows_reaches_the_log():
    learner = looking_learner(log=batches(("1.1", 4)), accepted=1, current=1)
    tell(learner, LeaderInfo(2), Trunc(z("1.2")))
    gen = learner.peer.state_of_zab.gen
    assert learner.effects == [Truncate(gen, z("1.2"))]
    learner.step(Truncated(gen, history(batch("1.1", 2))))
    assert learner.kinds() == ["Restore"]
    assert learner.restored == [batch("1.1", 2)]
    tell(learner, Proposal(batch("2.1")), Commit(z("2.1")), NewLeader(2))
    assert learner.kinds() == ["Append", "Replay", "SaveCurrentEpoch", "Ack"]


@pytest.mark.covers("Z-11", "X-10")
def test_impossible_trunc_touches_nothing_and_asks_for_snap_in_a_new_session():
    learner = looking_learner(log=batches(("1.1", 1), ("2.1", 1)), accepted=2, current=2)
    tell(learner, LeaderInfo(3), Trunc(z("1.2")))
    old = session_of(learner)
    learner.step(Truncated(learner.peer.state_of_zab.gen, None))
    assert learner.effects[0] == CloseSession(3, old)
    assert learner.sent() == [(3, FollowerInfo(3, may_vote=True))]
    assert session_of(learner) > old
    tell(learner, LeaderInfo(3))
    assert learner.sent() == [(3, AckEpoch(-1, z("2.1"), need_snap=True))]  # its true log, still


@pytest.mark.covers("Z-11", "Z-12")
def test_need_snap_survives_an_election_and_ends_with_a_synchronization():
    learner = looking_learner(log=batches(("1.1", 1), ("2.1", 1)), accepted=2, current=2)
    tell(learner, LeaderInfo(3), Trunc(z("1.2")))
    learner.step(Truncated(learner.peer.state_of_zab.gen, None))
    learner.step(PeerDown(3, 103))
    assert learner.peer.state_of_zab.need_snap
    assert learner.peer.election.vote.zxid == z("2.1")
    learner = serving_learner()
    assert not learner.peer.state_of_zab.need_snap


@pytest.mark.covers("Z-11", "Z-13")
def test_snapshot_is_installed_before_any_later_frame_and_its_label_is_the_history():
    learner = looking_learner(base=NO_ZXID, may_vote=False)
    tell(learner, LeaderInfo(2), Snap(z("1.7")), SnapChunk(b"a", last=False))
    gen = learner.peer.state_of_zab.gen
    assert learner.effects == [
        LoadSnapshot(b"a", first=True, last=False),
        Install(gen, z("1.7"), b"a", first=True, last=False),
    ]
    assert learner.peer.last_zxid == NO_ZXID
    tell(learner, SnapChunk(b"b", last=True))
    assert learner.peer.last_zxid == z("1.7")
    tell(learner, Proposal(batch("1.8")), Commit(z("1.8")), NewLeader(2))
    assert learner.kinds() == ["Append", "Replay", "SaveCurrentEpoch", "Ack"]
    assert learner.peer.state_of_zab.may_vote  # synchronized: it may vote from now on (Z-12)


@pytest.mark.covers("X-20")
def test_interrupted_snapshot_leaves_the_old_history():
    learner = looking_learner(log=batches(("1.1", 2)), accepted=1, current=1)
    tell(learner, LeaderInfo(2), Snap(z("1.7")), SnapChunk(b"a", last=False))
    learner.step(SessionClosed(3, session_of(learner)))
    assert learner.peer.election.vote.zxid == z("1.2")


# -- what breaks the protocol


@pytest.mark.parametrize(
    "messages",
    [
        (Proposal(batch("1.1")),),  # before any DIFF, TRUNC or SNAP
        (NewLeader(2),),
        (UpToDate(),),
        (Diff(0), UpToDate()),  # before NEWLEADER
        (Diff(0), NewLeader(3)),  # of another epoch
        (Diff(0), NewLeader(2), NewLeader(2)),
        (Diff(0), Diff(0)),
        (Diff(0), Snap(0)),
        (SnapChunk(b"", last=True),),
        (Diff(0), Proposal(batch("1.2"))),  # a hole
        (Diff(0), Proposal(batch("1.1")), Proposal(batch("2.2"))),  # an epoch starts with counter 1
        (Diff(0), Commit(z("1.1"))),  # never proposed
        (Diff(0), Proposal(TxnBatch(z("1.1"), 1, 12345, b"\x91\x01"))),  # damaged on the way
        (Diff(0), Inform(batch("1.1"))),  # to a voter
        (Sync(1),),
    ],
    ids=lambda messages: "+".join(type(m).__name__ for m in messages),
)
def test_protocol_violation_ends_the_role(messages: tuple[object, ...]):
    learner = looking_learner()
    tell(learner, LeaderInfo(2), *messages[:-1])
    session = session_of(learner)
    tell(learner, messages[-1])
    assert is_looking(learner)
    assert CloseSession(3, session) in learner.effects
    assert learner.peer.last_problem


@pytest.mark.covers("X-45", "Z-13")
def test_what_came_with_the_history_is_ignored_when_it_comes_again():
    learner = looking_learner()
    tell(
        learner, LeaderInfo(1), Diff(0), Proposal(batch("1.1", 2)), Proposal(batch("1.1", 2)), Proposal(batch("1.2", 2))
    )
    tell(learner, NewLeader(1), UpToDate())  # dropped, or cut to what is new
    appended = [effect.batch for effect in learner.all(Append)]
    assert appended == [batch("1.1", 2), split_batch(batch("1.2", 2), z("1.2"))]


# -- broadcast: L9


@pytest.mark.covers("S76", "INV-9")
def test_proposal_is_logged_at_once_and_acked_once_flushed():
    learner = serving_learner()
    assert tell(learner, Proposal(batch("1.1"))) == [Append(learner.peer.state_of_zab.gen, batch("1.1"))]
    learner.flush("1.1")
    assert learner.sent() == [(3, Ack(z("1.1")))]


@pytest.mark.covers("Z-10", "S77")
def test_cumulative_commit_delivers_all_it_covers():
    learner = serving_learner()
    tell(learner, Proposal(batch("1.1", 2)), Proposal(batch("1.3")), Commit(z("1.3")))
    assert learner.effects == [Deliver(batch("1.1", 2)), Deliver(batch("1.3"))]


@pytest.mark.covers("Z-3", "X-19")
def test_flush_of_another_generation_or_epoch_is_not_acked():
    learner = serving_learner()
    tell(learner, Proposal(batch("1.1")))
    gen = learner.peer.state_of_zab.gen
    assert learner.step(Flushed(gen - 1, z("1.1"))) == []
    assert learner.step(Flushed(gen, z("0.1"))) == []


@pytest.mark.covers("S30", "S25", "INV-16")
def test_observer_logs_and_delivers_informs_and_acks_none():
    observer = serving_learner(OBSERVER)
    assert tell(observer, Inform(batch("1.1"))) == [
        Append(observer.peer.state_of_zab.gen, batch("1.1")),
        Deliver(batch("1.1")),
    ]
    assert observer.flush("1.1") == []


def test_ping_is_echoed_in_broadcast_only():
    learner = serving_learner()
    tell(learner, Ping(z("1.0"), 7))
    assert learner.sent() == [(3, Ping(z("1.0"), 7))]  # the number, too: what a sync waits for (Z-16)
    learner = looking_learner()
    tell(learner, LeaderInfo(1), Ping(z("1.0")))
    assert learner.effects == []


def test_service_may_forward_and_ask_for_sync():
    learner = serving_learner()
    learner.step(Forward(b"x"))
    assert learner.sent() == [(3, Request(b"x"))]
    learner.step(SyncAsked(5))
    assert learner.sent() == [(3, Sync(5))]
    assert tell(learner, Sync(5)) == [Synced(5)]


@pytest.mark.covers("S46")
def test_serves_only_after_uptodate():
    learner = looking_learner()
    for message in (LeaderInfo(1), Diff(0), NewLeader(1)):
        tell(learner, message)
        assert not learner.all(Serve)
    tell(learner, UpToDate())
    assert learner.all(Serve) == [Serve(leading=False)]


# -- losing the leader


@pytest.mark.covers("Z-3", "X-15", "X-19")
def test_leaving_makes_the_log_durable_and_applies_it_before_the_vote():
    learner = serving_learner()
    tell(learner, Proposal(batch("1.1", 2)))
    learner.step(PeerDown(3, 103))
    kinds = learner.kinds()
    assert kinds.index("StopServing") < kinds.index("Barrier") < kinds.index("Replay") < kinds.index("Notify")
    assert learner.all(StopServing)
    assert learner.all(Barrier)
    assert learner.peer.election.vote.zxid == z("1.2")
    assert learner.step(Flushed(learner.peer.state_of_zab.gen - 1, z("1.2"))) == []


@pytest.mark.covers("Z-2", "X-26")
def test_epoch_of_the_log_is_adopted_before_the_vote():
    party = Party(1, THREE, log=batches(("1.1", 1), ("2.1", 1)), accepted=2, current=1)
    assert party.peer.election.vote.epoch == 2  # Z-2


@pytest.mark.parametrize("serving", [True, False])
@pytest.mark.covers("Z-5")
def test_silent_leader_is_left_after_the_limit_of_the_phase(serving: bool):
    learner = serving_learner() if serving else looking_learner()
    limit = THREE.sync_limit_ticks if serving else THREE.init_limit_ticks
    for _ in range(limit):
        learner.step(Tick())
    assert not is_looking(learner)
    learner.step(Tick())
    assert is_looking(learner)


def test_any_frame_of_the_leader_is_a_sign_of_life():
    learner = serving_learner()
    for _ in range(3 * THREE.sync_limit_ticks):
        learner.step(Tick())
        tell(learner, Ping(z("1.0")))
    assert learner.peer.phase is Phase.BROADCAST


@pytest.mark.parametrize("message", [Proposal(batch("2.1")), Snap(z("2.1"))])
@pytest.mark.covers("INV-11")
def test_history_of_a_later_epoch_than_the_leaders_is_refused(message: Proposal | Snap):
    learner = looking_learner()
    tell(learner, LeaderInfo(1))
    if isinstance(message, Proposal):
        tell(learner, Diff(0))
    tell(learner, message)
    assert learner.peer.state is ServerState.LOOKING  # it could never vote with it (Z-2)


@pytest.mark.covers("Z-9")
def test_two_incarnations_do_not_number_their_sessions_alike():
    assert session_of(looking_learner(seed=1)) != session_of(looking_learner(seed=2))  # Z-9


@pytest.mark.covers("Z-18")
def test_progress_is_reported_while_the_history_comes():
    learner = looking_learner()
    tell(learner, LeaderInfo(1))
    learner.step(Tick())
    assert learner.sent() == [(3, SyncProgress())]
    tell(learner, Diff(0), NewLeader(1))
    learner.step(Tick())
    assert learner.sent() == [(3, SyncProgress())]  # level, and waiting for the others
    tell(learner, UpToDate())
    learner.step(Tick())
    assert learner.sent() == []


@pytest.mark.covers("Z-9")
def test_frames_of_an_ended_session_and_of_others_are_ignored():
    learner = serving_learner()
    assert learner.step(Received(3, session_of(learner) - 1, NewLeader(7))) == []
    assert learner.step(Received(2, session_of(learner), NewLeader(7))) == []
    assert learner.step(SessionClosed(3, session_of(learner) - 1)) == []


def test_info_sent_to_a_learner_is_sent_away():
    learner = serving_learner()
    learner.hear(2, FollowerInfo(0, may_vote=True), 21)
    assert learner.effects == [CloseSession(2, 21)]
