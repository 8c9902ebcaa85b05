"""Fast leader election: the order of votes, when two count as one, rounds, the quiet period, joining (zab.md 3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zab_parties import FIVE, THREE, WITH_OBSERVER, Party, established_leader, serving_learner, session_of, z

from lab.zab.config import ZabConfig
from lab.zab.effects import CancelTimer, Notify, SetTimer
from lab.zab.election import FINALIZE, NOBODY, NOTIFY, is_better, is_same_vote
from lab.zab.events import Notified, PeerDown, PeerUp, SessionClosed, Timeout
from lab.zab.messages import Notification, ServerState, Vote

LOOKING, FOLLOWING, LEADING, _ = ServerState
votes = st.builds(Vote, st.integers(-1, 3), st.integers(-1, 3), st.integers(0, 3))


def report(sender: int, state: ServerState, leader: int, *, epoch: int = 1, round_: int = 7, announce: bool = False):
    return Notified(sender, Notification(state, Vote(epoch, 0, leader), round_, announce))


def told(party: Party) -> list[tuple[tuple[int, ...], Notification]]:
    return [(e.to, e.notification) for e in party.effects if isinstance(e, Notify)]


# -- votes


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (Vote(1, 9, 3), Vote(2, 1, 1)),  # the epoch first
        (Vote(2, z("2.1"), 3), Vote(3, z("1.7"), 1)),  # E6: even before the zxid
        (Vote(1, 8, 3), Vote(1, 9, 1)),  # then the zxid
        (Vote(1, 9, 1), Vote(1, 9, 2)),  # then the id
        (NOBODY, Vote(0, 0, 1)),
    ],
)
@pytest.mark.covers("S57", "S58", "S59", "S60", "X-3")
def test_order_of_votes(worse: Vote, better: Vote):
    assert is_better(better, worse)
    assert not is_better(worse, better)


@given(votes, votes, votes)
@pytest.mark.covers("X-3")
def test_order_of_votes_is_total(a: Vote, b: Vote, c: Vote):
    assert is_better(a, b) + is_better(b, a) + (a == b) == 1
    assert not (is_better(a, b) and is_better(b, c)) or is_better(a, c)


@pytest.mark.parametrize(
    ("states", "change", "same"),
    [
        ((LOOKING, LOOKING), {}, True),
        ((LOOKING, LOOKING), {"round_": 8}, False),
        ((LOOKING, LOOKING), {"zxid": 5}, False),
        ((LOOKING, FOLLOWING), {"zxid": 5}, False),  # one of them looks: everything must match
        ((FOLLOWING, LEADING), {"zxid": 5, "round_": 8}, True),  # members of a running ensemble may differ in these
        ((FOLLOWING, LEADING), {"epoch": 2}, False),
        ((FOLLOWING, LEADING), {"leader": 2}, False),
    ],
)
@pytest.mark.covers("X-4")
def test_reports_that_count_as_one(states: tuple[ServerState, ServerState], change: dict[str, int], same: bool):
    vote = {"epoch": 1, "zxid": 0, "leader": 3, "round_": 7}

    def notification(state: ServerState, fields: dict[str, int]) -> Notification:
        return Notification(state, Vote(fields["epoch"], fields["zxid"], fields["leader"]), fields["round_"])

    assert is_same_vote(notification(states[0], vote), notification(states[1], vote | change)) is same


# -- rounds


@pytest.mark.covers("S48", "S51", "S54", "S55")
def test_starts_by_proposing_itself_to_all_other_voters():
    party = Party(1, WITH_OBSERVER, log=[], accepted=2, current=2)
    assert party.peer.election.vote == Vote(2, 0, 1)
    party.step(Timeout(NOTIFY))
    assert [to for to, _ in told(party)] == [(2, 3)]


@pytest.mark.covers("S57", "S58", "S60", "INV-20")
def test_better_vote_is_adopted_and_told_once():
    party = Party(1, FIVE)
    party.vote(2, 2)
    assert party.peer.election.vote.leader == 2
    assert [to for to, _ in told(party)] == [(2, 3, 4, 5)]
    party.vote(3, 2)
    assert told(party) == []


@pytest.mark.covers("INV-20", "S19")
def test_newer_round_empties_the_box_and_compares_with_the_own_first_vote():
    party = Party(2, FIVE)
    party.vote(3, 3)
    party.vote(1, 1, round_=5)
    assert party.peer.election.round == 5
    assert party.peer.election.vote.leader == 2  # not 3: votes of the older round are void


@pytest.mark.covers("S57")
def test_older_round_is_answered_and_does_not_count():
    party = Party(3, FIVE)
    party.vote(1, 3, round_=4)
    party.vote(2, 3, round_=3)
    assert [(to, n.round) for to, n in told(party)] == [((2,), 4)]


def test_observer_ahead_in_rounds_does_not_answer_voters_that_answer_it():
    observer = Party(4, WITH_OBSERVER)
    observer.vote(1, 1, round_=3)
    observer.vote(2, 2, round_=1)
    assert observer.effects == []
    voter = Party(2, WITH_OBSERVER)
    voter.vote(4, 0, epoch=-1, zxid=-1, round_=3)
    assert [to for to, _ in told(voter)] == [(4,)]
    assert voter.peer.election.round == 1


@pytest.mark.covers("S50", "S91", "INV-16")
def test_rounds_and_votes_of_observers_count_nowhere():
    party = Party(3, ZabConfig(voters=(1, 2, 3), observers=(4, 5)))
    for observer in (4, 5):
        party.vote(observer, 3)
    assert party.peer.state is LOOKING


@pytest.mark.covers("E1")
def test_resends_back_off_up_to_the_cap():
    party = Party(1, ZabConfig(voters=(1, 2, 3), notify_interval_ms=200, notify_interval_ms_max=1000))
    delays = []
    for _ in range(5):
        party.step(Timeout(NOTIFY))
        delays += [effect.delay_ms for effect in party.all(SetTimer)]
    assert delays == [400, 800, 1000, 1000, 1000]


@pytest.mark.covers("X-6")
def test_malformed_candidate_is_ignored():
    party = Party(1, THREE)
    assert party.vote(2, 9) == []


# -- the quiet period


@pytest.mark.covers("X-9", "Z-17")
def test_quorum_waits_for_voters_never_heard_of():
    party = Party(3, THREE)
    party.vote(1, 3)
    assert party.all(SetTimer) == [SetTimer(FINALIZE, 200)]
    party.step(Timeout(FINALIZE))
    assert party.peer.state is LEADING
    assert CancelTimer(NOTIFY) in party.effects


@pytest.mark.covers("Z-17", "X-5")
def test_no_wait_once_every_voter_agrees_or_is_known_to_be_gone():
    party = Party(3, THREE)
    party.vote(1, 3)
    party.step(PeerDown(2, 102))
    assert party.peer.state is LEADING


@pytest.mark.covers("Z-17")
def test_without_finalize_early_the_wait_runs_even_if_all_agree():
    party = Party(3, ZabConfig(voters=(1, 2, 3), finalize_early=False))
    party.vote(1, 3)
    party.vote(2, 3)
    assert party.peer.state is LOOKING


@pytest.mark.covers("X-7", "Z-17", "S61")
def test_better_vote_reopens_the_quiet_period():
    party = Party(1, FIVE)
    party.vote(2, 3)
    party.vote(3, 3)
    party.vote(5, 5)
    party.step(Timeout(FINALIZE))
    assert party.peer.state is LOOKING
    party.vote(2, 5)
    assert party.all(SetTimer) == [SetTimer(FINALIZE, 200)]
    party.vote(4, 5)
    party.step(Timeout(FINALIZE))
    assert party.peer.leader == 5


# -- joining a running ensemble


@pytest.mark.covers("S53", "S49", "S65", "X-2", "INV-21")
def test_joins_on_a_quorum_of_reports_that_its_leader_confirms():
    party = Party(1, FIVE)
    party.step(report(2, FOLLOWING, 3))
    party.step(report(4, FOLLOWING, 3))
    party.step(report(5, FOLLOWING, 3))
    assert party.peer.state is LOOKING  # a quorum, but the leader itself is silent: it may be dead (checkLeader)
    party.step(report(3, LEADING, 3))
    assert (party.peer.state, party.peer.leader) == (FOLLOWING, 3)


@pytest.mark.covers("X-4")
def test_reports_of_other_rounds_and_zxids_still_agree():
    party = Party(1, THREE)
    party.step(Notified(2, Notification(FOLLOWING, Vote(4, 17, 3), 2)))
    party.step(Notified(3, Notification(LEADING, Vote(4, 99, 3), 9)))
    assert party.peer.leader == 3
    assert party.peer.election.round == 9


@pytest.mark.covers("X-2")
def test_others_saying_that_i_lead_is_believed_in_my_round_only():
    party = Party(3, THREE)
    party.step(report(1, FOLLOWING, 3, round_=7))
    party.step(report(2, FOLLOWING, 3, round_=7))
    assert party.peer.state is LOOKING


@pytest.mark.covers("X-2", "INV-21")
def test_a_report_of_my_last_leadership_does_not_make_up_the_quorum_of_this_round():
    party = Party(3, FIVE)
    party.step(report(4, FOLLOWING, 3, round_=7))
    party.step(report(1, FOLLOWING, 3, round_=1))
    party.step(report(2, FOLLOWING, 3, round_=1))
    assert party.peer.state is LOOKING
    party.step(report(4, FOLLOWING, 3, round_=1))
    assert party.peer.state is LEADING


@pytest.mark.covers("X-2", "Z-12")
def test_wiped_server_does_not_lead_on_stale_reports():
    party = Party(3, THREE, base=-1, may_vote=False)
    party.step(report(1, FOLLOWING, 3, round_=1))
    party.step(report(2, FOLLOWING, 3, round_=1))
    assert party.peer.state is LOOKING  # Z-12


def test_wiped_server_proposes_and_elects_nobody():
    party = Party(1, THREE, base=-1, may_vote=False)
    assert party.peer.election.vote == NOBODY
    party.vote(2, 3)
    party.vote(3, 3)
    party.step(Timeout(FINALIZE))
    assert party.peer.state is LOOKING


@pytest.mark.covers("Z-12")
def test_wiped_voters_vote_is_not_counted():
    party = Party(3, THREE)
    party.vote(1, 0, epoch=-1, zxid=-1)
    party.step(Timeout(FINALIZE))
    assert party.peer.state is LOOKING


@pytest.mark.covers("Z-15")
def test_announcement_is_asked_about_once():
    party = Party(1, FIVE)
    party.step(report(3, LEADING, 3, announce=True))
    assert [to for to, _ in told(party)] == [(2, 3, 4, 5)]
    party.step(report(3, LEADING, 3, announce=True))
    assert told(party) == []


# -- what settled servers answer


@pytest.mark.covers("X-4", "S49")
def test_settled_server_answers_who_looks_with_the_epoch_in_force():
    leader = established_leader()
    leader.vote(2, 2, round_=1)
    assert told(leader) == [((2,), Notification(LEADING, Vote(1, 0, 3), 1))]
    follower = serving_learner()
    follower.vote(2, 2, round_=8)
    assert [n.state for _, n in told(follower)] == [FOLLOWING]
    assert follower.step(report(2, FOLLOWING, 3)) == []


@pytest.mark.covers("S52")
def test_fresh_link_is_told_the_vote_again():
    party = Party(1, THREE)
    party.step(PeerUp(2, 555))
    assert [to for to, _ in told(party)][-1] == (2,)


@pytest.mark.covers("INV-20")
def test_round_grows_with_every_election():
    follower = serving_learner()
    before = follower.peer.election.round
    follower.step(SessionClosed(3, session_of(follower)))
    assert follower.peer.election.round == before + 1
