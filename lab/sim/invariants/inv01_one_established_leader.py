"""INV-1: at most one server is ever established for a given epoch."""

from lab.sim.invariants.base import Invariant, sees
from lab.zab.config import PeerId
from lab.zab.effects import Entered
from lab.zab.messages import Phase, ServerState


class OneEstablishedLeader(Invariant):
    name = "INV-1"

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.state is ServerState.LEADING and effect.phase is Phase.BROADCAST:
            other = self.facts.established.get(effect.epoch)
            if other is not None:
                raise self.error(f"{other} and {server} are both established in epoch {effect.epoch}")
