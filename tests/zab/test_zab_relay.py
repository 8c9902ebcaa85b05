"""A follower that relays to observers (ZOOKEEPER-3140), and the observer behind it."""

import gc
import weakref
from typing import get_args

import pytest
from zab_parties import Party, batch, established_leader, looking_learner, session_of, tell, z

from lab.zab.config import ZabConfig
from lab.zab.effects import Barrier, CloseSession, Deliver, EndSnapshot, Send, Synced
from lab.zab.errors import ConfigError
from lab.zab.events import LogRead, Notified, PeerDown, Received, SessionClosed, SnapshotWritten, SyncAsked, Tick
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    LeaderInfo,
    LearnerMessage,
    Message,
    NewLeader,
    Notification,
    ObserverInfo,
    Phase,
    Ping,
    Proposal,
    Request,
    ServerState,
    Snap,
    Sync,
    SyncProgress,
    Trunc,
    UpToDate,
    Vote,
)
from lab.zab.phases import HANDLER_PHASES, Bootstrap
from lab.zab.relay import master_of

CONFIG = ZabConfig(voters=(1, 2, 3), observers=(4, 5), relays=2)
LEADER, RELAY, OBSERVER = 3, 1, 4


def relay(*, serving: bool = True, **disk: object) -> Party:
    """Follower 1 of server 3, in BROADCAST of epoch 2 with 2.1 committed unless it is not `serving` yet."""
    party = looking_learner(RELAY, CONFIG, **disk)
    if serving:
        tell(party, LeaderInfo(2), Diff(0), NewLeader(2), UpToDate(), Proposal(batch("2.1")), Commit(z("2.1")))
    return party


def say(party: Party, *messages: Message, session: int = 41, observer: int = OBSERVER) -> None:
    for message in messages:
        party.hear(observer, message, session)


def relay_with(stage: Bootstrap) -> Party:
    """A relay whose session 41 with the observer stands at `stage`."""
    party = relay(serving=stage is not Bootstrap.CONNECTED)
    say(party, ObserverInfo(0, LEADER))
    if stage >= Bootstrap.EPOCH_ACKED:
        ahead = stage is Bootstrap.EPOCH_ACKED
        say(party, AckEpoch(0, z("2.9") if ahead else z("2.1"), need_snap=stage is Bootstrap.PULLING))
    if stage is Bootstrap.ACTIVE:
        say(party, Ack(z("2.0")))
    return party


def stage_of(party: Party, observer: int = OBSERVER) -> Bootstrap | None:
    handler = party.peer.role.relay.handlers.get(observer)  # type: ignore[union-attr]
    return handler.stage if handler else None


def to_observer(party: Party, observer: int = OBSERVER) -> list[Message]:
    return [message for receiver, message in party.sent() if receiver == observer]


# -- who relays for whom


@pytest.mark.parametrize(
    ("observer", "leader", "linked", "master"),
    [
        (4, 3, {1, 2, 3}, 1),
        (5, 3, {1, 2, 3}, 2),  # two relays share two observers
        (4, 1, {1, 2, 3}, 2),  # whoever leads, relays are among the others
        (4, 3, {2, 3}, 2),  # in place of one that is down, the next
        (5, 3, {1, 3}, 1),
        (4, 3, {3}, 3),  # nobody but the leader is left
    ],
)
def test_observers_are_spread_over_the_followers(observer: int, leader: int, linked: set[int], master: int):
    assert master_of(observer, leader, CONFIG, linked) == master


def test_without_relays_the_leader_serves_everybody():
    assert master_of(4, 3, ZabConfig(voters=(1, 2, 3), observers=(4,)), {1, 2, 3}) == 3


def test_no_more_relays_than_can_follow():
    with pytest.raises(ConfigError, match="relays=3: of 3 voters 2 can follow"):
        ZabConfig(voters=(1, 2, 3), observers=(4,), relays=3)


def test_a_voter_is_the_learner_of_its_leader():
    assert relay(serving=False).peer.role.master == LEADER  # type: ignore[union-attr]


# -- the relay's side


def test_a_follower_that_does_not_relay_sends_observers_away():
    party = looking_learner(RELAY, ZabConfig(voters=(1, 2, 3), observers=(4, 5)))
    say(party, ObserverInfo(0, LEADER))
    assert party.effects == [CloseSession(OBSERVER, 41)]


