"""INV-11: epoch(lastZxid) <= currentEpoch <= acceptedEpoch, and both epochs never decrease.

Except from the Install of a SNAP or L7(2) until L7(3) or the Z-2 repair, whichever comes first.
"""

from lab.sim.invariants.base import Invariant, sees, sees_sent
from lab.zab.config import PeerId
from lab.zab.effects import Append, Entered, SaveAcceptedEpoch, SaveCurrentEpoch, Send
from lab.zab.messages import FollowerInfo, ObserverInfo, Phase, ServerState
from lab.zab.zxid import epoch_of, show


class EpochsAreOrdered(Invariant):
    name = "INV-11"

    @sees(SaveAcceptedEpoch)
    def accepts(self, server: PeerId, effect: SaveAcceptedEpoch) -> None:
        self.facts.durable(server)
        accepted = self.facts.of[server].accepted
        if effect.epoch < accepted:
            raise self.error(f"server {server} accepts epoch {effect.epoch} after {accepted}")

    @sees(SaveCurrentEpoch)
    def enters(self, server: PeerId, effect: SaveCurrentEpoch) -> None:
        self.facts.durable(server)
        shown = self.facts.of[server]
        if not shown.recovering and not shown.current <= effect.epoch <= shown.accepted:
            raise self.error(
                f"server {server} makes {effect.epoch} its current epoch after {shown.current}, "
                f"accepted {shown.accepted}"
            )

    @sees(Append)
    def appended(self, server: PeerId, effect: Append) -> None:
        shown = self.facts.of[server]
        if shown.phase is Phase.BROADCAST:
            self.facts.durable(server)
            if epoch_of(effect.batch.last) > shown.current:
                raise self.error(f"server {server} logs {show(effect.batch.last)} in current epoch {shown.current}")

    @sees(Entered)
    def looks(self, server: PeerId, effect: Entered) -> None:
        shown = self.facts.of[server]
        if effect.state is not ServerState.LOOKING:
            return
        self.facts.durable(server)
        last = shown.applied if shown.recovering else shown.appended
        current = effect.epoch
        if shown.known and current < shown.current:
            raise self.error(f"the current epoch of server {server} was {shown.current} and is {current}")
        if max(epoch_of(last), 0) > current or (shown.known and not shown.uncertain and current > shown.accepted):
            raise self.error(
                f"server {server} looks for a leader with a history up to {show(last)}, current epoch {current}, "
                f"accepted {shown.accepted}"
            )

    @sees_sent(FollowerInfo, ObserverInfo)
    def promises(self, server: PeerId, effect: Send) -> None:
        assert isinstance(effect.message, FollowerInfo | ObserverInfo)
        accepted = self.facts.of[server].accepted
        if effect.message.accepted_epoch < accepted:
            raise self.error(f"server {server} promised epoch {accepted} and now says {effect.message.accepted_epoch}")
