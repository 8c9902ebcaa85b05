"""INV-22: session FIFO: the replies of a session come in the order of its requests, with zxids that never decrease."""

from lab.sim.client import Operation
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import show


class SessionFifo(Invariant):
    name = "INV-22"

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        last: dict[int, Operation] = {}
        for operation in rest.operations:
            if operation.reply is None:
                continue
            request, reply = operation.request, operation.reply
            if request.cxid != reply.cxid:  # type: ignore[union-attr]
                raise self.error(f"session {operation.session}: {reply} answers {request}")
            before = last.get(operation.session)
            if before is not None:
                if operation.answered < before.answered:
                    raise self.error(f"session {operation.session}: {request} is answered before {before.request}")
                if operation.zxid < before.zxid:
                    raise self.error(
                        f"session {operation.session}: {request} is answered at {show(operation.zxid)}, "
                        f"{before.request} before it at {show(before.zxid)}"
                    )
            last[operation.session] = operation
