"""INV-10: a leader commits z only after z - 1 of the same epoch."""

from lab.sim.invariants.base import Invariant, sees
from lab.zab.config import PeerId
from lab.zab.effects import Deliver
from lab.zab.messages import ServerState
from lab.zab.zxid import counter_of, epoch_of, show


class CommitsInOrder(Invariant):
    name = "INV-10"

    @sees(Deliver)
    def delivered(self, server: PeerId, effect: Deliver) -> None:
        shown = self.facts.of[server]
        if shown.state is not ServerState.LEADING:
            return
        first = effect.batch.first
        before = shown.applied if counter_of(first) != 1 else first - 1
        if first != before + 1 or epoch_of(first) != shown.epoch:
            raise self.error(
                f"leader {server} of epoch {shown.epoch} commits {show(first)} after {show(shown.applied)}"
            )
