"""Acknowledgements and quorums: what counts, and when."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from lab.sim.mutants.planting import Patch, mutant
from lab.zab.broadcast import Broadcast
from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect, Send
from lab.zab.events import Session, Tick
from lab.zab.handler import Handler
from lab.zab.leader import Leader
from lab.zab.learner import Learner
from lab.zab.messages import FollowerInfo, Inform, ObserverInfo, TxnBatch
from lab.zab.peer import Peer
from lab.zab.quorum import Majority
from lab.zab.zxid import Zxid


@mutant("INV-9, S86")
def ack_before_fsync(patch: Patch) -> None:
    """A follower acknowledges a proposal when it gives it to its log, not when it is flushed."""
    plain = Learner._on_proposal

    def hasty(self: Learner, batch: TxnBatch) -> list[PeerEffect]:
        effects = plain(self, batch)
        return [*effects, *self.on_flushed(batch.last)] if effects else effects

    patch(Learner, "_on_proposal", hasty)


@mutant("INV-9")
def leader_counts_its_own_disk_at_once(patch: Patch) -> None:
    """The leader's vote for a transaction is counted when it is proposed, not when its log is flushed."""
    plain = Leader.submit

    def submit(self: Leader, count: int, body: bytes) -> list[PeerEffect]:
        effects = plain(self, count, body)
        return [*effects, *self.on_flushed(self.broadcast.last_proposed)] if effects else effects

    patch(Leader, "submit", submit)


@mutant("INV-9, zab.md 1.1")
def commit_on_a_minority(patch: Patch) -> None:
    """What any one voter has acknowledged is committed."""

    def frontier(_: Majority, acked: Mapping[PeerId, Zxid]) -> Zxid:
        return max(acked.values())

    patch(Majority, "frontier", frontier)


@mutant("INV-16")
def observer_counted_in_a_quorum(patch: Patch) -> None:
    """A quorum is counted over whoever answers, observers included."""

    def contains(self: Majority, members: Iterable[PeerId]) -> bool:
        return len(set(members)) > len(self._voters) // 2

    def on_new_leader_ack(self: Leader, handler: Handler) -> list[PeerEffect]:
        self._new_leader_acked.add(handler.peer)
        return plain(self, handler)

    plain = Leader._on_new_leader_ack
    patch(Majority, "contains", contains)
    patch(Leader, "_on_new_leader_ack", on_new_leader_ack)


STALE_ACK = """
ensemble 3
start 1 2 3
serve
client a at 3
hold disk 3
hold 3 -> 2
do a create /a=1
partition 1 / 2 3
hold disk 1
heal
release disk 3
"""


@mutant("Z-1, X-47", scenario_name="X-47", scenario=STALE_ACK)
def acks_not_reset_at_a_new_session(patch: Patch) -> None:
    """What a voter acknowledged before its session was lost still counts, though it may have been truncated since."""
    patch(Broadcast, "reset_ack", lambda self, voter: None)  # noqa: ARG005


@mutant("Z-3", scenario_name="X-47 with a late flush", scenario=STALE_ACK + "tick\n")
def flushed_of_an_old_generation_accepted(patch: Patch) -> None:
    """The report of a flush comes a tick after the role has ended that the flush was for, and is believed."""
    plain_leave, plain_route = Peer._leave_role, Peer._route
    late: dict[int, Zxid] = {}  # by peer

    def leave_role(self: Peer, reason: str) -> list[PeerEffect]:
        late[id(self)] = self.last_zxid
        return plain_leave(self, reason)

    def route(self: Peer, event: Any) -> list[PeerEffect]:
        if isinstance(event, Tick) and isinstance(self.role, Learner) and id(self) in late:
            return [*plain_route(self, event), *self.role.on_flushed(late.pop(id(self)))]
        return plain_route(self, event)

    patch(Peer, "_leave_role", leave_role)
    patch(Peer, "_route", route)


@mutant("INV-9, zab.md 5.5")
def inform_before_commit(patch: Patch) -> None:
    """Observers are told of a transaction when it is proposed."""
    plain = Leader.submit

    def submit(self: Leader, count: int, body: bytes) -> list[PeerEffect]:
        effects = plain(self, count, body)
        to = self._forwarding(voters=False)
        if effects and to:
            effects.append(Send(to, Inform(self.broadcast.outstanding[-1])))
        return effects

    patch(Leader, "submit", submit)


OLDER_EPOCH = """
ensemble 3
disk 1 accepted=2
start 2 3
serve
start 1
serve
"""


@mutant("L1, INV-4", scenario_name="an older epoch on offer", scenario=OLDER_EPOCH)
def leader_info_of_an_older_epoch_accepted(patch: Patch) -> None:
    """A learner follows a leader whose epoch is older than its promise, and that leader lets it (Z-4)."""
    plain, plain_info = Learner._on_leader_info, Leader._on_info

    def on_leader_info(self: Learner, epoch: int) -> list[PeerEffect]:
        accepted = self.state.accepted_epoch
        if epoch >= accepted:
            return plain(self, epoch)
        self.state.accepted_epoch = epoch
        try:
            return plain(self, epoch)
        finally:
            self.state.accepted_epoch = accepted

    def on_info(self: Leader, peer: PeerId, session: Session, message: FollowerInfo | ObserverInfo) -> list[PeerEffect]:
        if self.epoch and message.accepted_epoch > self.epoch:
            message = msgspec.structs.replace(message, accepted_epoch=self.epoch)
        return plain_info(self, peer, session, message)

    patch(Learner, "_on_leader_info", on_leader_info)
    patch(Leader, "_on_info", on_info)


STUCK = """
ensemble 3 proposal_timeout_ms=500 sync_limit_ticks=20 init_limit_ticks=40
start 1 2 3
serve
client a at 3
hold disk 1 2
do a create /z=1
advance 900
release disk 1 2
serve
client a at 3
do a create /y=1
serve
"""


@mutant("S81, F1", scenario_name="F1", scenario=STUCK)
def rollback_on_proposal_timeout(patch: Patch) -> None:
    """A leader takes back what stayed uncommitted for too long, and goes on."""

    def on_proposals_timer(self: Leader) -> list[PeerEffect]:
        if self.broadcast.has_stuck():
            self.broadcast.outstanding.clear()
        return self._watch_proposals()

    patch(Leader, "on_proposals_timer", on_proposals_timer)
