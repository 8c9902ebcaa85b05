"""INV-20: in one round a server's vote never gets worse; its round never decreases while it looks for a leader.

Joining a running ensemble adopts that one's round, which ends the comparison.
"""

from lab.sim.invariants.base import Invariant, sees
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Entered, Notify
from lab.zab.messages import ServerState

_Ballot = tuple[int, tuple[int, int, int]]


class VotesGetBetter(Invariant):
    name = "INV-20"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._ballots: dict[PeerId, _Ballot] = {}

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        self._ballots.pop(server, None)

    @sees(Notify)
    def votes(self, server: PeerId, effect: Notify) -> None:
        notification = effect.notification
        if notification.state is not ServerState.LOOKING:
            return
        vote = notification.vote
        ballot = notification.round, (vote.epoch, vote.zxid, vote.leader)  # the order of zab.md 3.4
        before = self._ballots.get(server, ballot)
        if ballot < before:
            raise self.error(f"server {server} votes {ballot} (round, vote) after {before}")
        self._ballots[server] = ballot
