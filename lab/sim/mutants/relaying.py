"""Followers that relay to observers: what they hand on, and in whose name."""

from lab.sim.mutants.planting import Patch, mutant
from lab.zab.effects import PeerEffect, Send
from lab.zab.handler import Handler
from lab.zab.learner import Learner
from lab.zab.messages import Phase, Sync, TxnBatch
from lab.zab.relay import Relay


@mutant("INV-9, ZOOKEEPER-3140")
def relay_hands_on_what_is_only_proposed(patch: Patch) -> None:
    """A relay informs its observers of a transaction as soon as the leader has proposed it."""
    plain = Learner._on_proposal

    def on_proposal(self: Learner, batch: TxnBatch) -> list[PeerEffect]:
        effects = plain(self, batch)
        if self.relay is not None and self.phase is Phase.BROADCAST and effects:
            effects += self.relay.on_committed([self._pending[-1]])
        return effects

    patch(Learner, "_on_proposal", on_proposal)


@mutant("INV-9, zab.md 6.2")
def relay_hands_on_its_tail_when_it_loses_its_leader(patch: Patch) -> None:
    """A relay that leaves its role, and applies all that it has logged, informs its observers of that, too."""
    plain = Learner.close

    def close(self: Learner) -> list[PeerEffect]:
        informs = self.relay.on_committed(self.tail) if self.relay is not None else []
        return [*informs, *plain(self)]

    patch(Learner, "close", close)


AHEAD = """
ensemble 3 observers=1 relays=1
start 1 2 3 4
serve
client a at 3
hold 3 -> 2
do a create /a=1
crash 1
"""


@mutant("INV-14", scenario_name="a relay behind its observer", scenario=AHEAD)
def relay_cuts_back_who_is_ahead(patch: Patch) -> None:
    """A relay truncates an observer that has heard of commits before it has itself."""

    def begin(self: Relay, handler: Handler) -> list[PeerEffect]:
        return self.synchronizer.begin(handler)

    patch(Relay, "_begin", begin)


SYNC = """
ensemble 3 observers=1 relays=1 sync_mode="quorum"
start 1 2 3 4
serve
client a at 4
client b at 3
hold 3 -> 1
do b create /a=1
do a sync
release 3 -> 1
serve
check
"""


@mutant("zab.md 5.8, INV-24", scenario_name="a sync through a relay behind", scenario=SYNC)
def relay_answers_sync_by_itself(patch: Patch) -> None:
    """A relay answers an observer's `sync` from what it happens to have applied."""

    def on_sync(_: Relay, handler: Handler, nonce: int) -> list[PeerEffect]:
        return [Send((handler.to,), Sync(nonce))]

    patch(Relay, "_on_sync", on_sync)
