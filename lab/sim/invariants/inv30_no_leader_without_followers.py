"""INV-30: an established leader without a synced quorum for (syncLimit + 1) ticks is no longer LEADING.

A voter is synced while anything of it was heard within syncLimit ticks, of the leader's own clock; in bootstrap, until
it has acknowledged NEWLEADER, within initLimit + syncLimit.
"""

from dataclasses import dataclass, field

from lab.sim.invariants.base import Invariant, sees, sees_received
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Entered
from lab.zab.events import Received, Tick
from lab.zab.messages import Ack, AckEpoch, FollowerInfo, Phase, Ping, Request, ServerState, Sync, SyncProgress


@dataclass(slots=True)
class _Leadership:
    tick: int = 0
    quorum_at: int = 0
    until: dict[PeerId, int] = field(default_factory=dict)  # tick up to which a voter counts as synced


class NoLeaderWithoutFollowers(Invariant):
    name = "INV-30"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._leading: dict[PeerId, _Leadership] = {}

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.state is not ServerState.LEADING:
            self._leading.pop(server, None)
        elif effect.phase is Phase.DISCOVERY:
            self._leading[server] = _Leadership()
        elif effect.phase is Phase.BROADCAST:
            self._leading[server].quorum_at = self._leading[server].tick

    @sees_received(FollowerInfo, AckEpoch, SyncProgress)
    def in_bootstrap(self, server: PeerId, event: Received) -> None:
        config = self.facts.config
        self._hear(server, event.sender, config.init_limit_ticks + config.sync_limit_ticks)

    @sees_received(Ack, Ping, Request, Sync)
    def in_broadcast(self, server: PeerId, event: Received) -> None:
        self._hear(server, event.sender, self.facts.config.sync_limit_ticks)

    def _hear(self, server: PeerId, voter: PeerId, limit: int) -> None:
        leading = self._leading.get(server)
        if leading is not None:
            leading.until[voter] = leading.tick + limit

    @sees(Tick)
    def ticks(self, server: PeerId, event: Tick) -> None:
        leading = self._leading.get(server)
        if leading is None:
            return
        synced = [server, *(voter for voter, until in leading.until.items() if until >= leading.tick)]
        if self.facts.is_quorum(synced):
            leading.quorum_at = leading.tick
        leading.tick += 1
        limit = self.facts.config.sync_limit_ticks + 1
        if self.facts.of[server].phase is Phase.BROADCAST and leading.tick - leading.quorum_at > limit:
            raise self.error(
                f"server {server} leads epoch {self.facts.of[server].epoch}, "
                f"{leading.tick - leading.quorum_at} ticks after a quorum was last synced"
            )
