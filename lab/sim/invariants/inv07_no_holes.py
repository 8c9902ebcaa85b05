"""INV-7: within an epoch logged zxids are consecutive from 1 on, across epochs they increase; there are no holes."""

from lab.sim.invariants.base import Invariant, sees
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.config import PeerId
from lab.zab.effects import Append, Replay
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, follows, show


class NoHoles(Invariant):
    name = "INV-7"

    @sees(Append)
    def appended(self, server: PeerId, effect: Append) -> None:
        self._check(server, effect.batch, self.facts.of[server].appended)

    @sees(Replay)
    def replayed(self, server: PeerId, effect: Replay) -> None:
        self._check(server, effect.batch, self.facts.of[server].applied)

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        for server, replica in rest.replicas.items():
            previous = replica.base
            for batch in replica.log:
                self._check(server, batch, previous)
                previous = batch.last
            if previous != self.facts.top:
                raise self.error(
                    f"server {server} is level with a log that ends at {show(previous)}, committed is "
                    f"{show(self.facts.top)}"
                )

    def _check(self, server: PeerId, batch: TxnBatch, previous: Zxid) -> None:
        if not follows(batch.first, previous):
            raise self.error(f"server {server} has {show(batch.first)} after {show(previous)}")
