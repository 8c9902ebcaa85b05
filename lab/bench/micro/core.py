"""The protocol alone: `Peer.step` for what one batch takes on a leader and on a follower."""

from collections.abc import Iterable
from functools import partial

from lab.bench.micro.ensemble import LEADER, Ensemble
from lab.bench.micro.inputs import batches, set_body
from lab.bench.micro.part import Part, WrongAnswerError, expect, now
from lab.zab.effects import Append, Deliver, PeerEffect, Send
from lab.zab.events import Flushed, PeerEvent, Received, Session, Submit
from lab.zab.messages import Ack, Commit, Proposal
from lab.zab.peer import Peer
from lab.zab.zxid import Zxid


class LeaderRound:
    """The events of one batch on an established leader: what every round needs to know is learned from a first one."""

    def __init__(self, peer: Peer, submit: Submit) -> None:
        self._submit = submit
        effects = peer.step(submit)
        match effects:
            case [Send(to, Proposal()), Append(gen, batch)]:
                self.learners, self._gen, self.last = to, gen, batch.last
            case _:
                raise WrongAnswerError(f"a leader answers {submit.count} transactions by {effects}")
        for event in self.after(self.last):
            peer.step(event)

    def after(self, last: Zxid) -> list[PeerEvent]:
        """What follows the proposal: the own flush and the followers' acks, the first of which commits."""
        acks = [Received(learner, session, Ack(last)) for learner, session in self.learners]
        return [Flushed(self._gen, last), *acks]

    def next_events(self) -> list[PeerEvent]:
        self.last += self._submit.count
        return [self._submit, *self.after(self.last)]


class LeaderCore:
    """Submit -> Flushed -> Ack, which commits -> Ack, which comes late."""

    def __init__(self, batch: int) -> None:
        self._peer = Ensemble().leader.server.peer
        self._round = LeaderRound(self._peer, Submit(batch, set_body(batch)))

    def run(self, rounds: int) -> float:
        step, events = self._peer.step, [event for _ in range(rounds) for event in self._round.next_events()]
        started = now()
        for event in events:
            step(event)
        return now() - started

    def check(self) -> None:
        effects = _all_effects(self._peer, self._round.next_events())
        last, learners = self._round.last, self._round.learners
        expect([type(effect) for effect in effects], [Send, Append, Send, Deliver], "effects of one batch")
        expect(effects[2], Send(learners, Commit(last)), "the commit")
        expect(self._peer.next_zxid, last + 1, "the next zxid")
        expect(self._peer.room, 1 << 30, "room for more")


class FollowerRounds:
    """The events of batches of `count` sets, one after the other, on a follower that serves."""

    def __init__(self, count: int) -> None:
        ensemble = Ensemble()
        self.server = ensemble.followers[0].server
        peer = self.server.peer
        learners = LeaderRound(ensemble.leader.server.peer, Submit(count, set_body(count))).learners
        self.session: Session = dict(learners)[peer.me]
        self.last: Zxid = peer.last_zxid
        self._count = count
        self._gen = peer.state_of_zab.gen

    def next_events(self, rounds: int) -> list[tuple[PeerEvent, PeerEvent, PeerEvent]]:
        events: list[tuple[PeerEvent, PeerEvent, PeerEvent]] = []
        for batch in batches(rounds, self._count, self.last + 1):
            self.last = batch.last
            proposal = Received(LEADER, self.session, Proposal(batch))
            commit = Received(LEADER, self.session, Commit(batch.last))
            events.append((proposal, Flushed(self._gen, batch.last), commit))
        return events


class FollowerCore:
    """Proposal -> Flushed, which is acknowledged -> Commit."""

    def __init__(self, batch: int) -> None:
        self._rounds = FollowerRounds(batch)
        self._peer = self._rounds.server.peer

    def run(self, rounds: int) -> float:
        step, events = self._peer.step, [event for events in self._rounds.next_events(rounds) for event in events]
        started = now()
        for event in events:
            step(event)
        return now() - started

    def check(self) -> None:
        effects = _all_effects(self._peer, self._rounds.next_events(1)[0])
        last, session = self._rounds.last, self._rounds.session
        expect([type(effect) for effect in effects], [Append, Send, Deliver], "effects of one batch")
        expect(effects[1], Send(((LEADER, session),), Ack(last)), "the ack")
        expect(self._peer.last_zxid, last, "the last logged zxid")


def _all_effects(peer: Peer, events: Iterable[PeerEvent]) -> list[PeerEffect]:
    return [effect for event in events for effect in peer.step(event)]


PARTS = tuple(
    Part(f"core/{role}/{batch}", f"Peer.step: {said}", "write", batch, rounds, partial(build, batch))
    for role, said, rounds, build in (
        ("leader", "submit, own flush, two acks, commit", 400, LeaderCore),
        ("follower", "proposal, flush, ack, commit", 800, FollowerCore),
    )
    for batch in (1, 256)
)
