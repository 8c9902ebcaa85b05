"""INV-31: no proposal first sent after a partition began is committed on the minority side while that lasts."""

from lab.sim.invariants.base import Invariant, Parted, sees, sees_commit
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.zxid import Zxid, show


class MinorityCommitsNothingNew(Invariant):
    name = "INV-31"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._proposed: dict[PeerId, Zxid] = {}  # by the servers without a quorum, when they were cut off

    @sees(Parted)
    def parted(self, _: PeerId, parted: Parted) -> None:
        facts = self.facts
        self._proposed = {
            server: facts.paths.known_upto(facts.of[server].epoch)
            for side in parted.sides
            if not facts.is_quorum(side)
            for server in side
        }

    @sees_commit
    def committed(self, leader: PeerId, zxid: Zxid) -> None:
        proposed = self._proposed.get(leader)
        if proposed is not None and zxid > proposed:
            raise self.error(
                f"leader {leader}, cut off with a minority, commits {show(zxid)}; "
                f"when it was cut off, {show(proposed)} was proposed"
            )
