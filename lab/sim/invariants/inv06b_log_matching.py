"""INV-6b: two durable histories that contain zxid z agree on everything <= z (modulo the snapshot base)."""

from lab.sim.invariants.base import Invariant, sees
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.config import PeerId
from lab.zab.effects import Append
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, epoch_of, show


class LogMatching(Invariant):
    name = "INV-6b"

    @sees(Append)
    def appended(self, server: PeerId, effect: Append) -> None:
        self._check(server, effect.batch, self.facts.of[server].appended)

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        """What the disks really hold."""
        for server, replica in rest.replicas.items():
            previous = replica.base
            for batch in replica.log:
                self._check(server, batch, previous)
                previous = batch.last

    def _check(self, server: PeerId, batch: TxnBatch, previous: Zxid) -> None:
        paths = self.facts.paths
        other = paths.stands_behind(batch)
        if other is not None and other != previous:
            raise self.error(
                f"server {server} has {show(batch.first)} behind {show(previous)}, "
                f"elsewhere it stands behind {show(other)}"
            )
        if batch.last <= paths.known_upto(epoch_of(batch.first)) and not paths.is_known(batch):
            raise self.error(f"server {server} has other transactions at {show(batch.first)}-{show(batch.last)}")
