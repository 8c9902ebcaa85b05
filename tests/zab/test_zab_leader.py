"""The leader alone, everybody else played by the test: discovery, establishment, broadcast, stepping down."""

import pytest
from zab_parties import (
    FIVE,
    THREE,
    WITH_OBSERVER,
    Party,
    batch,
    batches,
    elected_leader,
    established_leader,
    join,
    synchronizing_leader,
    z,
)

from lab.zab.constants import COUNTER_MAX, NO_ZXID
from lab.zab.effects import (
    Append,
    Barrier,
    CloseSession,
    Deliver,
    FirstCommit,
    Replay,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Serve,
    StopServing,
)
from lab.zab.events import Flushed, PeerDown, PeerUp, Received, SessionClosed, Submit, Tick
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
    ServerState,
    Sync,
    SyncProgress,
    Trunc,
    UpToDate,
)
from lab.zab.peer import Peer


def submit(leader: Party, count: int = 1) -> None:
    first = leader.peer.next_zxid
    leader.step(Submit(count, batch(first, count).body))


def is_leading(leader: Party) -> bool:
    return leader.peer.state is ServerState.LEADING


# -- discovery


@pytest.mark.covers("S21", "S39", "X-1", "INV-11")
def test_new_epoch_exceeds_every_promise_of_the_quorum():
    leader = elected_leader(accepted=4, current=4)
    leader.hear(1, FollowerInfo(7, may_vote=True), 11)
    assert leader.effects[0] == SaveAcceptedEpoch(8)
    assert leader.sent() == [(1, LeaderInfo(8))]


@pytest.mark.covers("INV-4")
def test_own_promise_is_durable_before_it_is_offered():
    leader = elected_leader()
    leader.hear(1, FollowerInfo(0, may_vote=True), 11)
    assert leader.kinds() == ["SaveAcceptedEpoch", "LeaderInfo"]


@pytest.mark.covers("INV-16", "S102")
def test_observer_raises_the_epoch_but_does_not_complete_the_quorum():
    leader = elected_leader(WITH_OBSERVER)
    leader.hear(4, ObserverInfo(6), 41)
    assert leader.sent() == []
    leader.hear(1, FollowerInfo(0, may_vote=True), 11)
    assert leader.sent() == [(1, LeaderInfo(7)), (4, LeaderInfo(7))]


@pytest.mark.covers("Z-12")
def test_wiped_voter_helps_to_choose_no_epoch():
    leader = elected_leader()
    leader.hear(1, FollowerInfo(0, may_vote=False), 11)
    assert leader.sent() == []


@pytest.mark.parametrize(
    ("info", "ack"),
    [
        (FollowerInfo(0, may_vote=False), AckEpoch(0, NO_ZXID)),  # wiped (Z-12)
        (FollowerInfo(0, may_vote=True), AckEpoch(-1, 0)),  # accepted this very epoch before (INV-13)
        (FollowerInfo(0, may_vote=True), AckEpoch(0, NO_ZXID)),
    ],
)
@pytest.mark.covers("Z-12", "INV-13")
def test_such_an_ack_of_the_epoch_does_not_count(info: FollowerInfo, ack: AckEpoch):
    leader = elected_leader(FIVE)
    leader.hear(1, FollowerInfo(0, may_vote=True), 11)
    leader.hear(2, FollowerInfo(0, may_vote=True), 21)
    leader.hear(1, AckEpoch(0, 0), 11)
    leader.hear(4, info, 41)
    leader.hear(4, ack, 41)
    assert leader.peer.phase is Phase.DISCOVERY
    leader.hear(2, AckEpoch(0, 0), 21)
    assert leader.peer.phase is Phase.SYNCHRONIZATION


@pytest.mark.parametrize(
    ("current", "last"),
    [(1, "1.4"), (2, "1.1")],  # a longer log in the same epoch; a later epoch with a shorter one
)
@pytest.mark.covers("S40", "X-10")
def test_more_recent_voter_is_refused_until_established(current: int, last: str):
    leader = elected_leader(log=batches(("1.1", 3)), accepted=1, current=1)
    join(leader, 1, 11, accepted=1, current=current, last=z(last))
    assert CloseSession(1, 11) in leader.effects
    assert leader.peer.phase is Phase.DISCOVERY


