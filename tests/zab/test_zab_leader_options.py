"""What a leader does differently when the configuration says so."""

import pytest
from zab_parties import Party, batch, elected_leader, established_leader, z

from lab.zab.config import ZabConfig
from lab.zab.effects import CancelTimer, Deliver, SetTimer, StopServing
from lab.zab.events import Submit, Tick, Timeout
from lab.zab.leader import PROPOSALS
from lab.zab.messages import Ack, FollowerInfo, LeaderInfo

IMPATIENT = ZabConfig(voters=(1, 2, 3), proposal_timeout_ms=200)


def submit(leader: Party) -> None:
    leader.step(Submit(1, batch(leader.peer.next_zxid).body))


def checks_until_over(leader: Party) -> int:
    """How often the timer runs out, at most 9 times, before the leader steps down."""
    for count in range(1, 10):
        leader.step(Timeout(PROPOSALS))
        if leader.peer.state.name == "LOOKING":
            return count
        assert leader.effects == [SetTimer(PROPOSALS, 50)]
    return 10


# -- proposal_timeout_ms (zab.md 6.2, F1)


@pytest.mark.covers("F1", "S81")
def test_a_proposal_that_stays_uncommitted_ends_its_leader():
    leader = established_leader(IMPATIENT)
    assert leader.effects[-1] == SetTimer(PROPOSALS, 50)
    submit(leader)
    assert checks_until_over(leader) == 5  # it was there at the first check; 4 x 50 ms later it still is
    assert leader.effects[0] == StopServing()
    assert CancelTimer(PROPOSALS) in leader.effects
    assert leader.peer.last_problem == "a proposal stayed uncommitted for 200 ms"
    assert leader.peer.last_zxid == z("1.1")  # nothing is taken back


@pytest.mark.covers("F1")
def test_proposals_that_become_committed_in_time_do_not():
    leader = established_leader(IMPATIENT)
    for counter in range(1, 20):
        submit(leader)
        leader.step(Timeout(PROPOSALS))
        if counter > 3:  # always three outstanding, none of them for long
            acked = f"1.{counter - 3}"
            leader.hear(1, Ack(z(acked)), 11)
            leader.flush(acked)
    assert leader.peer.state.name == "LEADING"
    assert checks_until_over(leader) == 2  # 1.17 was there at the last but two: that makes four


def test_without_proposals_nothing_ends():
    assert checks_until_over(established_leader(IMPATIENT)) == 10


def test_without_the_timeout_there_is_no_timer():
    leader = established_leader()
    assert leader.all(SetTimer) == []


# -- leader_log_first (S74)


@pytest.mark.covers("S74")
def test_a_proposal_may_wait_for_the_leaders_own_disk():
    leader = established_leader(ZabConfig(voters=(1, 2, 3), leader_log_first=True))
    submit(leader)
    assert leader.kinds() == ["Append", "Barrier", "Proposal"]
    leader.hear(1, Ack(z("1.1")), 11)  # the own vote is there already: a Barrier yields no Flushed
    assert leader.all(Deliver) == [Deliver(batch("1.1"))]


def test_a_leader_alone_commits_what_it_has_logged_first():
    leader = Party(3, ZabConfig(voters=(3,), leader_log_first=True))
    submit(leader)
    assert leader.kinds() == ["Append", "Barrier", "FirstCommit", "Deliver"]


# -- sync_grace_ticks (S38)


def offers(leader: Party) -> list[int]:
    return [to for to, message in leader.sent() if isinstance(message, LeaderInfo)]


def graceful_leader() -> Party:
    """With a quorum, and two ticks to wait for voter 2."""
    leader = elected_leader(ZabConfig(voters=(1, 2, 3), sync_grace_ticks=2))
    leader.hear(1, FollowerInfo(0, may_vote=True), 11)
    assert offers(leader) == []
    return leader


@pytest.mark.covers("S38")
def test_the_epoch_waits_for_the_last_voter():
    leader = graceful_leader()
    leader.step(Tick())
    leader.hear(2, FollowerInfo(0, may_vote=False), 21)  # it need not be of use, it is there
    assert offers(leader) == [1, 2]


@pytest.mark.covers("S38")
def test_the_epoch_does_not_wait_for_ever():
    leader = graceful_leader()
    leader.step(Tick())
    assert offers(leader) == []
    leader.step(Tick())
    assert offers(leader) == [1]


def test_grace_makes_no_quorum():
    leader = elected_leader(ZabConfig(voters=(1, 2, 3), sync_grace_ticks=2))
    for _ in range(3):
        leader.step(Tick())
    assert offers(leader) == []
    leader.hear(1, FollowerInfo(0, may_vote=True), 11)
    assert offers(leader) == [1]