def test_nobody_is_served_in_the_name_of_another_leader():
    party = relay()
    say(party, ObserverInfo(0, 2))
    assert party.effects == [CloseSession(OBSERVER, 41)]


def test_a_leader_is_no_relay_of_another():
    party = Party(3, CONFIG)
    for voter in (1, 2):
        party.vote(voter, 3)
    say(party, ObserverInfo(0, 2))
    assert party.effects == [CloseSession(OBSERVER, 41)]


def test_an_observer_waits_until_its_relay_is_in_broadcast():
    party = relay(serving=False)
    say(party, ObserverInfo(0, LEADER))
    tell(party, LeaderInfo(2), Diff(0), NewLeader(2))
    assert stage_of(party) is Bootstrap.CONNECTED
    tell(party, UpToDate())
    assert to_observer(party) == [LeaderInfo(2)]


def test_an_observer_that_came_before_the_decision_waits_too():
    party = Party(RELAY, CONFIG)
    say(party, ObserverInfo(0, LEADER))
    assert party.effects == []
    for voter in (2, 3):
        party.vote(voter, 3, epoch=9, zxid=z("9.9"))
    assert stage_of(party) is Bootstrap.CONNECTED


def test_what_is_only_proposed_is_neither_history_nor_news():
    party = relay()
    tell(party, Proposal(batch("2.2")))
    say(party, ObserverInfo(0, LEADER), AckEpoch(0, 0))
    assert to_observer(party) == [Diff(z("2.1")), Proposal(batch("2.1")), Commit(z("2.1")), NewLeader(2)]
    tell(party, Proposal(batch("2.3")))
    assert to_observer(party) == []
    tell(party, Commit(z("2.3")))
    assert to_observer(party) == [Inform(batch("2.2")), Inform(batch("2.3"))]


def test_an_observer_that_is_ahead_is_not_cut_back():
    party = relay()
    tell(party, Proposal(batch("2.2")))
    say(party, ObserverInfo(2, LEADER), AckEpoch(-1, z("2.2")))
    assert to_observer(party) == []
    tell(party, Commit(z("2.2")))
    assert to_observer(party) == [Diff(z("2.2")), NewLeader(2)]


def test_what_this_epoch_did_not_begin_with_is_cut_off():
    """All of the initial history is here, so what an observer holds of older epochs beyond it was never committed."""
    party = looking_learner(RELAY, CONFIG, log=[batch("1.1")], accepted=1, current=1)
    tell(party, LeaderInfo(2), Diff(z("1.1")), NewLeader(2), UpToDate())
    say(party, ObserverInfo(1, LEADER), AckEpoch(1, z("1.2")))
    assert to_observer(party) == [Trunc(z("1.1")), NewLeader(2)]


def test_a_wiped_observer_gets_the_tree_that_is_applied():
    party = relay()
    tell(party, Proposal(batch("2.2")))
    say(party, ObserverInfo(0, LEADER), AckEpoch(0, -1))
    assert to_observer(party) == [Snap(z("2.1"))]


def test_the_disk_log_is_read_for_who_lags_and_spared_by_a_purge():
    config = ZabConfig(voters=(1, 2, 3), observers=(4, 5), relays=2, commit_log_count=1, sync_window_bytes=1)
    party = looking_learner(RELAY, config)
    tell(party, LeaderInfo(2), Diff(0), NewLeader(2), UpToDate())
    for zxid in ("2.1", "2.2", "2.3"):
        tell(party, Proposal(batch(zxid)), Commit(z(zxid)))
    say(party, ObserverInfo(0, LEADER), AckEpoch(0, 0))
    assert party.kinds() == ["ReadLog"]
    party.step(LogRead(OBSERVER, 41, 0, (batch("2.1"),)))
    assert to_observer(party) == [Diff(z("2.3")), Proposal(batch("2.1"))]
    party.step(SnapshotWritten(party.peer.state_of_zab.gen, z("2.3"), ok=True))
    assert party.effects == [EndSnapshot(keep=True, log_after=z("2.1"))]


def test_writes_go_on_to_the_leader():
    party = relay_with(Bootstrap.ACTIVE)
    say(party, Request(b"write"))
    assert party.sent() == [(LEADER, Request(b"write"))]


