"""INV-6: prefix consistency: what any two servers deliver is prefix-comparable, with identical bytes per zxid.

Everything committed lies on one path, and a server delivers along it, without a gap.
"""

from lab.sim.invariants.base import Invariant, sees, sees_commit
from lab.zab.config import PeerId
from lab.zab.effects import Deliver, Entered
from lab.zab.messages import Phase, ServerState
from lab.zab.zxid import Zxid, follows, show


class DeliveredPrefixes(Invariant):
    name = "INV-6"

    @sees_commit
    def committed(self, leader: PeerId, zxid: Zxid) -> None:
        top, contains = self.facts.top, self.facts.contains
        if not contains(zxid, top) and not contains(top, zxid):
            raise self.error(f"leader {leader} commits {show(zxid)}, which is no continuation of {show(top)}")

    @sees(Deliver)
    def delivered(self, server: PeerId, effect: Deliver) -> None:
        shown, batch = self.facts.of[server], effect.batch
        if not follows(batch.first, shown.applied):
            raise self.error(f"server {server} delivers {show(batch.first)} after {show(shown.applied)}")
        if not self.facts.paths.is_known(batch):
            raise self.error(f"server {server} delivers {show(batch.first)}-{show(batch.last)} with other bytes")
        if shown.state is not ServerState.LEADING and not self.facts.contains(self.facts.top, batch.last):
            raise self.error(f"server {server} delivers {show(batch.last)}, committed is {show(self.facts.top)}")

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        """Its whole history counts as delivered on entering BROADCAST."""
        if effect.phase is Phase.BROADCAST and effect.state is not ServerState.LEADING:
            applied, top = self.facts.of[server].applied, self.facts.top
            if not self.facts.contains(top, applied):
                raise self.error(f"server {server} serves at {show(applied)}, committed is {show(top)}")
