"""INV-18: recovery yields a prefix-closed history that holds everything durable, and nothing truncated or replaced.

What was acked is durable (INV-9, INV-12), so the disk is asked for more: for everything that was durable.  Of what a
process had in hand when it died, any part may be there.
"""

from lab.sim.invariants.base import Invariant, sees
from lab.sim.invariants.facts import Shown
from lab.zab.config import PeerId
from lab.zab.effects import Entered, Install, Truncate
from lab.zab.messages import ServerState
from lab.zab.zxid import Zxid, show


class RecoveryKeepsWhatWasDurable(Invariant):
    name = "INV-18"

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        shown = self.facts.of[server]
        if not (shown.recovering and shown.known and effect.state is ServerState.LOOKING):
            return
        end, (certain, possible) = shown.applied, shown.left
        for unfinished in shown.uncertain:
            if isinstance(unfinished, Truncate) and self.facts.contains(certain, unfinished.zxid):
                certain = unfinished.zxid
        if self._replaced(shown, end):
            return
        if not self.facts.contains(end, certain):
            raise self.error(f"server {server} recovers {show(end)}, durable was {show(certain)}")
        if not self.facts.contains(possible, end):
            raise self.error(
                f"server {server} recovers {show(end)}, what was given to its log ends at {show(possible)}"
            )

    @staticmethod
    def _replaced(shown: Shown, end: Zxid) -> bool:
        return any(isinstance(effect, Install) and effect.last and effect.zxid == end for effect in shown.uncertain)
