"""INV-19: integrity: every applied transaction was proposed by the established leader of its epoch, once."""

from lab.sim.invariants.base import Invariant, sees, sees_sent
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Append, Send
from lab.zab.messages import Phase, Proposal, ServerState, TxnBatch
from lab.zab.zxid import Epoch, Zxid, epoch_of, make_zxid, show


class ProposedOnceByThePrimary(Invariant):
    name = "INV-19"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._proposed: dict[Epoch, Zxid] = {}

    @sees_sent(Proposal)
    def sends(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, Proposal)
        batch = effect.message.batch
        if batch.last > self.facts.paths.known_upto(epoch_of(batch.first)):
            self._proposes(server, batch)
            self._proposed[epoch_of(batch.first)] = batch.last

    @sees(Append)
    def appends(self, server: PeerId, effect: Append) -> None:
        shown, batch = self.facts.of[server], effect.batch
        if shown.state is ServerState.LEADING:
            self._proposes(server, batch)
            self._proposed[epoch_of(batch.first)] = batch.last
        elif batch.last > self.facts.paths.known_upto(epoch_of(batch.first)):
            raise self.error(f"server {server} logs {show(batch.first)}-{show(batch.last)}, which nobody proposed")

    def _proposes(self, server: PeerId, batch: TxnBatch) -> None:
        shown, epoch = self.facts.of[server], epoch_of(batch.first)
        if shown.phase is not Phase.BROADCAST or self.facts.established.get(epoch) != server:
            raise self.error(
                f"server {server} proposes {show(batch.first)} in {shown.phase.name}, epoch {epoch} is led by "
                f"{self.facts.established.get(epoch, 'nobody')}"
            )
        last = self._proposed.get(epoch, make_zxid(epoch, 0))
        if batch.first != last + 1 and batch.last != last:  # sent and logged is one proposal
            raise self.error(f"leader {server} proposes {show(batch.first)} after {show(last)}")
