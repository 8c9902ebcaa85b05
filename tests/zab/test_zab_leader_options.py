"""What a leader does differently when the configuration says so."""

from zab_parties import Party, batch, established_leader, z

from lab.zab.config import ZabConfig
from lab.zab.effects import CancelTimer, SetTimer, StopServing
from lab.zab.events import Submit, Timeout
from lab.zab.leader import PROPOSALS
from lab.zab.messages import Ack

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


def test_a_proposal_that_stays_uncommitted_ends_its_leader():
    leader = established_leader(IMPATIENT)
    assert leader.effects[-1] == SetTimer(PROPOSALS, 50)
    submit(leader)
    assert checks_until_over(leader) == 5  # it was there at the first check; 4 x 50 ms later it still is
    assert leader.effects[0] == StopServing()
    assert CancelTimer(PROPOSALS) in leader.effects
    assert leader.peer.last_problem == "a proposal stayed uncommitted for 200 ms"
    assert leader.peer.last_zxid == z("1.1")  # nothing is taken back


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