def test_a_sync_is_asked_of_the_leader_and_answered_behind_what_it_told_before():
    party = relay_with(Bootstrap.ACTIVE)
    say(party, Sync(7))
    ((receiver, asked),) = party.sent()
    assert receiver == LEADER
    tell(party, Proposal(batch("2.2")), Commit(z("2.2")))
    assert to_observer(party) == [Inform(batch("2.2"))]
    tell(party, asked)
    assert party.sent() == [(OBSERVER, Sync(7))]


def test_own_syncs_are_told_from_those_of_observers():
    party = relay_with(Bootstrap.ACTIVE)
    say(party, Sync(1))
    ((_, asked),) = party.sent()
    party.step(SyncAsked(1))
    assert party.sent() == [(LEADER, Sync(1))]
    tell(party, asked)
    assert party.effects == [Send(((OBSERVER, 41),), Sync(1))]
    tell(party, Sync(1))
    assert party.effects == [Synced(1)]


def test_nobody_gets_the_answer_to_a_sync_of_a_session_that_has_ended():
    party = relay_with(Bootstrap.ACTIVE)
    say(party, Sync(7))
    ((_, asked),) = party.sent()
    say(party, ObserverInfo(2, LEADER), session=42)
    tell(party, asked)
    assert party.sent() == []


def test_silent_observers_are_dropped_and_others_asked():
    party = relay_with(Bootstrap.ACTIVE)
    for _ in range(CONFIG.sync_limit_ticks):
        tell(party, Ping(0))
        party.step(Tick())
        assert to_observer(party) == [Ping(z("2.1"))]
    say(party, Ping(0))
    tell(party, Ping(0))
    party.step(Tick())
    assert stage_of(party) is Bootstrap.ACTIVE
    for _ in range(CONFIG.sync_limit_ticks):
        tell(party, Ping(0))
        party.step(Tick())
    assert party.all(CloseSession) == [CloseSession(OBSERVER, 41)]


@pytest.mark.parametrize("end", ["closed", "link", "silence", "broken"])
def test_observers_lose_their_relay_when_it_loses_its_leader(end: str):
    """And are told nothing of the logged tail that it applies then, for nobody knows whether that is committed."""
    party = relay_with(Bootstrap.ACTIVE)
    tell(party, Proposal(batch("2.2")))
    match end:
        case "closed":
            party.step(SessionClosed(LEADER, session_of(party)))
        case "link":
            party.step(PeerDown(LEADER, 103))
        case "silence":
            for _ in range(CONFIG.sync_limit_ticks + 1):
                party.step(Tick())
        case "broken":
            tell(party, Diff(0))
    assert party.peer.state is ServerState.LOOKING
    assert CloseSession(OBSERVER, 41) in party.effects
    assert not [message for message in to_observer(party) if isinstance(message, Inform)]
    before_barrier = party.effects[: party.effects.index(Barrier())]
    assert CloseSession(OBSERVER, 41) in before_barrier


def test_an_observer_that_breaks_the_rules_costs_itself_its_session_and_nobody_else():
    party = relay_with(Bootstrap.ACTIVE)
    say(party, ObserverInfo(0, LEADER), AckEpoch(0, z("2.1")), Ack(z("2.0")), session=51, observer=5)
    say(party, Ack(z("2.1")))
    assert party.effects == [CloseSession(OBSERVER, 41)]
    assert stage_of(party) is None
    assert stage_of(party, 5) is Bootstrap.ACTIVE
    assert party.peer.phase is Phase.BROADCAST


def test_only_observers_are_served():
    party = relay()
    party.hear(2, ObserverInfo(0, LEADER), 21)
    assert party.effects == [CloseSession(2, 21)]
    party.hear(2, FollowerInfo(0, may_vote=True), 22)
    assert party.effects == [CloseSession(2, 22)]


@pytest.mark.parametrize("stage", [stage for stage in Bootstrap if stage is not Bootstrap.SYNCED])
@pytest.mark.parametrize("kind", get_args(LearnerMessage), ids=lambda kind: kind.__name__)
def test_message_that_the_table_does_not_list_ends_the_session(stage: Bootstrap, kind: type[Message]):
    if kind in (FollowerInfo, ObserverInfo):
        return  # opens a session of its own, whatever came before
    examples = {Ack: Ack(z("2.0")), AckEpoch: AckEpoch(0, z("2.1")), Ping: Ping(0), SyncProgress: SyncProgress()}
    examples |= {Request: Request(b""), Sync: Sync(1)}
    if (stage, kind) in HANDLER_PHASES:
        party = relay_with(stage)
        assert stage_of(party) is stage
        say(party, examples[kind])
        assert stage_of(party) in HANDLER_PHASES[stage, kind]
    elif kind in examples:
        party = relay_with(stage)
        say(party, examples[kind])
        assert stage_of(party) is None
        assert party.peer.last_problem == f"server {OBSERVER}: {kind.__name__} in {stage.name}"


