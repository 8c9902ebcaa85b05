"""Histories made by hand, event by event and effect by effect, for invariants to judge."""

from collections.abc import Iterable

from lab.service.requests import Failed, Reply, Request
from lab.service.transactions import CreateTxn, Txn, encode_txns
from lab.service.tree import Tree
from lab.sim.client import Operation, Outcome
from lab.sim.invariants.rest import Replica, Rest
from lab.sim.invariants.suite import Suite
from lab.sim.observer import MachineEvent
from lab.zab.batches import make_batch
from lab.zab.config import PeerId, ZabConfig
from lab.zab.constants import NO_ZXID
from lab.zab.effects import (
    Append,
    Deliver,
    Effect,
    Entered,
    Notify,
    Restore,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Send,
)
from lab.zab.events import Event, Flushed, History, Notified, Received, Start
from lab.zab.messages import (
    Ack,
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
    TxnBatch,
    UpToDate,
    Vote,
)
from lab.zab.zxid import Zxid, make_zxid

LOOKING, FOLLOWING, LEADING, OBSERVING = (
    ServerState.LOOKING,
    ServerState.FOLLOWING,
    ServerState.LEADING,
    ServerState.OBSERVING,
)
SESSION = 77


def z(text: str) -> Zxid:
    """`1.7`, or `none`"""
    return NO_ZXID if text == "none" else make_zxid(*map(int, text.split(".")))


def batch(first: str, *txns: Txn, data: bytes = b"") -> TxnBatch:
    """Without transactions it holds one that creates /FIRST."""
    made = txns or (CreateTxn(0, 0, f"/{first}", data),)
    return make_batch(z(first), len(made), encode_txns(made))


