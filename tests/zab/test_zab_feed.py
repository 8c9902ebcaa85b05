"""Bulk sync is pulled: the leader sends a large history as fast as its learner takes it in (Z-18)."""

import pytest
from zab_parties import Party, batch, batches, elected_leader, established_leader, join, looking_learner, tell, z

from lab.zab import synchronizer
from lab.zab.config import ZabConfig
from lab.zab.effects import CloseSession, EndSnapshot, Install, LoadSnapshot, ReadLog, ReadSnapshot, StreamSnapshot
from lab.zab.events import LogRead, SessionClosed, SnapshotRead, SnapshotWritten, Submit, Tick, Truncated
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    LeaderInfo,
    NewLeader,
    Ping,
    Proposal,
    ServerState,
    Snap,
    SnapChunk,
    SyncProgress,
    Trunc,
)
from lab.zab.phases import Bootstrap

BODY = len(batch("1.1").body)
NARROW = ZabConfig(voters=(1, 2, 3), sync_window_bytes=2 * BODY)
LONG = batches(*((f"1.{n}", 1) for n in range(1, 7)))


def stage_of(leader: Party, peer: int) -> Bootstrap:
    return leader.peer.role.handlers[peer].stage  # type: ignore[union-attr]


def narrow_leader(**disk: object) -> Party:
    """Leader 3 of epoch 2 with 1.1 to 1.6, and voter 1 in session 11 that has nothing of it."""
    leader = elected_leader(NARROW, log=LONG, accepted=1, current=1, **disk)
    join(leader, 1, 11, accepted=1, current=1)
    return leader


def submit(leader: Party) -> None:
    leader.step(Submit(1, batch(leader.peer.next_zxid).body))


@pytest.mark.covers("Z-18")
def test_no_more_is_sent_than_the_window_until_the_learner_reports_progress():
    leader = narrow_leader()
    assert leader.sent() == [(1, Diff(z("1.6"))), (1, Proposal(batch("1.1"))), (1, Proposal(batch("1.2")))]
    leader.hear(1, SyncProgress(BODY), 11)
    assert leader.sent() == [(1, Proposal(batch("1.3")))]
    leader.hear(1, SyncProgress(BODY), 11)
    assert leader.sent() == []
    leader.hear(1, SyncProgress(3 * BODY), 11)
    assert leader.sent() == [(1, Proposal(batch("1.4"))), (1, Proposal(batch("1.5")))]
    assert stage_of(leader, 1) is Bootstrap.PULLING
    leader.hear(1, SyncProgress(5 * BODY), 11)
    assert leader.sent() == [(1, Proposal(batch("1.6"))), (1, Commit(z("1.6"))), (1, NewLeader(2))]
    assert stage_of(leader, 1) is Bootstrap.SYNCING


@pytest.mark.covers("X-12", "Z-18")
def test_what_is_committed_meanwhile_is_history_and_what_is_not_comes_live():
    leader = established_leader(NARROW)
    for counter in range(1, 5):
        submit(leader)
        leader.hear(1, Ack(z(f"1.{counter}")), 11)
        leader.flush(f"1.{counter}")
    join(leader, 2, 21)
    submit(leader)
    assert [to for to, _ in leader.sent()] == [1], "it is not level: nothing live (X-44)"
    leader.hear(2, SyncProgress(2 * BODY), 21)
    assert [message for _, message in leader.sent()] == [
        Proposal(batch("1.3")),
        Proposal(batch("1.4")),
        Commit(z("1.4")),
        Proposal(batch("1.5")),  # not committed: it has to be logged and acknowledged like any live one
        NewLeader(1),
    ]
    submit(leader)
    assert [to for to, _ in leader.sent()] == [1, 2]


