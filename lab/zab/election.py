"""Fast leader election (zab.md 3; ZooKeeper: FastLeaderElection).

One `Election` lives as long as the process and keeps the round and the settled vote; `begin` opens a round and the
`on_*` methods drive it.  Whoever is elected is confirmed by discovery: FLE is there for progress, not for safety.
"""

from dataclasses import dataclass

from lab.zab.config import PeerId, ZabConfig
from lab.zab.constants import NO_ZXID, ROUND_LEAP_MAX
from lab.zab.effects import CancelTimer, HostEffect, Notify, SetTimer
from lab.zab.messages import Notification, ServerState, Vote
from lab.zab.quorum import Quorum
from lab.zab.zxid import Epoch, Zxid

FINALIZE = "finalize"  # the quiet period
NOTIFY = "notify"  # re-send of the vote, backing off
NOBODY = Vote(-1, NO_ZXID, 0)  # loses against every candidate: an observer's vote, or a server that may not vote


def is_better(new: Vote, current: Vote) -> bool:
    """FLE's total order: current epoch, then last logged zxid, then id (zab.md 3.4)."""
    return (new.epoch, new.zxid, new.leader) > (current.epoch, current.zxid, current.leader)


def is_same_vote(a: Notification, b: Notification) -> bool:
    """Whether two reports count as one (zab.md 3.5): members of a running ensemble may differ in zxid and round."""
    if ServerState.LOOKING in (a.state, b.state):
        return a.vote == b.vote and a.round == b.round
    return a.vote.leader == b.vote.leader and a.vote.epoch == b.vote.epoch


@dataclass
class Outcome:
    """Effects of one step of the election and, once it is over, who leads."""

    effects: list[HostEffect]
    leader: PeerId | None = None


