"""INV-5: no committed transaction is lost: every later established leader has it, and a durable quorum keeps it.

*Every later leader*: whatever leaders of earlier epochs had committed by then is in the initial history.  Earlier
epochs, not earlier in time: the acks that establish a leader may have been under way while a later epoch began.

*Durable quorum*: at every instant a quorum of voters' disks contains everything committed.  A machine that is down
keeps its disk.  A wiped disk breaks that promise and no rule can mend it; what the rules promise instead (Z-12) is that
its server does not vote, nor count in discovery, until it was brought level.  So what can still be demanded is that
disks which hold the transaction and servers which may not vote make up a quorum together: then no quorum of the others
can elect a leader without it.  Once a wiped server may vote again its disk counts like any other.
"""

from lab.sim.invariants.base import Invariant, sees, sees_commit
from lab.sim.observer import MachineEvent
from lab.zab.config import PeerId
from lab.zab.constants import NO_ZXID
from lab.zab.effects import Entered, Install, SaveCurrentEpoch
from lab.zab.events import Truncated
from lab.zab.messages import Phase, ServerState
from lab.zab.zxid import Zxid, show


class NoCommittedTxnIsLost(Invariant):
    name = "INV-5"

    @sees(Entered)
    def entered(self, server: PeerId, effect: Entered) -> None:
        if effect.state is not ServerState.LEADING or effect.phase is not Phase.BROADCAST:
            return
        facts = self.facts
        initial = facts.initial[effect.epoch]
        for epoch, zxid in facts.committed.items():
            if epoch < effect.epoch and not facts.contains(initial, zxid):
                raise self.error(
                    f"{show(zxid)} was committed, leader {server} of epoch {effect.epoch} lacks it "
                    f"(its history ends at {show(initial)})"
                )
        facts.durable(server)
        self._check(initial, facts.holders(initial), f"the initial history of epoch {effect.epoch} is committed")

    @sees_commit
    def committed(self, leader: PeerId, zxid: Zxid) -> None:
        self.facts.durable(leader)  # what stands before it in the list is done
        self._check(zxid, self.facts.holders(zxid), f"leader {leader} commits it")

    @sees(Truncated)
    def truncated(self, server: PeerId, event: Truncated) -> None:
        if event.history is not None:
            end = event.history.last
            self._replaced(server, end, f"server {server} is truncated to {show(end)}")

    @sees(Install)
    def installed(self, server: PeerId, effect: Install) -> None:
        if effect.last:
            self._replaced(server, effect.zxid, f"server {server} installs the snapshot of {show(effect.zxid)}")

    @sees(SaveCurrentEpoch)
    def may_vote_again(self, server: PeerId, effect: SaveCurrentEpoch) -> None:
        self.facts.durable(server)  # what stands before it in the list is done
        shown, top = self.facts.of[server], self.facts.top
        if not shown.entitled and effect.epoch == shown.accepted:
            self._check(top, self.facts.holders(top, server, shown.appended), f"server {server} may vote again")

    @sees(MachineEvent.WIPED)
    def wiped(self, server: PeerId, what: MachineEvent) -> None:
        top = self.facts.top
        self._check(top, self.facts.holders(top, server, NO_ZXID, entitled=False), f"server {server} is wiped")

    def _replaced(self, server: PeerId, end: Zxid, why: str) -> None:
        facts = self.facts
        held = facts.holders(facts.top, server, end, facts.of[server].entitled)
        self._check(facts.top, held, why)

    def _check(self, zxid: Zxid, held: set[PeerId], why: str) -> None:
        if zxid > 0 and not self.facts.is_quorum(held):
            ends = {voter: show(self.facts.of[voter].durable) for voter in self.facts.config.voters}
            raise self.error(
                f"{show(zxid)} was committed, but only {sorted(held)} hold it durably or may not vote: {why}; "
                f"disks end at {ends}"
            )
