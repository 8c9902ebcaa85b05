"""INV-24: writes are linearizable; with `sync_mode = quorum` reads behind a sync are, too.

The order of all writes is that of their zxids, and each is valid in the state that the ones before it made (`fold`).
It agrees with real time if an acknowledged write has a zxid above every zxid that anybody had been told of when it was
sent.  A quorum sync is as far as anybody had been told when it was sent, and the session's reads behind it stay there
(INV-23).
"""

from lab.service.requests import Create, Delete, Multi, SetData, Sync
from lab.sim.client import Operation
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.zab.zxid import show

WRITES = (Create, Delete, Multi, SetData)


class WritesAreLinearizable(Invariant):
    name = "INV-24"

    def at_rest(self, rest: Rest, fold: Fold) -> None:
        quorum_sync = getattr(self.facts.config, "sync_mode", "leader") == "quorum"
        for operation in rest.operations:
            if operation.reply is None:
                continue
            if isinstance(operation.request, WRITES):
                self._check_write(operation)
            elif isinstance(operation.request, Sync) and quorum_sync and operation.zxid < operation.floor:
                raise self.error(
                    f"{operation.request} of session {operation.session} is done at {show(operation.zxid)}, sent when "
                    f"{show(operation.floor)} was known"
                )

    def _check_write(self, operation: Operation) -> None:
        if operation.zxid <= operation.floor:
            raise self.error(
                f"{operation.request} of session {operation.session} got {show(operation.zxid)}, sent when "
                f"{show(operation.floor)} was known"
            )
