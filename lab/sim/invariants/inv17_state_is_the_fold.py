"""INV-17: the applied state is the fold of the committed sequence: digests are equal on all servers at equal zxids."""

from lab.service.server import Server
from lab.sim.invariants.base import Invariant, sees_applied
from lab.sim.invariants.facts import Facts
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.config import PeerId
from lab.zab.zxid import Zxid, show


class StateIsTheFold(Invariant):
    name = "INV-17"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._digests: dict[Zxid, tuple[int, PeerId]] = {}

    @sees_applied
    def applied(self, server: PeerId, running: Server) -> None:
        zxid, digest = running.applied_zxid, running.tree.digest
        known, other = self._digests.setdefault(zxid, (digest, server))
        if known != digest:
            raise self.error(f"at {show(zxid)} servers {other} and {server} have digests {known:#x} and {digest:#x}")

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        for server, replica in rest.replicas.items():
            if replica.applied != self.facts.top:
                raise self.error(
                    f"server {server} is level at {show(replica.applied)}, committed is {show(self.facts.top)}"
                )
            held = {path: (node.data, node.version, node.mzxid) for path, node in replica.tree.nodes.items()}
            if held != fold.nodes:
                wrong = sorted(path for path in {*held, *fold.nodes} if held.get(path) != fold.nodes.get(path))
                raise self.error(
                    f"server {server} has {wrong[0]} = {held.get(wrong[0])}, the committed transactions make it "
                    f"{fold.nodes.get(wrong[0])} ({len(wrong)} nodes differ)"
                )
            if replica.tree.digest != fold.digest():
                raise self.error(
                    f"server {server} has digest {replica.tree.digest:#x}, its content makes {fold.digest():#x}"
                )
