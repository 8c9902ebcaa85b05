"""INV-14: TRUNC or SNAP chosen by the leader of epoch e removes nothing committed till then by leaders of epochs <= e.

A deposed leader may remove, on a server outside the newer quorum, what a newer epoch committed.
"""

from lab.sim.invariants.base import Invariant, sees_received, sees_sent
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Send
from lab.zab.events import Received, Session
from lab.zab.messages import AckEpoch, Snap, Trunc
from lab.zab.zxid import Zxid, show


class SyncRemovesNothingCommitted(Invariant):
    name = "INV-14"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._shown: dict[tuple[PeerId, PeerId, Session], Zxid] = {}  # end of a learner's log, as ACKEPOCH said

    @sees_received(AckEpoch)
    def got_history(self, server: PeerId, event: Received) -> None:
        assert isinstance(event.message, AckEpoch)
        self._shown[server, event.sender, event.session] = event.message.last_zxid

    @sees_sent(Trunc, Snap)
    def cuts(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, Trunc | Snap)
        facts, target = self.facts, effect.message.zxid
        epoch = facts.of[server].epoch
        committed = max(facts.committed_until(epoch), facts.initial.get(epoch, 0))
        for learner, session in effect.to:
            last = self._shown.get((server, learner, session), 0)
            kept = facts.paths.meet(committed, last)
            if not facts.contains(target, kept):
                raise self.error(
                    f"leader {server} of epoch {epoch} cuts server {learner}, whose log ends at {show(last)}, back to "
                    f"{show(target)}; up to {show(kept)} that log is committed"
                )
