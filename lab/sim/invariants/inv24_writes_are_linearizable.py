"""INV-24: writes are linearizable; with `sync_mode = quorum` reads behind a sync are, too.

The order of all writes is that of their zxids, and each is told what it must be told in the state that the ones before
it made: that it took effect, or exactly why it did not (zab.md 8.1, 8.4).
It agrees with real time if an acknowledged write has a zxid above every zxid that anybody had been told of when it was
sent.  A quorum sync is as far as anybody had been told when it was sent, and the session's reads behind it stay there
(INV-23).
"""

from lab.service.requests import Create, Delete, ErrorCode, Failed, Multi, MultiFailed, SetData, Sync
from lab.sim.client import Operation
from lab.sim.invariants.base import Invariant
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.judging import errors_of, show_errors
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

        self._check_outcomes(rest)

    def _check_outcomes(self, rest: Rest) -> None:
        answered = {
            operation.zxid: operation
            for operation in rest.operations
            if operation.reply is not None and isinstance(operation.request, WRITES)
        }
        fold = Fold()
        for zxid, txn in self.facts.paths.transactions(self.facts.top):
            if zxid in answered:
                self._check_outcome(fold, answered[zxid])
            fold.apply(zxid, txn)

    def _check_outcome(self, fold: Fold, operation: Operation) -> None:
        request = operation.request
        assert isinstance(request, WRITES), request
        due, told = errors_of(fold, request), _told(operation)
        if due != told:
            raise self.error(
                f"{request} of session {operation.session} is told {show_errors(told)} at {show(operation.zxid)}, "
                f"the state before it asks for {show_errors(due)}"
            )

    def _check_write(self, operation: Operation) -> None:
        if operation.zxid <= operation.floor:
            raise self.error(
                f"{operation.request} of session {operation.session} got {show(operation.zxid)}, sent when "
                f"{show(operation.floor)} was known"
            )


def _told(operation: Operation) -> list[int]:
    match operation.reply:
        case Failed(error=error):
            return [error]
        case MultiFailed(errors=errors):
            return errors
    return [ErrorCode.OK] * (len(operation.request.ops) if isinstance(operation.request, Multi) else 1)
