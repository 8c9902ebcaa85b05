"""INV-3: for established epochs e < e', everything ever committed by leader e is in the initial history of e'.

This module sees to what leader e commits late, by acks that were under way while e' was established; what was
committed before is INV-5's.
"""

from lab.sim.invariants.base import Invariant, sees_commit
from lab.zab.config import PeerId
from lab.zab.zxid import Zxid, show


class InitialHistoryCoversEarlierEpochs(Invariant):
    name = "INV-3"

    @sees_commit
    def committed(self, leader: PeerId, zxid: Zxid) -> None:
        facts = self.facts
        epoch = facts.of[leader].epoch
        for later, by in facts.established.items():
            if later > epoch and not facts.contains(facts.initial[later], zxid):
                raise self.error(
                    f"leader {leader} of epoch {epoch} commits {show(zxid)}, which the initial history of epoch "
                    f"{later} (leader {by}, up to {show(facts.initial[later])}) lacks"
                )
