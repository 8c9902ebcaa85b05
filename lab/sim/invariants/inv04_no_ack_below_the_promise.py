"""INV-4: a voter sends no ACK (of a transaction or NEWLEADER) for epoch e after persisting acceptedEpoch > e."""

from lab.sim.invariants.base import Invariant, sees_sent
from lab.zab.config import PeerId
from lab.zab.effects import Send
from lab.zab.messages import Ack
from lab.zab.zxid import epoch_of, show


class NoAckBelowThePromise(Invariant):
    name = "INV-4"

    @sees_sent(Ack)
    def acked(self, server: PeerId, effect: Send) -> None:
        message = effect.message
        assert isinstance(message, Ack)
        self.facts.durable(server)  # what stands before it in the list is done
        accepted = self.facts.of[server].accepted
        if epoch_of(message.zxid) < accepted:
            raise self.error(f"server {server} acks {show(message.zxid)}, though it accepted epoch {accepted}")
