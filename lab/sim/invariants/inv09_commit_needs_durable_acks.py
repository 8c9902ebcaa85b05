"""INV-9: commit(z) at a leader only with durable acks of a quorum of voters; ack(z) only after the fsync covering z.

A leader commits when it tells anybody so or delivers, whichever comes first.  Acks are those that it has received in
the voter's present session (Z-1), and what is durable on its own disk.
"""

from lab.sim.invariants.base import Invariant, sees, sees_commit, sees_received, sees_sent
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Entered, Send
from lab.zab.events import Received, Session
from lab.zab.messages import Ack, FollowerInfo, ObserverInfo, Phase, ServerState
from lab.zab.zxid import Zxid, counter_of, show


class CommitNeedsDurableAcks(Invariant):
    name = "INV-9"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._session: dict[tuple[PeerId, PeerId], Session] = {}  # of (leader, voter)
        self._acked: dict[PeerId, dict[PeerId, Zxid]] = {}  # by leader, by voter

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.state is ServerState.LEADING and effect.phase is Phase.DISCOVERY:
            self._acked[server] = {}

    @sees_received(FollowerInfo, ObserverInfo)
    def registered(self, server: PeerId, event: Received) -> None:
        self._session[server, event.sender] = event.session
        self._acked.setdefault(server, {}).pop(event.sender, None)

    @sees_received(Ack)
    def got_ack(self, server: PeerId, event: Received) -> None:
        assert isinstance(event.message, Ack)
        if self._session.get((server, event.sender)) == event.session:
            acked, zxid = self._acked.setdefault(server, {}), event.message.zxid
            if zxid > acked.get(event.sender, 0):
                acked[event.sender] = zxid

    @sees_sent(Ack)
    def acks(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, Ack)
        zxid, durable = effect.message.zxid, self.facts.durable(server)
        if counter_of(zxid) != 0 and not self.facts.contains(durable, zxid):
            raise self.error(f"server {server} acks {show(zxid)}, its disk certainly holds {show(durable)}")

    @sees_commit
    def committed(self, leader: PeerId, zxid: Zxid) -> None:
        acked = self._acked.get(leader, {})
        voters = {voter for voter, upto in acked.items() if upto >= zxid}
        if self.facts.contains(self.facts.durable(leader), zxid):
            voters.add(leader)
        if not self.facts.is_quorum(voters):
            raise self.error(
                f"leader {leader} commits {show(zxid)} with acks of {sorted(voters)} out of {self.facts.config.voters}"
            )
