"""INV-15: after sync (NEWLEADER acked) a learner's log is a prefix of the leader's and contains its initial history."""

from lab.sim.invariants.base import Invariant, sees_sent
from lab.zab.config import PeerId
from lab.zab.effects import Send
from lab.zab.messages import Ack
from lab.zab.zxid import counter_of, epoch_of, show


class SyncedLogIsAPrefix(Invariant):
    name = "INV-15"

    @sees_sent(Ack)
    def acks(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, Ack)
        if counter_of(effect.message.zxid) != 0:
            return
        self.facts.durable(server)
        epoch, end = epoch_of(effect.message.zxid), self.facts.of[server].appended
        initial = self.facts.initial.get(epoch)
        if initial is None:
            raise self.error(f"server {server} is synchronized with epoch {epoch}, which nobody leads")
        if not self.facts.contains(end, initial):
            raise self.error(
                f"server {server} is level with epoch {epoch} at {show(end)}, which began at {show(initial)}"
            )
        # what it holds beyond must be of this epoch: the path to it leads through the initial history (INV-6b)
        if end != initial and epoch_of(end) != epoch:
            raise self.error(
                f"server {server} is level with epoch {epoch} and holds {show(end)} beyond {show(initial)}"
            )
