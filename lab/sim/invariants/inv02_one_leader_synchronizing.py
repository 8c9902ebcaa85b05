"""INV-2: two servers in LEADING with phase >= SYNCHRONIZATION never share an acceptedEpoch.

Checked for all times, not only for the moment: a quorum accepted that epoch durably, and none of it accepts it twice.
"""

from lab.sim.invariants.base import Invariant, sees
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Entered
from lab.zab.messages import Phase, ServerState
from lab.zab.zxid import Epoch


class OneLeaderSynchronizing(Invariant):
    name = "INV-2"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._leaders: dict[Epoch, PeerId] = {}

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.state is ServerState.LEADING and effect.phase is Phase.SYNCHRONIZATION:
            other = self._leaders.setdefault(effect.epoch, server)
            if other != server:
                raise self.error(f"{other} and {server} both synchronize in epoch {effect.epoch}")