# -- the observer's side


def observer(relays: int = 2) -> Party:
    """Observer 4, which has decided on server 3."""
    return looking_learner(OBSERVER, ZabConfig(voters=(1, 2, 3), observers=(4, 5), relays=relays))


def decide_again(party: Party) -> None:
    for reporter, state in ((2, ServerState.FOLLOWING), (3, ServerState.LEADING)):
        party.step(Notified(reporter, Notification(state, Vote(9, 0, 3), 1)))


def master(party: Party) -> int:
    return party.peer.role.master  # type: ignore[union-attr]


def serve(party: Party) -> None:
    for message in (LeaderInfo(2), Diff(0), NewLeader(2), UpToDate()):
        party.hear(master(party), message, session_of(party))
    assert party.peer.phase is Phase.BROADCAST


def test_an_observer_tells_its_relay_whom_it_has_decided_on():
    party = observer()
    assert party.peer.leader == LEADER
    assert (RELAY, ObserverInfo(0, LEADER)) in party.sent()


def test_an_observer_applies_what_its_relay_says_and_asks_it():
    party = observer()
    serve(party)
    party.hear(RELAY, Inform(batch("2.1")), session_of(party))
    assert party.all(Deliver) == [Deliver(batch("2.1"))]
    party.step(SyncAsked(3))
    assert party.sent() == [(RELAY, Sync(3))]
    assert party.peer.leader == LEADER


def test_what_the_leader_says_outside_of_the_session_is_nothing_to_it():
    party = observer()
    serve(party)
    party.step(Received(LEADER, session_of(party), Inform(batch("2.1"))))
    assert party.effects == []
    party.step(PeerDown(LEADER, 103))
    assert party.peer.phase is Phase.BROADCAST


@pytest.mark.parametrize("end", ["closed", "silence", "refused epoch"])
def test_a_relay_that_does_not_bring_it_level_is_followed_by_the_leader_itself(end: str):
    party = observer()
    match end:
        case "closed":
            party.step(SessionClosed(RELAY, session_of(party)))
        case "silence":
            for _ in range(CONFIG.init_limit_ticks + 1):
                party.step(Tick())
        case "refused epoch":
            party.peer.state_of_zab.save_accepted_epoch(5)
            party.hear(RELAY, LeaderInfo(2), session_of(party))
    assert party.peer.state is ServerState.LOOKING
    decide_again(party)
    assert master(party) == LEADER
    party.step(SessionClosed(LEADER, session_of(party)))
    decide_again(party)
    assert master(party) == RELAY


def test_a_relay_that_served_is_asked_again_unless_it_fell_silent():
    party = observer()
    serve(party)
    party.step(SessionClosed(RELAY, session_of(party)))
    decide_again(party)
    assert master(party) == RELAY
    serve(party)
    for _ in range(CONFIG.sync_limit_ticks + 1):
        party.step(Tick())
    decide_again(party)
    assert master(party) == LEADER


def test_when_the_link_to_its_relay_has_ended_the_next_one_serves():
    party = observer()
    serve(party)
    party.step(PeerDown(RELAY, 101))
    assert party.peer.state is ServerState.LOOKING
    decide_again(party)
    assert master(party) == 2


@pytest.mark.parametrize("lead", [True, False], ids=["leader", "relay"])
def test_a_role_that_is_over_is_freed_without_a_collector(lead: bool) -> None:
    """Servers run without one (`lab.node.allocator`); what was outstanding would stay in memory with the role."""
    party = established_leader(ZabConfig(voters=(1, 2, 3))) if lead else relay_with(Bootstrap.ACTIVE)
    gc.collect()
    gc.disable()
    try:
        role = weakref.ref(party.peer.role)
        assert role() is not None
        for peer in (1, 2, 3):
            party.step(PeerDown(peer, party.peer._links.get(peer, 0)))
        assert party.peer.role is None
        assert role() is None
    finally:
        gc.enable()
