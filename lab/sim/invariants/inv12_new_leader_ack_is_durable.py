"""INV-12: a voter's ACK of NEWLEADER e implies durable: what was committed and sent before it, and currentEpoch = e."""

from lab.sim.invariants.base import Invariant, sees_received, sees_sent
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Send
from lab.zab.events import Received
from lab.zab.messages import Ack, Commit, Diff, Inform, NewLeader, Snap, Trunc
from lab.zab.zxid import Zxid, counter_of, epoch_of, show


class NewLeaderAckIsDurable(Invariant):
    name = "INV-12"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._sent: dict[PeerId, Zxid] = {}  # committed, in the sync that this learner is in
        self._due: set[PeerId] = set()  # who got NEWLEADER and has not acknowledged it

    @sees_received(Diff, Trunc, Snap)
    def begins(self, server: PeerId, event: Received) -> None:
        message = event.message
        self._sent[server] = message.zxid if isinstance(message, Snap) else 0
        self._due.discard(server)

    @sees_received(Commit, Inform)
    def committed(self, server: PeerId, event: Received) -> None:
        message = event.message
        if server in self._sent and server not in self._due:
            self._sent[server] = message.zxid if isinstance(message, Commit) else message.batch.last  # type: ignore[union-attr]

    @sees_received(NewLeader)
    def ends(self, server: PeerId, event: Received) -> None:
        self._due.add(server)

    @sees_sent(Ack)
    def acks(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, Ack)
        if server not in self._due or counter_of(effect.message.zxid) != 0:
            return
        self._due.discard(server)
        epoch, durable = epoch_of(effect.message.zxid), self.facts.durable(server)
        sent, current = self._sent.pop(server, 0), self.facts.of[server].current
        if not self.facts.contains(durable, sent):
            raise self.error(
                f"server {server} acks NEWLEADER of epoch {epoch}, its disk certainly holds {show(durable)}, "
                f"not the committed {show(sent)}"
            )
        if current != epoch:
            raise self.error(f"server {server} acks NEWLEADER of epoch {epoch}, its current epoch is {current}")