@pytest.mark.covers("Z-12")
def test_recency_check_goes_on_after_the_quorum_is_complete():
    leader = elected_leader(log=batches(("1.1", 3)), accepted=1, current=1)
    join(leader, 1, 11, accepted=1, current=1, last=z("1.3"))
    assert leader.peer.phase is Phase.SYNCHRONIZATION
    join(leader, 2, 21, accepted=1, current=1, last=z("1.4"))
    assert leader.effects == [CloseSession(2, 21)]


@pytest.mark.covers("Z-4", "X-1")
def test_learner_with_a_greater_promise_ends_the_term_and_raises_the_next_epoch():
    leader = established_leader()
    leader.hear(2, FollowerInfo(9, may_vote=True), 21)
    assert not is_leading(leader)  # Z-4
    assert CloseSession(2, 21) in leader.effects  # it looks again at once, not after initLimit
    for voter in (1, 2):
        leader.vote(voter, 3, epoch=1, round_=2)
    assert is_leading(leader)
    leader.hear(1, FollowerInfo(1, may_vote=True), 12)
    assert leader.effects[0] == SaveAcceptedEpoch(10)


# -- synchronization and establishment


@pytest.mark.covers("INV-12", "X-13")
def test_current_epoch_is_durable_before_the_first_history_is_sent():
    leader = elected_leader()
    leader.hear(1, FollowerInfo(0, may_vote=True), 11)
    leader.hear(1, AckEpoch(0, 0), 11)
    assert leader.kinds() == ["SaveCurrentEpoch", "Entered", "Diff", "NewLeader"]
    assert leader.all(SaveCurrentEpoch) == [SaveCurrentEpoch(1)]


@pytest.mark.covers("S38", "X-13")
def test_established_only_by_a_quorum_of_acks_of_its_own_epoch():
    leader = synchronizing_leader()
    leader.hear(1, Ack(z("1.0")), 11)
    assert leader.peer.phase is Phase.SYNCHRONIZATION
    leader.hear(2, Ack(z("1.0")), 21)
    assert leader.peer.phase is Phase.BROADCAST
    assert [message for _, message in leader.sent()] == [UpToDate(), UpToDate()]
    assert leader.effects[-1] == Serve(leading=True)


@pytest.mark.covers("Z-1", "S42", "X-24")
def test_old_history_is_sent_as_committed_before_new_leader():
    leader = elected_leader(log=batches(("1.1", 2), ("2.1", 1)), accepted=2, current=2)
    join(leader, 1, 11, accepted=1, current=1, last=z("1.1"))
    assert leader.sent() == [
        (1, Diff(z("2.1"))),
        (1, Proposal(batch("1.2"))),
        (1, Proposal(batch("2.1"))),
        (1, Commit(z("2.1"))),
        (1, NewLeader(3)),
    ]


@pytest.mark.covers("X-12", "X-24", "X-44", "X-46")
def test_latecomer_gets_what_is_outstanding_before_new_leader_and_live_traffic_from_then_on():
    leader = established_leader()
    submit(leader, 2)
    join(leader, 2, 21)
    assert leader.sent() == [(2, Diff(0)), (2, Proposal(batch("1.1", 2))), (2, NewLeader(1))]
    submit(leader)
    assert leader.sent() == [(1, Proposal(batch("1.3"))), (2, Proposal(batch("1.3")))]
    leader.hear(1, Ack(z("1.3")), 11)
    leader.flush("1.3")
    assert (2, Commit(z("1.3"))) in leader.sent()


@pytest.mark.covers("Z-1")
def test_uncommitted_tail_of_the_leader_itself_is_cut_at_a_learner_and_sent_again():
    leader = established_leader()
    submit(leader, 2)
    leader.step(SessionClosed(1, 11))
    join(leader, 1, 12, accepted=1, current=1, last=z("1.2"))  # it had logged what is not committed
    assert leader.sent() == [(1, Trunc(0)), (1, Proposal(batch("1.1", 2))), (1, NewLeader(1))]