class Forge:
    """An ensemble of three voters and an observer, 4, that exists only as what it shows."""

    def __init__(self, *only: str, voters: tuple[PeerId, ...] = (1, 2, 3), **settings: object) -> None:
        config = ZabConfig(voters=voters, observers=(4,), **settings)  # type: ignore[arg-type]
        self.suite = Suite(config, only or None)
        self.log: dict[PeerId, list[TxnBatch]] = {server: [] for server in config.members}

    # -- one thing

    def event(self, server: PeerId, event: Event) -> None:
        for handler in self.suite.of_event(type(event)):
            handler(server, event)

    def effects(self, server: PeerId, *effects: Effect) -> None:
        for effect in effects:
            for handler in self.suite.of_effect(type(effect)):
                handler(server, effect)

    def machine(self, server: PeerId, what: MachineEvent) -> None:
        self.suite.on_machine(server, what)

    def send(self, sender: PeerId, to: PeerId, message: LearnerMessage, session: int = SESSION) -> None:
        """Sent and received."""
        self.effects(sender, Send(((to, session),), message))
        self.receive(to, sender, message, session)

    def receive(self, to: PeerId, sender: PeerId, message: LearnerMessage, session: int = SESSION) -> None:
        self.event(to, Received(sender, session, message))

    # -- some things that belong together

    def boot(self, *servers: PeerId, end: str = "0.0", epoch: int = 0) -> None:
        """Processes start with histories that end there."""
        for server in servers:
            self.machine(server, MachineEvent.STARTED)
            self.event(server, Start())
            history = History(min(z(end), 0), (), (), z(end))
            self.effects(server, Restore(history), Entered(LOOKING, Phase.ELECTION, epoch, 0))

    def vote(self, server: PeerId, leader: PeerId, round_: int = 1, zxid: str = "0.0", epoch: int = 0) -> None:
        """The server tells the others."""
        notification = Notification(LOOKING, Vote(epoch, z(zxid), leader), round_)
        others = tuple(peer for peer in self.suite.facts.config.voters if peer != server)
        self.effects(server, Notify(others, notification))
        for other in others:
            self.event(other, Notified(server, notification))

    def elect(self, leader: PeerId, *followers: PeerId) -> None:
        for server in (leader, *followers):
            self.vote(server, leader)
        self.effects(leader, Entered(LEADING, Phase.DISCOVERY, 0, leader))
        for server in followers:
            self.effects(server, Entered(FOLLOWING, Phase.DISCOVERY, 0, leader))

    def discover(self, leader: PeerId, epoch: int, *followers: PeerId) -> None:
        """Promises, up to (LEADING, SYNCHRONIZATION)."""
        facts = self.suite.facts
        for server in followers:
            self.send(server, leader, FollowerInfo(facts.of[server].accepted, may_vote=True))
        self.effects(leader, SaveAcceptedEpoch(epoch))
        for server in followers:
            self.promise(server, leader, epoch)
        self.effects(leader, SaveCurrentEpoch(epoch), Entered(LEADING, Phase.SYNCHRONIZATION, epoch, leader))

    def promise(self, server: PeerId, leader: PeerId, epoch: int) -> None:
        shown = self.suite.facts.of[server]
        self.send(leader, server, LeaderInfo(epoch))
        self.effects(server, SaveAcceptedEpoch(epoch))
        self.send(server, leader, AckEpoch(shown.current, max(shown.appended, 0)))
        state = FOLLOWING if server in self.suite.facts.config.voters else OBSERVING
        self.effects(server, Entered(state, Phase.SYNCHRONIZATION, epoch, leader))

    def synchronize(self, leader: PeerId, epoch: int, *followers: PeerId) -> None:
        """Who lacks nothing acknowledges NEWLEADER."""
        for server in followers:
            self.send(leader, server, Diff(max(self.suite.facts.of[leader].appended, 0)))
            self.send(leader, server, NewLeader(epoch))
            self.effects(server, SaveCurrentEpoch(epoch))
            self.send(server, leader, Ack(make_zxid(epoch, 0)))

    def establish(self, leader: PeerId, epoch: int, *followers: PeerId) -> None:
        self.effects(leader, Entered(LEADING, Phase.BROADCAST, epoch, leader))
        for server in followers:
            self.send(leader, server, UpToDate())
            self.effects(server, Entered(FOLLOWING, Phase.BROADCAST, epoch, leader))

    def lead(self, leader: PeerId, epoch: int, *followers: PeerId) -> None:
        """Everything from the votes to BROADCAST."""
        self.elect(leader, *followers)
        self.discover(leader, epoch, *followers)
        self.synchronize(leader, epoch, *followers)
        self.establish(leader, epoch, *followers)

    def propose(self, leader: PeerId, what: TxnBatch, *followers: PeerId) -> None:
        """Sent to these, and logged by the leader."""
        for server in followers:
            self.send(leader, server, Proposal(what))
        self.append(leader, what)

    def append(self, server: PeerId, what: TxnBatch) -> None:
        self.effects(server, Append(1, what))
        self.log[server].append(what)

    def flush(self, server: PeerId, upto: str) -> None:
        self.event(server, Flushed(1, z(upto)))

    def log_and_ack(self, server: PeerId, leader: PeerId, what: TxnBatch) -> None:
        self.append(server, what)
        self.event(server, Flushed(1, what.last))
        self.send(server, leader, Ack(what.last))

    def commit(self, leader: PeerId, what: TxnBatch, *followers: PeerId) -> None:
        for server in followers:
            self.send(leader, server, Commit(what.last))
        self.effects(leader, Deliver(what))
        for server in followers:
            self.effects(server, Deliver(what))

    def write(self, leader: PeerId, what: TxnBatch, *followers: PeerId) -> None:
        """One batch's whole life."""
        self.propose(leader, what, *followers)
        self.flush(leader, f"{what.last >> 32}.{what.last & 0xFFFFFFFF}")
        for server in followers:
            self.log_and_ack(server, leader, what)
        self.commit(leader, what, *followers)

    def stop(self, *servers: PeerId) -> None:
        for server in servers:
            self.machine(server, MachineEvent.CRASHED)

    # -- at rest

    def rest(self, operations: Iterable[Operation] = (), tree: Tree | None = None, servers: Iterable[int] = ()) -> None:
        facts = self.suite.facts
        replicas = {
            server: Replica(0, self.log[server], facts.top, tree if tree is not None else Tree()) for server in servers
        }
        self.suite.at_rest(Rest(replicas, list(operations)))

    def served(self, *txns: Txn) -> None:
        """These transactions are the committed history, from 1.1 on."""
        self.boot(1, 2, 3)
        self.lead(3, 1, 1, 2)
        if txns:
            self.write(3, batch("1.1", *txns), 1, 2)


def operation(session: int, request: Request, reply: Reply | None, answered: int = 1, floor: str = "0.0") -> Operation:
    made = Operation(session, request, z(floor))
    made.reply, made.answered = reply, answered
    if reply is None:
        made.outcome = Outcome.UNKNOWN
    else:
        made.outcome = Outcome.FAILED if isinstance(reply, Failed) else Outcome.ACKNOWLEDGED
    return made
