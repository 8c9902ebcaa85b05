"""One peer to talk to, in the manner of ZooKeeper's Zab1_0Test: the test plays everybody else."""

import random
from collections.abc import Iterable

import msgspec

from lab.zab.batches import make_batch
from lab.zab.config import ZabConfig
from lab.zab.effects import Effect, PeerEffect, Restore, Send
from lab.zab.events import Flushed, History, Notified, PeerEvent, PeerUp, Received, Recovered, Start
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Diff,
    FollowerInfo,
    LeaderInfo,
    Message,
    NewLeader,
    Notification,
    ServerState,
    TxnBatch,
    UpToDate,
    Vote,
)
from lab.zab.peer import Peer
from lab.zab.zxid import Zxid, make_zxid

THREE = ZabConfig(voters=(1, 2, 3))
WITH_OBSERVER = ZabConfig(voters=(1, 2, 3), observers=(4,))
FIVE = ZabConfig(voters=(1, 2, 3, 4, 5))


def z(text: str) -> Zxid:
    """`z("1.7")`: epoch 1, counter 7."""
    epoch, counter = text.split(".")
    return make_zxid(int(epoch), int(counter))


def batch(first: str | Zxid, count: int = 1) -> TxnBatch:
    """Transactions that are nothing but their own zxids."""
    start = z(first) if isinstance(first, str) else first
    return make_batch(start, count, msgspec.msgpack.encode(list(range(start, start + count))))


def batches(*runs: tuple[str, int]) -> list[TxnBatch]:
    return [batch(first, count) for first, count in runs]


def history(*log: TxnBatch, base: Zxid = 0) -> History:
    return History(base, (), log, log[-1].last if log else base)


class Party:
    """A peer under test; `effects` are those of the last step."""

    def __init__(
        self,
        me: int,
        config: ZabConfig = THREE,
        *,
        log: Iterable[TxnBatch] = (),
        base: Zxid = 0,
        accepted: int = 0,
        current: int = 0,
        may_vote: bool = True,
        seed: int = 0,
    ) -> None:
        recovered = Recovered(accepted, current, history(*log, base=base), may_vote)
        self.config = config
        self.peer = Peer(me, config, recovered, random.Random(seed))
        self.effects: list[PeerEffect] = []
        self.restored: list[TxnBatch] = []
        self.step(Start())
        for other in config.members:
            if other != me:
                self.step(PeerUp(other, 100 + other))

    def step(self, event: PeerEvent) -> list[PeerEffect]:
        self.effects = self.peer.step(event)
        for restore in self.all(Restore):
            self.restored = list(restore.history.batches)  # as the service does; the peer listens
        return self.effects

    def hear(self, sender: int, message: Message, session: int = 1) -> list[PeerEffect]:
        return self.step(Received(sender, session, message))  # type: ignore[arg-type]

    def vote(self, sender: int, leader: int, *, epoch: int = 0, zxid: Zxid = 0, round_: int = 1) -> list[PeerEffect]:
        """Another looking voter's notification."""
        notification = Notification(ServerState.LOOKING, Vote(epoch, zxid, leader), round_)
        return self.step(Notified(sender, notification))

    def flush(self, zxid: str) -> list[PeerEffect]:
        return self.step(Flushed(self.peer.state_of_zab.gen, z(zxid)))

    def sent(self) -> list[tuple[int, Message]]:
        """(receiver, message) of the last step's Sends."""
        return [(to, effect.message) for effect in self.effects if isinstance(effect, Send) for to, _ in effect.to]

    def all(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def kinds(self) -> list[str]:
        """The last step as one word per effect, messages by their names."""
        return [type(e.message if isinstance(e, Send) else e).__name__ for e in self.effects]


def elected_leader(config: ZabConfig = THREE, **disk: object) -> Party:
    """Server 3, elected, in DISCOVERY; the voters below it all voted for it."""
    party = Party(3, config, **disk)  # type: ignore[arg-type]
    state = party.peer.state_of_zab
    for voter in config.voters:
        if voter != 3:
            party.vote(voter, 3, epoch=state.current_epoch, zxid=state.last_zxid)
    assert party.peer.state is ServerState.LEADING
    return party


def join(leader: Party, voter: int, session: int, *, accepted: int = 0, current: int = 0, last: Zxid = 0) -> None:
    """`voter` opens a session and shows its promise and its history."""
    leader.hear(voter, FollowerInfo(accepted, may_vote=True), session)
    leader.hear(voter, AckEpoch(current, last), session)


def synchronizing_leader() -> Party:
    """Server 3 of FIVE, in SYNCHRONIZATION with voter 1 in session 11 and voter 2 in session 21."""
    leader = elected_leader(FIVE)
    for message in (FollowerInfo(0, may_vote=True), AckEpoch(0, 0)):
        leader.hear(1, message, 11)
        leader.hear(2, message, 21)
    assert leader.peer.phase.name == "SYNCHRONIZATION"
    return leader


def established_leader(config: ZabConfig = THREE, **disk: object) -> Party:
    """Server 3, established with voter 1 in session 11."""
    leader = elected_leader(config, **disk)
    join(leader, 1, 11)
    leader.hear(1, Ack(make_zxid(leader.peer.epoch, 0)), 11)
    return leader


def looking_learner(me: int = 1, config: ZabConfig = WITH_OBSERVER, **disk: object) -> Party:
    """A learner of server 3, in DISCOVERY; its session's number is `session_of`."""
    party = Party(me, config, **disk)  # type: ignore[arg-type]
    for voter in (2, 3):
        party.vote(voter, 3, epoch=9, zxid=z("9.9"))
    for reporter, state in ((2, ServerState.FOLLOWING), (3, ServerState.LEADING)):
        if party.peer.state is ServerState.LOOKING:  # an observer, or a server that may not vote
            party.step(Notified(reporter, Notification(state, Vote(9, 0, 3), 1)))
    assert party.peer.leader == 3
    return party


def session_of(party: Party) -> int:
    return party.peer.role.session  # type: ignore[union-attr]


def tell(learner: Party, *messages: Message) -> list[PeerEffect]:
    """The leader sends these in the learner's session; returns the effects of the last one."""
    for message in messages:
        learner.hear(3, message, session_of(learner))
    return learner.effects


def serving_learner(me: int = 1, epoch: int = 1, **disk: object) -> Party:
    """In BROADCAST of `epoch`, brought level by an empty DIFF."""
    learner = looking_learner(me, **disk)
    last = learner.peer.last_zxid
    tell(learner, LeaderInfo(epoch), Diff(last), NewLeader(epoch), UpToDate())
    assert learner.peer.phase.name == "BROADCAST"
    return learner