def test_the_disk_log_is_read_slice_by_slice():
    leader = narrow_leader(base=0)
    leader.peer.state_of_zab.applied._batches.clear()  # memory holds nothing of it
    leader.peer.state_of_zab.applied.base = z("1.6")
    join(leader, 2, 21, accepted=1, current=1, last=z("1.1"))
    assert leader.all(ReadLog) == [ReadLog(2, 21, z("1.1"), z("1.6"), BODY // 2)]
    leader.step(LogRead(2, 21, z("1.1"), (batch("1.2"),)))
    assert leader.sent() == [(2, Diff(z("1.6"))), (2, Proposal(batch("1.2")))]
    assert leader.all(ReadLog) == [ReadLog(2, 21, z("1.2"), z("1.6"), BODY // 2)]
    leader.step(LogRead(2, 21, z("1.2"), (batch("1.3"),)))
    assert leader.all(ReadLog) == [], "the window is full"
    leader.hear(2, SyncProgress(2 * BODY), 21)
    assert leader.all(ReadLog) == [ReadLog(2, 21, z("1.3"), z("1.6"), BODY // 2)]


@pytest.mark.parametrize("answer", [None, (), (batch("1.5"),)])
@pytest.mark.covers("X-23")
def test_a_log_that_fails_half_way_costs_one_session_and_then_the_tree_is_sent(answer: tuple[object, ...] | None):
    leader = narrow_leader()
    leader.peer.state_of_zab.applied._batches.clear()
    leader.peer.state_of_zab.applied.base = z("1.6")
    join(leader, 2, 21, accepted=1, current=1, last=z("1.1"))
    leader.step(LogRead(2, 21, z("1.1"), (batch("1.2"),)))
    leader.step(LogRead(2, 21, z("1.2"), answer))  # type: ignore[arg-type]
    assert leader.effects == [CloseSession(2, 21)]
    leader.hear(2, FollowerInfo(2, may_vote=True), 22)
    leader.hear(2, AckEpoch(-1, z("1.1")), 22)
    assert leader.sent()[0] == (2, Snap(z("1.6")))


def test_the_tree_is_kept_as_it_is_and_its_chunks_are_asked_for_one_by_one():
    leader = elected_leader(NARROW, log=LONG, accepted=1, current=1)
    leader.hear(1, FollowerInfo(1, may_vote=True), 11)
    leader.hear(1, AckEpoch(1, z("1.1"), need_snap=True), 11)
    assert leader.effects[-2:] == [StreamSnapshot((1, 11), z("1.6")), ReadSnapshot(1, 11)]
    leader.step(SnapshotRead(1, 11, b"x" * BODY, last=False))
    assert leader.sent() == [(1, SnapChunk(b"x" * BODY, last=False))]
    leader.step(SnapshotRead(1, 11, b"y" * BODY, last=False))
    assert leader.all(ReadSnapshot) == [], "the window is full"
    leader.hear(1, SyncProgress(BODY), 11)
    assert leader.all(ReadSnapshot) == [ReadSnapshot(1, 11)]
    leader.step(SnapshotRead(1, 11, b"z", last=True))
    assert leader.sent() == [(1, SnapChunk(b"z", last=True)), (1, NewLeader(2))]


def test_a_snapshot_that_cannot_be_read_on_costs_the_session():
    leader = elected_leader(NARROW, log=LONG, accepted=1, current=1)
    leader.hear(1, FollowerInfo(1, may_vote=True), 11)
    leader.hear(1, AckEpoch(1, z("1.1"), need_snap=True), 11)
    leader.step(SnapshotRead(1, 11, None, last=False))
    assert leader.effects == [CloseSession(1, 11)]


def test_what_is_read_for_an_ended_session_is_dropped():
    leader = narrow_leader()
    leader.step(SessionClosed(1, 11))
    assert leader.step(SnapshotRead(1, 11, b"x", last=False)) == []
    assert leader.step(LogRead(1, 11, z("1.2"), (batch("1.3"),))) == []


def test_too_much_outstanding_holds_proposals_back_until_the_learner_has_joined(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synchronizer, "JOIN_BYTES_MAX", BODY)
    leader = established_leader()
    submit(leader)
    submit(leader)
    join(leader, 2, 21)
    assert leader.sent() == [(2, Diff(0))]
    assert leader.peer.room == 0
    leader.hear(1, Ack(z("1.2")), 11)
    leader.flush("1.2")
    assert [message for to, message in leader.sent() if to == 2] == [
        Proposal(batch("1.1")),
        Proposal(batch("1.2")),
        Commit(z("1.2")),
        NewLeader(1),
    ]
    assert leader.peer.room > 0


def test_a_learner_that_waited_to_join_and_went_holds_nothing_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synchronizer, "JOIN_BYTES_MAX", BODY)
    leader = established_leader()
    submit(leader)
    submit(leader)
    join(leader, 2, 21)
    leader.step(SessionClosed(2, 21))
    assert leader.peer.room > 0


def test_a_leader_steps_down_if_those_wait_to_join_who_would_have_to_commit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synchronizer, "JOIN_BYTES_MAX", BODY)
    leader = established_leader()
    submit(leader)
    submit(leader)
    join(leader, 1, 12, accepted=1, current=1)  # both followers come anew, one after the other
    join(leader, 2, 21)
    assert leader.peer.room == 0
    leader.step(Tick())
    assert leader.peer.state is ServerState.LOOKING
    assert leader.peer.state_of_zab.last_zxid == z("1.2"), "what was proposed is history now, and fed by the window"


def test_the_leader_keeps_a_learner_that_it_is_reading_for_from_giving_up():
    leader = narrow_leader()
    leader.step(Tick())
    assert (1, Ping(z("2.0"))) in leader.sent()


def test_the_own_log_is_not_purged_before_it_is_sent():
    leader = narrow_leader()
    gen = leader.peer.state_of_zab.gen
    leader.step(SnapshotWritten(gen, z("1.6"), ok=True))
    assert leader.effects == [EndSnapshot(keep=True, log_after=z("1.2"))]
    leader.step(SessionClosed(1, 11))
    leader.step(SnapshotWritten(gen, z("1.6"), ok=True))
    assert leader.effects == [EndSnapshot(keep=True, log_after=None)]


# -- the learner's side


def reports(learner: Party) -> list[object]:
    return [message for _, message in learner.sent() if isinstance(message, SyncProgress)]


def test_the_learner_reports_each_quarter_of_a_window_and_at_every_tick():
    config = ZabConfig(voters=(1, 2, 3), observers=(4,), sync_window_bytes=8 * BODY)
    learner = looking_learner(config=config)
    tell(learner, LeaderInfo(1), Diff(z("1.3")), Proposal(batch("1.1")))
    assert reports(learner) == []
    tell(learner, Proposal(batch("1.2")))
    assert reports(learner) == [SyncProgress(2 * BODY)]
    tell(learner, Proposal(batch("1.3")))
    learner.step(Tick())
    assert reports(learner) == [SyncProgress(3 * BODY)]


def test_chunks_count_and_a_new_session_counts_anew():
    config = ZabConfig(voters=(1, 2, 3), observers=(4,), sync_window_bytes=1)
    learner = looking_learner(config=config)
    tell(learner, LeaderInfo(2), Snap(z("1.7")), SnapChunk(b"abc", last=False))
    assert [type(effect) for effect in learner.effects[:2]] == [LoadSnapshot, Install]
    assert reports(learner) == [SyncProgress(3)]
    learner = looking_learner(config=config, log=batches(("1.1", 1)))
    tell(learner, LeaderInfo(2), Trunc(0))
    session = learner.peer.role.session  # type: ignore[union-attr]
    learner.step(Truncated(learner.peer.state_of_zab.gen, None))
    assert learner.peer.role.session > session  # type: ignore[union-attr]
    tell(learner, LeaderInfo(2), Snap(0), SnapChunk(b"ab", last=True))
    assert reports(learner) == [SyncProgress(2)]