# -- broadcast


@pytest.mark.covers("S74", "S75")
def test_others_disks_work_while_the_own_one_does():
    leader = established_leader()
    submit(leader)
    assert leader.kinds() == ["Proposal", "Append"]


@pytest.mark.covers("S76", "INV-9")
def test_followers_ack_alone_commits_nothing_without_the_own_disk():
    leader = established_leader()
    submit(leader)
    assert leader.hear(1, Ack(z("1.1")), 11) == []
    leader.flush("1.1")
    assert leader.kinds() == ["Commit", "FirstCommit", "Deliver"]


@pytest.mark.covers("S76")
def test_followers_may_commit_before_the_own_disk_is_done():
    leader = established_leader()
    join(leader, 2, 21)
    leader.hear(2, Ack(z("1.0")), 21)
    submit(leader)
    leader.hear(1, Ack(z("1.1")), 11)
    leader.hear(2, Ack(z("1.1")), 21)
    assert leader.all(Deliver) == [Deliver(batch("1.1"))]
    assert leader.flush("1.1") == []


@pytest.mark.covers("Z-10", "INV-10")
def test_ack_covers_what_came_before_and_may_end_inside_a_batch():
    leader = established_leader()
    submit(leader, 3)
    submit(leader, 3)
    leader.flush("1.6")
    leader.hear(1, Ack(z("1.4")), 11)
    assert leader.all(Deliver) == [Deliver(batch("1.1", 3))]
    leader.hear(1, Ack(z("1.6")), 11)
    assert leader.all(Deliver) == [Deliver(batch("1.4", 3))]


@pytest.mark.covers("X-47", "Z-1")
def test_ack_of_an_ended_session_proves_nothing_in_the_next_one():
    leader = established_leader()
    submit(leader)
    leader.hear(1, Ack(z("1.1")), 11)
    join(leader, 1, 12, accepted=1, current=1, last=z("1.1"))  # it is TRUNCated now (Z-1, X-47)
    assert leader.flush("1.1") == []
    assert leader.step(Received(1, 11, Ack(z("1.1")))) == []  # nor does a late one


@pytest.mark.covers("Z-3", "X-19")
def test_flush_of_an_older_log_generation_is_ignored():
    leader = established_leader()
    submit(leader)
    leader.hear(1, Ack(z("1.1")), 11)
    gen = leader.peer.state_of_zab.gen
    assert leader.step(Flushed(gen - 1, z("1.1"))) == []


@pytest.mark.parametrize("zxid", ["1.2", "2.1", "0.1"])
@pytest.mark.covers("Z-1")
def test_impossible_ack_ends_the_session(zxid: str):
    leader = established_leader()
    submit(leader)
    leader.hear(1, Ack(z(zxid)), 11)
    assert CloseSession(1, 11) in leader.effects


@pytest.mark.covers("INV-16", "S79", "S90", "S92")
def test_observer_gets_committed_transactions_only_and_its_acks_count_nowhere():
    leader = established_leader(WITH_OBSERVER)
    leader.hear(4, ObserverInfo(0), 41)
    leader.hear(4, AckEpoch(0, 0), 41)
    leader.hear(4, Ack(z("1.0")), 41)
    submit(leader)
    assert [to for to, _ in leader.sent()] == [1]
    leader.flush("1.1")
    assert leader.hear(4, Ack(z("1.1")), 41) == []  # INV-16
    leader.hear(1, Ack(z("1.1")), 11)
    assert leader.sent() == [(1, Commit(z("1.1"))), (4, Inform(batch("1.1")))]


def test_first_commit_of_an_epoch_is_observed_once():
    leader = established_leader()
    for counter in (1, 2):
        submit(leader)
        leader.hear(1, Ack(z(f"1.{counter}")), 11)
        leader.flush(f"1.{counter}")
        assert len(leader.all(FirstCommit)) == (counter == 1)


