"""Legal moves: the tables of lab.zab.phases and their complement, walked on real peers."""

from typing import get_args

import pytest
from zab_parties import (
    FIVE,
    WITH_OBSERVER,
    Party,
    batch,
    elected_leader,
    established_leader,
    looking_learner,
    serving_learner,
    tell,
    z,
)

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
    UpToDate,
)
from lab.zab.phases import HANDLER_PHASES, LEARNER_PHASES, Bootstrap

KINDS = get_args(LearnerMessage)
EXAMPLES: dict[type[Message], Message] = {
    FollowerInfo: FollowerInfo(0, may_vote=True),
    ObserverInfo: ObserverInfo(0),
    LeaderInfo: LeaderInfo(1),
    AckEpoch: AckEpoch(0, 0),
    Diff: Diff(0),
    Trunc: Trunc(0),
    Snap: Snap(0),
    SnapChunk: SnapChunk(b"", last=True),
    NewLeader: NewLeader(1),
    UpToDate: UpToDate(),
    Proposal: Proposal(batch("1.1")),
    Ack: Ack(z("1.0")),
    Commit: Commit(0),
    Inform: Inform(batch("1.1")),
    Ping: Ping(0),
    Request: Request(b""),
    Sync: Sync(1),
    SyncProgress: SyncProgress(),
}


def learner_in(phase: Phase, me: int = 1) -> Party:
    if phase is Phase.BROADCAST:
        return serving_learner(me)
    learner = looking_learner(me)
    if phase is Phase.SYNCHRONIZATION:
        tell(learner, LeaderInfo(1))
    return learner


def leader_with(stage: Bootstrap) -> Party:
    """A leader whose session 21 with voter 2 stands at `stage`."""
    if stage in (Bootstrap.CONNECTED, Bootstrap.EPOCH_OFFERED):
        leader = elected_leader(FIVE)
        leader.hear(2, FollowerInfo(0, may_vote=True), 21)
        if stage is Bootstrap.EPOCH_OFFERED:
            leader.hear(1, FollowerInfo(0, may_vote=True), 11)
        return leader
    if stage in (Bootstrap.EPOCH_ACKED, Bootstrap.SYNCED):
        leader = elected_leader(FIVE)
        for voter, session in ((1, 11), (2, 21)):
            leader.hear(voter, FollowerInfo(0, may_vote=True), session)
        leader.hear(2, AckEpoch(0, 0), 21)
        if stage is Bootstrap.SYNCED:
            leader.hear(1, AckEpoch(0, 0), 11)
            leader.hear(2, Ack(z("1.0")), 21)
        return leader
    leader = established_leader()
    leader.hear(2, FollowerInfo(0, may_vote=True), 21)
    leader.hear(2, AckEpoch(0, 0, need_snap=stage is Bootstrap.PULLING), 21)
    if stage is Bootstrap.ACTIVE:
        leader.hear(2, Ack(z("1.0")), 21)
    return leader


def test_there_is_an_example_of_every_message():
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("phase", [Phase.DISCOVERY, Phase.SYNCHRONIZATION, Phase.BROADCAST])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_message_that_the_table_does_not_list_ends_the_learner(phase: Phase, kind: type[Message]):
    learner = learner_in(phase)
    tell(learner, EXAMPLES[kind])
    if (phase, kind) not in LEARNER_PHASES:
        assert learner.peer.state is ServerState.LOOKING
        assert f"{kind.__name__} in {phase.name}" in learner.peer.last_problem


@pytest.mark.parametrize("move", [move for move in LEARNER_PHASES if move[1] in (LeaderInfo, Diff, Trunc, Snap, Ping)])
def test_listed_message_leads_where_the_table_says(move: tuple[Phase, type[Message]]):
    learner = learner_in(move[0])
    tell(learner, EXAMPLES[move[1]])
    assert learner.peer.phase is LEARNER_PHASES[move]


def test_synchronization_leads_to_broadcast_by_uptodate_only():
    learner = learner_in(Phase.SYNCHRONIZATION)
    for message in (Diff(0), Proposal(batch("1.1")), Commit(z("1.1")), NewLeader(1), Ping(0)):
        tell(learner, message)
        assert learner.peer.phase is Phase.SYNCHRONIZATION
    tell(learner, UpToDate())
    assert learner.peer.phase is Phase.BROADCAST


def test_every_phase_that_the_table_leads_to_has_rows_of_its_own():
    assert set(LEARNER_PHASES.values()) <= {phase for phase, _ in LEARNER_PHASES}
    assert {stage for stages in HANDLER_PHASES.values() for stage in stages} <= {stage for stage, _ in HANDLER_PHASES}


@pytest.mark.parametrize("stage", list(Bootstrap), ids=lambda stage: stage.name)
def test_stages_are_reached(stage: Bootstrap):
    assert leader_with(stage).peer.role.handlers[2].stage is stage  # type: ignore[union-attr]


@pytest.mark.parametrize("stage", list(Bootstrap), ids=lambda stage: stage.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_message_that_the_table_does_not_list_ends_the_session(stage: Bootstrap, kind: type[Message]):
    leader = leader_with(stage)
    if kind in (FollowerInfo, ObserverInfo):
        return  # opens a session of its own, whatever came before
    leader.hear(2, EXAMPLES[kind], 21)
    handler = leader.peer.role.handlers.get(2)  # type: ignore[union-attr]
    following = HANDLER_PHASES.get((stage, kind))
    if following is None:
        assert handler is None
        assert leader.peer.last_problem == f"server 2: {kind.__name__} in {stage.name}"
    else:
        assert handler is not None
        assert handler.stage in following


def test_info_must_fit_the_membership():
    leader = established_leader(WITH_OBSERVER)
    leader.hear(4, FollowerInfo(0, may_vote=True), 41)
    leader.hear(2, ObserverInfo(0), 21)
    assert set(leader.peer.role.handlers) == {1}  # type: ignore[union-attr]
