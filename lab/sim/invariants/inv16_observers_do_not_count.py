"""INV-16: observers appear in no ack set and in no election count.

Seen from outside: an epoch moves on only with messages of a quorum of *voters* (the leader itself included), a
transaction is committed only by their acks (INV-9), a leader is elected only by their votes (INV-21).
"""

from lab.sim.invariants.base import Invariant, sees, sees_received
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Entered
from lab.zab.events import Received
from lab.zab.messages import Ack, AckEpoch, FollowerInfo, ObserverInfo, Phase, ServerState
from lab.zab.zxid import counter_of, epoch_of


class ObserversDoNotCount(Invariant):
    name = "INV-16"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._may_vote: dict[tuple[PeerId, PeerId], bool] = {}
        self._epoch_acked: dict[PeerId, set[PeerId]] = {}
        self._new_leader_acked: dict[PeerId, set[PeerId]] = {}

    @sees_received(FollowerInfo, ObserverInfo)
    def registers(self, server: PeerId, event: Received) -> None:
        message = event.message
        self._may_vote[server, event.sender] = isinstance(message, FollowerInfo) and message.may_vote

    @sees_received(AckEpoch)
    def promised(self, server: PeerId, event: Received) -> None:
        assert isinstance(event.message, AckEpoch)
        if event.message.current_epoch != -1 and self._may_vote.get((server, event.sender), False):
            self._epoch_acked.setdefault(server, {server}).add(event.sender)

    @sees_received(Ack)
    def acked(self, server: PeerId, event: Received) -> None:
        assert isinstance(event.message, Ack)
        if counter_of(event.message.zxid) == 0:
            self._new_leader_acked.setdefault(epoch_of(event.message.zxid), {server}).add(event.sender)

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.state is not ServerState.LEADING:
            return
        if effect.phase is Phase.DISCOVERY:
            self._epoch_acked[server] = {server}
            return
        if effect.phase is Phase.SYNCHRONIZATION:
            acked, what = self._epoch_acked.get(server, {server}), "the promises"
        else:
            acked, what = self._new_leader_acked.get(effect.epoch, {server}), "the acks of NEWLEADER"
        if not self.facts.is_quorum(acked):
            raise self.error(
                f"leader {server} of epoch {effect.epoch} enters {effect.phase.name} with {what} of {sorted(acked)}, "
                f"no quorum of {self.facts.config.voters}"
            )
