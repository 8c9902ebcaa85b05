"""Numbers at the ends of their ranges and batches that lie: many short scripts, each fixed by its seed."""

import random

import pytest
from test_zab_fuzz import STARTS, HonestHost
from zab_parties import Party, batch, elected_leader, established_leader, looking_learner

from lab.zab.batches import make_batch
from lab.zab.config import ZabConfig
from lab.zab.constants import COUNTER_MAX, EPOCH_LEAP_MAX, EPOCH_MAX
from lab.zab.errors import EpochsUsedUpError
from lab.zab.events import Notified, PeerDown, PeerEvent, Received, Tick, Timeout
from lab.zab.messages import (
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    LeaderInfo,
    LearnerMessage,
    NewLeader,
    Notification,
    Phase,
    Proposal,
    ServerState,
    Snap,
    SnapChunk,
    Trunc,
    UpToDate,
    Vote,
)
from lab.zab.zxid import Zxid, make_zxid

EPOCHS = (0, 1, 2, EPOCH_MAX - 1, EPOCH_MAX)
COUNTERS = (0, 1, 2, COUNTER_MAX - 1, COUNTER_MAX)
COUNTS = (1, 2, 3, COUNTER_MAX)
BODIES = (b"", b"\xc1", b"\x90", b"\x92\x01", b"\x92\x01\xc1", b"\x93\x01\x02\x03", b"\xdd\xff\xff\xff\xff")
ROUNDS = (0, 1, 2, (1 << 63) - 2, (1 << 63) - 1)
SCRIPTS = 4000


def a_zxid(rng: random.Random) -> Zxid:
    return make_zxid(rng.choice(EPOCHS), rng.choice(COUNTERS))


def a_message(rng: random.Random) -> LearnerMessage:
    match rng.randrange(12):
        case 0 | 1:
            return FollowerInfo(rng.choice(EPOCHS), rng.random() < 0.8)
        case 2 | 3:
            return LeaderInfo(rng.choice(EPOCHS))
        case 4:
            return AckEpoch(rng.choice((-1, *EPOCHS)), rng.choice((-1, a_zxid(rng))), rng.random() < 0.2)
        case 5:
            return Diff(a_zxid(rng))
        case 6:
            return Snap(a_zxid(rng)) if rng.random() < 0.5 else SnapChunk(b"", last=True)
        case 7:
            return Proposal(make_batch(a_zxid(rng), rng.choice(COUNTS), rng.choice(BODIES)))
        case 8:
            return Proposal(batch(make_zxid(rng.choice(EPOCHS), rng.randint(1, 3)), rng.randint(1, 3)))
        case 9:
            return Trunc(a_zxid(rng)) if rng.random() < 0.5 else UpToDate()
        case 10:
            return NewLeader(rng.choice(EPOCHS))
    return Commit(a_zxid(rng))


def an_event(rng: random.Random) -> PeerEvent:
    match rng.randrange(10):
        case 0:
            return rng.choice((PeerDown(3, 103), PeerDown(1, 101), Timeout("finalize"), Tick()))
        case 1 | 2:
            vote = Vote(rng.choice((-1, *EPOCHS)), a_zxid(rng), rng.randint(0, 4))
            return Notified(rng.randint(1, 4), Notification(rng.choice(list(ServerState)), vote, rng.choice(ROUNDS)))
    return Received(rng.choice((1, 2, 3, 3, 3)), rng.choice((0, 0, 11)), a_message(rng))


@pytest.mark.parametrize("part", range(4))
def test_no_number_ends_another_ones_process(part: int) -> None:
    for seed in range(part * SCRIPTS, (part + 1) * SCRIPTS):
        rng = random.Random(seed)
        host = HonestHost(rng.choice(STARTS)())
        script = [an_event(rng) for _ in range(rng.randint(1, 8))]
        try:
            for event in script:
                host.play(event)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {script}") from error


@pytest.mark.covers("X-1")
def test_a_promise_beyond_all_epochs_costs_its_session_only() -> None:
    leader = elected_leader()
    for accepted in (EPOCH_MAX, EPOCH_MAX - 1, EPOCH_LEAP_MAX + 1):
        leader.hear(1, FollowerInfo(accepted, may_vote=True), session=11)
        assert leader.kinds() == ["CloseSession"]
        assert f"accepted epoch {accepted}, far beyond" in leader.peer.last_problem
    leader.hear(2, FollowerInfo(EPOCH_LEAP_MAX, may_vote=True), session=21)
    assert leader.peer.epoch == EPOCH_LEAP_MAX + 1


def test_an_established_leader_does_not_make_room_for_it() -> None:
    leader = established_leader()
    leader.hear(2, FollowerInfo(EPOCH_MAX, may_vote=True), session=21)
    assert leader.peer.phase is Phase.BROADCAST


def test_an_offer_beyond_all_epochs_is_not_accepted() -> None:
    learner = looking_learner()
    learner.hear(3, LeaderInfo(EPOCH_MAX), learner.peer.role.session)  # type: ignore[union-attr]
    assert learner.peer.state is ServerState.LOOKING
    assert learner.peer.state_of_zab.accepted_epoch == 0


@pytest.mark.parametrize("state", ServerState)
def test_a_round_beyond_all_rounds_is_not_joined(state: ServerState) -> None:
    party = Party(1)
    party.step(Notified(2, Notification(state, Vote(0, 0, 2), (1 << 63) - 1)))
    assert party.peer.election.round == 1
    party.vote(3, 3)
    party.vote(2, 3)
    assert party.peer.leader == 3


def test_who_accepted_the_last_epoch_says_so_and_does_not_lead() -> None:
    with pytest.raises(EpochsUsedUpError, match="epoch 2147483647 was accepted and is the last"):
        Party(1, ZabConfig(voters=(1,)), accepted=EPOCH_MAX, current=EPOCH_MAX)
