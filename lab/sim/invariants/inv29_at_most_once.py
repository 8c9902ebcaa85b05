"""INV-29: operations of unknown outcome took effect at most once, and those that failed never."""

from lab.service.transactions import ErrorTxn, MultiErrorTxn, OpenSessionTxn
from lab.sim.client import Outcome
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import Zxid, show


class AtMostOnce(Invariant):
    name = "INV-29"

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        effects: dict[tuple[int, int], list[Zxid]] = {}
        for zxid, txn in self.facts.history.items():
            if not isinstance(txn, ErrorTxn | MultiErrorTxn | OpenSessionTxn):
                effects.setdefault((txn.session, txn.cxid), []).append(zxid)
        for (session, cxid), zxids in effects.items():
            if len(zxids) > 1:
                raise self.error(f"request {cxid} of session {session} took effect at {[*map(show, zxids)]}")
        for operation in rest.operations:
            took = effects.get((operation.session, operation.request.cxid))  # type: ignore[union-attr]
            if took and operation.outcome is Outcome.FAILED:
                raise self.error(
                    f"{operation.request} of session {operation.session} failed, and took effect at {show(took[0])}"
                )
