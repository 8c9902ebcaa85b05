"""`sync` at the leader: by its own word, or confirmed by a quorum that still follows it (zab.md 5.8, Z-16)."""

import msgspec
import pytest
from zab_parties import FIVE, WITH_OBSERVER, Party, batch, elected_leader, established_leader, join, z

from lab.zab.config import ZabConfig
from lab.zab.effects import CloseSession, Synced
from lab.zab.events import Submit, SyncAsked, Tick
from lab.zab.messages import Ack, AckEpoch, Commit, FollowerInfo, ObserverInfo, Ping, Sync


def by_quorum(config: ZabConfig) -> ZabConfig:
    return msgspec.structs.replace(config, sync_mode="quorum")


def leader_of(config: ZabConfig, *voters: int) -> Party:
    """Server 3, established with these voters; the session of voter v is 10 * v + 1."""
    leader = elected_leader(by_quorum(config))
    for message in (FollowerInfo(0, may_vote=True), AckEpoch(0, 0), Ack(z("1.0"))):
        for voter in voters:
            leader.hear(voter, message, 10 * voter + 1)
    assert leader.peer.phase.name == "BROADCAST"
    return leader


def submit(leader: Party) -> None:
    leader.step(Submit(1, batch(leader.peer.next_zxid).body))


def test_by_the_leaders_word_a_sync_waits_for_what_is_proposed_and_for_nothing_else():
    leader = established_leader()
    leader.hear(1, Sync(1), 11)
    assert leader.sent() == [(1, Sync(1))]
    submit(leader)
    leader.hear(1, Sync(2), 11)
    assert leader.sent() == []
    leader.step(SyncAsked(3))
    assert leader.effects == [Synced(3)]  # on the leader it passes like a read
    leader.hear(1, Ack(z("1.1")), 11)
    leader.flush("1.1")
    assert leader.sent() == [(1, Commit(z("1.1"))), (1, Sync(2))]


@pytest.mark.covers("Z-16", "X-39")
def test_by_quorum_a_sync_is_answered_by_the_echo_of_a_ping_sent_after_it():
    leader = leader_of(FIVE, 1, 2)
    leader.step(Tick())
    leader.hear(1, Sync(7), 11)
    assert leader.sent() == [(1, Ping(z("1.0"), 1)), (2, Ping(z("1.0"), 1))]
    for voter in (1, 2):
        leader.hear(voter, Ping(z("1.0"), 0), 10 * voter + 1)  # of the tick before: proves nothing
        assert leader.sent() == []
    leader.hear(1, Ping(z("1.0"), 1), 11)
    assert leader.sent() == []  # with the leader 2 of 5
    leader.hear(2, Ping(z("1.0"), 1), 21)
    assert leader.sent() == [(1, Sync(7))]


def test_by_quorum_what_is_not_committed_holds_no_sync_back():
    leader = leader_of(FIVE, 1, 2)
    submit(leader)
    leader.hear(1, Sync(7), 11)
    leader.hear(1, Ping(z("1.1"), 1), 11)
    leader.hear(2, Ping(z("1.1"), 1), 21)
    assert leader.sent() == [(1, Sync(7))]


@pytest.mark.covers("Z-16")
def test_one_round_serves_all_that_arrived_before_it_was_sent():
    leader = leader_of(ZabConfig(voters=(1, 2, 3)), 1, 2)
    leader.hear(1, Sync(7), 11)
    leader.hear(1, Sync(8), 11)
    leader.hear(2, Sync(9), 21)
    leader.step(SyncAsked(10))
    assert leader.sent() == []  # a round is on its way: it began before these
    leader.hear(2, Ping(z("1.0"), 1), 21)
    assert leader.sent() == [(1, Sync(7)), (1, Ping(z("1.0"), 2)), (2, Ping(z("1.0"), 2))]
    leader.hear(2, Ping(z("1.0"), 2), 21)
    assert leader.sent() == [(1, Sync(8)), (2, Sync(9))]
    assert leader.effects[-1] == Synced(10)
    leader.hear(1, Ping(z("1.0"), 2), 11)
    assert leader.effects == []


@pytest.mark.covers("Z-16", "INV-16")
def test_an_observers_echo_proves_nothing():
    leader = leader_of(WITH_OBSERVER, 1)
    leader.hear(4, ObserverInfo(0), 41)
    leader.hear(4, AckEpoch(0, 0), 41)
    leader.hear(4, Ack(z("1.0")), 41)
    leader.hear(4, Sync(7), 41)
    assert leader.sent() == [(1, Ping(z("1.0"), 1))]
    leader.hear(4, Ping(z("1.0"), 1), 41)
    assert leader.sent() == []
    leader.hear(1, Ping(z("1.0"), 1), 11)
    assert leader.sent() == [(4, Sync(7))]


def test_a_leader_alone_confirms_itself():
    leader = Party(3, by_quorum(ZabConfig(voters=(3,), observers=(4,))))
    leader.step(SyncAsked(7))
    assert leader.effects == [Synced(7)]


@pytest.mark.covers("Z-16", "INV-22")
def test_a_later_commit_confirms_a_sync_and_stands_behind_its_answer():
    """INV-22: the commit may be of a write that stands behind the sync in the same session."""
    leader = leader_of(ZabConfig(voters=(1, 2, 3)), 1)
    submit(leader)
    leader.hear(1, Sync(7), 11)
    submit(leader)
    leader.flush("1.2")
    leader.hear(1, Ack(z("1.1")), 11)
    assert leader.sent() == [(1, Commit(z("1.1")))]  # it was proposed before the sync: proves nothing
    leader.hear(1, Ack(z("1.2")), 11)
    assert leader.sent() == [(1, Sync(7)), (1, Commit(z("1.2")))]
    leader.hear(1, Ping(z("1.1"), 1), 11)
    assert leader.sent() == []


@pytest.mark.covers("Z-16")
def test_a_round_whose_echo_was_lost_with_a_session_is_repeated_by_the_next_ping():
    leader = leader_of(ZabConfig(voters=(1, 2, 3)), 1, 2)
    leader.hear(2, Sync(7), 21)
    join(leader, 1, 12, accepted=1, current=1)
    leader.hear(1, Ack(z("1.0")), 12)
    leader.step(Tick())
    assert (1, Ping(z("1.0"), 1)) in leader.sent()
    leader.hear(1, Ping(z("1.0"), 1), 11)  # the old session has ended
    assert leader.sent() == []
    leader.hear(1, Ping(z("1.0"), 1), 12)
    assert leader.sent() == [(2, Sync(7))]


def test_echo_of_a_ping_that_was_never_sent_breaks_the_session():
    leader = leader_of(ZabConfig(voters=(1, 2, 3)), 1)
    leader.hear(1, Ping(z("1.0"), 5), 11)
    assert CloseSession(1, 11) in leader.effects
    assert "echo of ping 5" in leader.peer.last_problem


@pytest.mark.parametrize("mode", ["leader", "quorum"])
def test_syncs_that_wait_when_the_leader_steps_down_are_answered_by_nobody(mode: str):
    config = msgspec.convert({"voters": [1, 2, 3], "sync_mode": mode}, ZabConfig)
    leader = established_leader(config)
    submit(leader)
    leader.hear(1, Sync(7), 11)
    for _ in range(10):
        leader.step(Tick())
        assert not any(isinstance(message, Sync) for _, message in leader.sent())
    assert leader.peer.state.name == "LOOKING"
