"""INV-13: a server never sends ACKEPOCH(e) twice as a counted ack; the second time it says -1.

A wiped server has forgotten, but it may not vote, so its ACKEPOCH is not counted either (Z-12).
"""

from lab.sim.invariants.base import Invariant, sees, sees_sent
from lab.sim.invariants.facts import Facts
from lab.sim.observer import MachineEvent
from lab.zab.config import PeerId
from lab.zab.effects import Send
from lab.zab.messages import AckEpoch
from lab.zab.zxid import Epoch


class OneCountedAckEpoch(Invariant):
    name = "INV-13"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._counted: dict[PeerId, set[Epoch]] = {}

    @sees_sent(AckEpoch)
    def acks(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, AckEpoch)
        if effect.message.current_epoch == -1:
            return
        self.facts.durable(server)
        epoch, counted = self.facts.of[server].accepted, self._counted.setdefault(server, set())
        if epoch in counted:
            raise self.error(f"server {server} sends a counted ACKEPOCH for epoch {epoch} twice")
        counted.add(epoch)

    @sees(MachineEvent.WIPED)
    def wiped(self, server: PeerId, what: MachineEvent) -> None:
        self._counted.pop(server, None)
