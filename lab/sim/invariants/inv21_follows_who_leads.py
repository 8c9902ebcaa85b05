"""INV-21: a server follows only a leader that reported LEADING, or the winner of its own round.

The winner has weight and the votes of a quorum of voters; an observer's vote is none (INV-16).
"""

from lab.sim.invariants.base import Invariant, sees
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Entered, Notify
from lab.zab.events import Notified
from lab.zab.messages import Notification, Phase, ServerState


class FollowsWhoLeads(Invariant):
    name = "INV-21"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._heard: dict[PeerId, dict[PeerId, list[Notification]]] = {}  # since the server looks, by sender
        self._voters = frozenset(facts.config.voters)
        weights = facts.config.weights or (1,) * len(self._voters)
        self._electors = {voter for voter, weight in zip(facts.config.voters, weights, strict=True) if weight}

    @sees(Notified)
    def heard(self, server: PeerId, event: Notified) -> None:
        if self.facts.of[server].state is ServerState.LOOKING:
            self._heard.setdefault(server, {}).setdefault(event.sender, []).append(event.notification)

    @sees(Notify)
    def votes(self, server: PeerId, effect: Notify) -> None:
        if effect.notification.state is ServerState.LOOKING:
            self._heard.setdefault(server, {}).setdefault(server, []).append(effect.notification)

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.phase is not Phase.DISCOVERY:
            if effect.state is ServerState.LOOKING:
                self._heard.pop(server, None)
            return
        heard = self._heard.pop(server, {})
        leader = effect.leader
        if leader not in self._electors:
            raise self.error(f"server {server} takes {leader} for the leader, which may not win (zab.md 3.4)")
        reports = [report for report in heard.get(leader, ()) if report.state is ServerState.LEADING]
        if any(report.vote.leader == leader for report in reports):
            return
        own = heard.get(server)
        round_ = own[-1].round if own else 0
        agreeing = {
            sender
            for sender, ballots in heard.items()
            if sender in self._voters
            and any(ballot.vote.leader == leader and ballot.round == round_ for ballot in ballots)
        }
        if self._electors == {server}:
            agreeing.add(server)  # alone it tells nobody how it votes
        if not self.facts.is_quorum(agreeing):
            raise self.error(
                f"server {server} takes {leader} for the leader, which did not say so, "
                f"by the votes of {sorted(agreeing)}"
            )