@pytest.mark.covers("X-27", "S22")
def test_epoch_ends_before_its_counter_does():
    leader = established_leader()
    leader.peer.role.broadcast.last_proposed = z("1.0") + COUNTER_MAX - 2  # type: ignore[union-attr]
    leader.step(Submit(2, batch("1.1", 2).body))
    assert not is_leading(leader)
    assert not leader.all(Append)


# -- sync


def test_sync_is_answered_at_once_when_nothing_is_outstanding():
    leader = established_leader()
    leader.hear(1, Sync(5), 11)
    assert leader.sent() == [(1, Sync(5))]


@pytest.mark.covers("INV-22")
def test_sync_is_answered_between_the_commit_it_waits_for_and_later_ones():
    leader = established_leader()
    submit(leader)
    leader.hear(1, Sync(5), 11)
    assert leader.sent() == []
    submit(leader)
    leader.hear(1, Ack(z("1.2")), 11)
    leader.flush("1.2")
    # one commit of 1.2 would reach the follower before the answer, and with it a write sent after the sync
    assert leader.sent() == [(1, Commit(z("1.1"))), (1, Sync(5)), (1, Commit(z("1.2")))]


# -- liveness


@pytest.mark.covers("S69", "S82")
def test_steps_down_when_a_link_ends_and_leaves_no_quorum():
    leader = established_leader()
    join(leader, 2, 21)
    leader.step(PeerDown(2, 102))
    assert is_leading(leader)
    leader.step(PeerDown(1, 101))
    assert not is_leading(leader)
    assert leader.effects[0] == StopServing()


@pytest.mark.covers("INV-30", "S69")
def test_steps_down_at_the_next_tick_when_a_session_ends_and_leaves_no_quorum():
    leader = established_leader()
    leader.step(SessionClosed(1, 11))  # its link lives: it may open another one in a moment
    assert is_leading(leader)
    leader.step(Tick())
    assert not is_leading(leader)
    assert leader.effects[0] == StopServing()


@pytest.mark.covers("INV-30")
def test_silent_voter_is_dropped_after_sync_limit_ticks():
    leader = established_leader()
    for _ in range(THREE.sync_limit_ticks):
        leader.step(Tick())
        assert leader.sent() == [(1, Ping(z("1.0")))]
    leader.step(Tick())
    assert not is_leading(leader)


@pytest.mark.covers("S81")
def test_voter_that_pongs_but_does_not_log_is_dropped():
    leader = established_leader()
    submit(leader)
    ticks = 0
    while is_leading(leader):
        leader.step(Tick())
        leader.hear(1, Ping(z("1.1")), 11)
        ticks += 1
        assert ticks <= THREE.sync_limit_ticks + 2
    assert ticks > THREE.sync_limit_ticks


def test_voter_that_was_brought_level_owes_no_ack_for_that_history():
    leader = established_leader()
    submit(leader)
    leader.hear(1, Ack(z("1.1")), 11)
    leader.flush("1.1")
    join(leader, 2, 21)  # 1.1 reaches it as committed history, covered by its ack of NEWLEADER
    leader.hear(2, Ack(z("1.0")), 21)
    for _ in range(3 * THREE.sync_limit_ticks):
        leader.step(Tick())
        for voter, session in ((1, 11), (2, 21)):
            leader.hear(voter, Ping(z("1.1")), session)
    submit(leader)
    assert [to for to, _ in leader.sent()] == [1, 2]


@pytest.mark.covers("X-7")
def test_leader_that_finds_no_quorum_gives_up_after_init_limit():
    leader = elected_leader()
    for _ in range(THREE.init_limit_ticks):
        leader.step(Tick())
    assert is_leading(leader)
    leader.step(Tick())
    assert not is_leading(leader)


@pytest.mark.covers("Z-18", "Z-5")
def test_progress_of_a_needed_voter_keeps_synchronization_alive():
    leader = elected_leader()
    join(leader, 1, 11)
    for _ in range(2 * THREE.init_limit_ticks):
        leader.step(Tick())
        leader.hear(1, SyncProgress(), 11)
    assert leader.peer.phase is Phase.SYNCHRONIZATION