class Election:
    """The round, the ballot box and the vote of one server."""

    def __init__(self, me: PeerId, config: ZabConfig, quorum: Quorum) -> None:
        self.me = me
        self.config = config
        self._quorum = quorum
        # Differs from ZooKeeper (zab.md 3.4), where a voter of weight 0 votes for itself to the end and follows only
        # once others report a leader: here it looks on as an observer does, and decides when they decide.
        self.is_elector = me in quorum.electors
        self.round = 0
        self.vote = NOBODY
        self._initial = NOBODY
        self._box: dict[PeerId, Notification] = {}
        self._settled: dict[PeerId, Notification] = {}  # reports of servers that follow or lead, any round
        self._announced: set[tuple[int, int, Epoch]] = set()
        self._interval_ms = config.notify_interval_ms
        self._quiet_for: tuple[Vote, int] | None = None  # what the running quiet period is about

    def begin(self, current_epoch: Epoch, last_zxid: Zxid, may_vote: bool, ended: set[PeerId]) -> Outcome:
        """Enter LOOKING with a new round; `ended` are the voters whose links are known to have ended."""
        self.round += 1
        self._initial = Vote(current_epoch, last_zxid, self.me) if self.is_elector and may_vote else NOBODY
        self.vote = self._initial
        self._box, self._settled, self._announced, self._quiet_for = {}, {}, set(), None
        self._interval_ms = self.config.notify_interval_ms
        effects: list[HostEffect] = [*self._tell_all(), SetTimer(NOTIFY, self._interval_ms)]
        return self._count(effects, ended)

    def settle(self, epoch: Epoch) -> None:
        """The new epoch is in force here: latecomers must hear one consistent vote (ZOOKEEPER-1732)."""
        self.vote = Vote(epoch, self.vote.zxid, self.vote.leader)

    def notification(self, state: ServerState, announce: bool = False) -> Notification:
        return Notification(state, self.vote, self.round, announce)

    def announce(self) -> list[HostEffect]:
        """Tell everybody that this server leads (Z-15)."""
        if not self.config.leader_announce:
            return []
        to = tuple(peer for peer in self.config.members if peer != self.me)
        return [Notify(to, self.notification(ServerState.LEADING, announce=True))] if to else []

    def reply_when_settled(self, sender: PeerId, theirs: Notification, state: ServerState) -> list[HostEffect]:
        """Answer a server that looks for a leader, as one that has settled (zab.md 3.8)."""
        if theirs.state is ServerState.LOOKING:
            return [Notify((sender,), self.notification(state))]
        return []

    def on_peer_up(self, peer: PeerId) -> list[HostEffect]:
        """A fresh link: what was sent before is lost, so say it again (zab.md 3.2)."""
        return [Notify((peer,), self.notification(ServerState.LOOKING))] if peer in self._quorum.electors else []

    def on_peer_down(self, ended: set[PeerId]) -> Outcome:
        return self._count([], ended)

    def on_notification(self, sender: PeerId, incarnation: int, theirs: Notification, ended: set[PeerId]) -> Outcome:
        effects: list[HostEffect] = []
        looking = theirs.state is ServerState.LOOKING
        if sender not in self._quorum.electors:
            return Outcome([Notify((sender,), self.notification(ServerState.LOOKING))] if looking else [])
        if theirs.round > self.round + ROUND_LEAP_MAX:  # whoever adopts the last round there is can begin no other
            return Outcome([])
        if theirs.announce:
            effects += self._on_announcement(incarnation, theirs)
        if theirs.vote.leader not in self._quorum.electors:
            return Outcome(effects)  # a voter that may not vote has nobody to propose
        if not looking:
            return self._join_existing(sender, theirs, effects)
        if theirs.round < self.round:
            # Differs from ZooKeeper (zab.md 3.8): only whose vote counts answers.  A voter answers every observer, so
            # the two would answer each other without end while the observer's round is ahead.
            if self._initial != NOBODY:
                effects.append(Notify((sender,), self.notification(ServerState.LOOKING)))
            return Outcome(effects)
        if self.is_elector and self._initial == NOBODY:
            return Outcome(effects)  # its data may be lost: it joins a running ensemble but elects nobody (Z-12)
        # Differs from ZooKeeper (zab.md 3.8): who answered as a member of an ensemble has not kept our vote; now that
        # it looks, too, it is told again.  Else both would wait for the re-send, 200 ms after most leader crashes.
        forgot = self._settled.pop(sender, None) is not None
        if theirs.round > self.round:
            self.round = theirs.round
            self._box.clear()
            # compared with the own first vote, not with the last: the votes of the older round are void
            self.vote = theirs.vote if is_better(theirs.vote, self._initial) else self._initial
            effects += self._tell_all()
        elif is_better(theirs.vote, self.vote):
            self.vote = theirs.vote
            effects += self._tell_all()
        elif forgot:
            effects.append(Notify((sender,), self.notification(ServerState.LOOKING)))
        self._box[sender] = theirs
        return self._count(effects, ended)

    def on_timeout(self, timer: str, ended: set[PeerId]) -> Outcome:
        if timer == FINALIZE:
            if self._quiet_for == (self.vote, self.round) and self._has_quorum():
                return self._decide([])
            self._quiet_for = None
            return self._count([], ended)
        self._interval_ms = min(2 * self._interval_ms, self.config.notify_interval_ms_max)
        return Outcome([*self._tell_all(), SetTimer(NOTIFY, self._interval_ms)])

    def _tell_all(self) -> list[HostEffect]:
        """Send the vote to all voters; to oneself by putting it straight into the box (zab.md 3.2)."""
        mine = self.notification(ServerState.LOOKING)
        if self.is_elector and self._initial != NOBODY:
            self._box[self.me] = mine
        to = tuple(peer for peer in self._quorum.electors if peer != self.me)
        return [Notify(to, mine)] if to else []

    def _has_quorum(self) -> bool:
        mine = self.notification(ServerState.LOOKING)
        agreeing = [peer for peer, theirs in self._box.items() if is_same_vote(theirs, mine)]
        return self.vote.leader != 0 and self._quorum.contains(agreeing)

    def _count(self, effects: list[HostEffect], ended: set[PeerId]) -> Outcome:
        """Decide if nobody else can change the result, else wait for the quiet period (Z-17)."""
        if not self._has_quorum():
            return Outcome(effects)
        mine = self.notification(ServerState.LOOKING)
        if self.config.finalize_early and all(
            peer in ended or ((box := self._box.get(peer)) is not None and is_same_vote(box, mine))
            for peer in self._quorum.electors
        ):
            return self._decide(effects)
        if self._quiet_for != (self.vote, self.round):
            self._quiet_for = (self.vote, self.round)
            effects.append(SetTimer(FINALIZE, self.config.finalize_wait_ms))
        return Outcome(effects)

    def _decide(self, effects: list[HostEffect]) -> Outcome:
        return Outcome([*effects, CancelTimer(FINALIZE), CancelTimer(NOTIFY)], self.vote.leader)

    def _join_existing(self, sender: PeerId, theirs: Notification, effects: list[HostEffect]) -> Outcome:
        """Believe in a leader that a quorum reports and that itself says so (zab.md 3.7; ZooKeeper: checkLeader)."""
        leader = theirs.vote.leader
        if theirs.round == self.round:
            self._box[sender] = theirs
            if self._reported(self._box, theirs) and self._is_confirmed(self._box, leader):
                self.vote = theirs.vote
                return self._decide(effects)
        self._settled[sender] = theirs
        # Differs from ZooKeeper (zab.md 3.7): that I lead is told by the box alone.  Reports of other rounds may be
        # of my last leadership, which was of the same epoch if nothing came of the elections since.
        if leader != self.me and self._reported(self._settled, theirs) and self._is_confirmed(self._settled, leader):
            self.round = theirs.round
            self.vote = theirs.vote
            return self._decide(effects)
        return Outcome(effects)

    def _reported(self, reports: dict[PeerId, Notification], theirs: Notification) -> bool:
        return self._quorum.contains([peer for peer, other in reports.items() if is_same_vote(other, theirs)])

    def _is_confirmed(self, reports: dict[PeerId, Notification], leader: PeerId) -> bool:
        if leader == self.me:
            return self._initial != NOBODY  # others say that I lead: only believable of a server that may (Z-12)
        return leader in reports and reports[leader].state is ServerState.LEADING

    def _on_announcement(self, incarnation: int, theirs: Notification) -> list[HostEffect]:
        """Ask the voters once per announced leader: only their reports together make it believable (Z-15)."""
        key = (incarnation, theirs.round, theirs.vote.epoch)
        if key in self._announced:
            return []
        self._announced.add(key)
        self._interval_ms = self.config.notify_interval_ms
        return [*self._tell_all(), SetTimer(NOTIFY, self._interval_ms)]