@pytest.mark.covers("Z-18")
def test_repeated_ack_of_new_leader_is_no_progress():
    leader = synchronizing_leader()
    for attempt in range(2 * THREE.init_limit_ticks):
        leader.hear(1, FollowerInfo(1, may_vote=True), 12 + attempt)
        leader.hear(1, AckEpoch(-1, 0), 12 + attempt)
        leader.hear(1, Ack(z("1.0")), 12 + attempt)
        leader.step(Tick())
    assert not is_leading(leader)  # Z-18


@pytest.mark.covers("Z-3", "X-15")
def test_everything_logged_is_durable_and_applied_before_the_next_vote():
    leader = established_leader()
    submit(leader, 2)
    leader.step(PeerDown(1, 101))
    kinds = leader.kinds()
    assert kinds.index("StopServing") < kinds.index("Barrier") < kinds.index("Replay") < kinds.index("Notify")
    assert leader.all(Replay) == [Replay(batch("1.1", 2))]
    assert leader.all(Barrier)
    assert leader.peer.election.vote.zxid == z("1.2")


def test_second_follower_info_in_one_session_breaks_it():
    leader = established_leader()
    leader.hear(1, FollowerInfo(1, may_vote=True), 11)
    assert leader.effects == [CloseSession(1, 11)]
    assert 1 not in leader.peer.role.handlers  # type: ignore[union-attr]


def test_broken_session_takes_the_one_in_force_with_it():
    leader = established_leader()
    leader.hear(1, ObserverInfo(1), 12)  # from a voter
    assert leader.effects == [CloseSession(1, 12), CloseSession(1, 11)]


@pytest.mark.covers("Z-5", "Z-18")
def test_voter_that_is_level_stays_while_a_slower_one_makes_progress():
    leader = synchronizing_leader()
    leader.hear(1, Ack(z("1.0")), 11)
    for _ in range(3 * FIVE.init_limit_ticks):
        leader.hear(1, SyncProgress(), 11)
        leader.hear(2, SyncProgress(), 21)
        leader.step(Tick())
        assert leader.sent() == [(1, Ping(z("1.0"))), (2, Ping(z("1.0")))]
    leader.hear(2, Ack(z("1.0")), 21)
    assert leader.sent() == [(1, UpToDate()), (2, UpToDate())]


@pytest.mark.covers("Z-9")
def test_newer_session_ends_the_older_one():
    leader = established_leader()
    leader.hear(1, FollowerInfo(1, may_vote=True), 12)
    assert leader.effects[0] == CloseSession(1, 11)


@pytest.mark.covers("S37")
def test_follower_info_that_arrives_early_is_held_until_the_decision():
    party = Party(3)
    party.hear(1, FollowerInfo(0, may_vote=True), 11)
    assert party.effects == []
    party.vote(1, 3)
    party.vote(2, 3)
    assert (1, LeaderInfo(1)) in party.sent()


def test_info_of_the_wrong_kind_that_was_held_costs_only_its_session():
    party = Party(3)
    party.hear(1, ObserverInfo(0), 11)  # a voter that takes itself for an observer
    party.hear(2, FollowerInfo(0, may_vote=True), 21)
    party.vote(1, 3)
    party.vote(2, 3)
    assert (2, LeaderInfo(1)) in party.sent()
    assert CloseSession(1, 11) in party.effects


@pytest.mark.covers("Z-9")
def test_session_numbers_of_the_two_ends_of_a_link_never_meet():
    numbers = set()
    for me in THREE.voters:
        peer: Peer = Party(me).peer
        numbers |= {peer._next_session() for _ in range(300)}
    assert len(numbers) == 900  # each may follow the other in turn over one link, where a number is used once


@pytest.mark.covers("Z-9")
def test_fresh_incarnation_ends_the_sessions_of_the_older_one():
    leader = established_leader()
    leader.step(PeerUp(1, 999))
    assert CloseSession(1, 11) not in leader.effects  # over the fresh link it could end a session of the new process
    assert not is_leading(leader)
