"""How learners are brought level, and what they say about it."""

from lab.sim.mutants.planting import Patch, mutant
from lab.zab import synchronizer
from lab.zab.commit_log import CommitLog
from lab.zab.effects import Barrier, PeerEffect, Replay, SaveCurrentEpoch, Send, Serve
from lab.zab.feed import Feed
from lab.zab.handler import Handler
from lab.zab.leader import Leader
from lab.zab.learner import Learner
from lab.zab.messages import Commit, NewLeader, Phase, Snap, Trunc, TxnBatch
from lab.zab.phases import Bootstrap
from lab.zab.state import PeerState
from lab.zab.sync_plan import SyncPlan, plan_sync
from lab.zab.synchronizer import Synchronizer
from lab.zab.zxid import Zxid, counter_of


@mutant("L7, H-1 (ZOOKEEPER-3911, -3023)")
def new_leader_acked_before_the_history_is_durable(patch: Patch) -> None:
    """NEWLEADER is acknowledged as it comes, and only then is the history logged."""
    plain = Learner._on_new_leader

    def on_new_leader(self: Learner, epoch: int) -> list[PeerEffect]:
        *effects, ack = plain(self, epoch)
        saved = [effect for effect in effects if isinstance(effect, SaveCurrentEpoch)]
        return [*saved, ack, *[effect for effect in effects if effect not in saved]]

    patch(Learner, "_on_new_leader", on_new_leader)


TOO_EARLY = """
ensemble 3
start 1 2 3
serve
client a at 3
do a create /a=1
hold 3 -> 1
do a create /z=1
crash 2
crash 3
start 3
receive 1 from 3 0
advance 300
receive 1 from 3 1
crash 3
release 3 -> 1
start 2
serve
start 3
serve
check
"""


@mutant("L7, H-3 (ZOOKEEPER-4643)", scenario_name="a leader dies before the history has come", scenario=TOO_EARLY)
def current_epoch_saved_too_early(patch: Patch) -> None:
    """currentEpoch is durable with the promise, before the history that it stands for has come."""
    plain = Learner._on_leader_info

    def on_leader_info(self: Learner, epoch: int) -> list[PeerEffect]:
        effects = plain(self, epoch)
        return [*effects, *self.state.save_current_epoch(epoch)] if effects else effects

    patch(Learner, "_on_leader_info", on_leader_info)


@mutant("L7, INV-12")
def current_epoch_not_saved(patch: Patch) -> None:
    """NEWLEADER is acknowledged without currentEpoch on disk."""
    plain = Learner._on_new_leader

    def on_new_leader(self: Learner, epoch: int) -> list[PeerEffect]:
        return [Barrier() if isinstance(effect, SaveCurrentEpoch) else effect for effect in plain(self, epoch)]

    patch(Learner, "_on_new_leader", on_new_leader)


@mutant("L7(2), X-18 (ZOOKEEPER-4394)")
def uncommitted_tail_dropped_at_new_leader(patch: Patch) -> None:
    """Proposals that came before NEWLEADER and are not committed yet are forgotten with it."""
    plain = Learner._on_new_leader

    def on_new_leader(self: Learner, epoch: int) -> list[PeerEffect]:
        effects = plain(self, epoch)
        self._pending.clear()
        return effects

    patch(Learner, "_on_new_leader", on_new_leader)


@mutant("X-44 (TLA+ issue 1)")
def live_traffic_joined_late(patch: Patch) -> None:
    """A learner gets live proposals only once it has acknowledged NEWLEADER."""
    plain = Leader._forwarding

    def forwarding(self: Leader, *, voters: bool) -> tuple[tuple[int, int], ...]:
        active = {handler.to for handler in self.handlers.values() if handler.stage is Bootstrap.ACTIVE}
        return tuple(to for to in plain(self, voters=voters) if to in active)

    patch(Leader, "_forwarding", forwarding)


PULLING = """
ensemble 3 sync_window_bytes=1
start 2 3
serve
client a at 3
do a create /1=
do a create /2=
do a create /3=
hold 3 -> 1
start 1
receive 1 from 3 0
receive 1 from 3 1
do a create /4=
release 3 -> 1
"""


@mutant("INV-8", scenario_name="a commit while a learner pulls", scenario=PULLING)
def commit_overtakes_the_history(patch: Patch) -> None:
    """COMMITs go to learners that have not been sent the proposals yet."""
    plain = Leader._on_durable

    def on_durable(self: Leader, voter: int, zxid: Zxid) -> list[PeerEffect]:
        pulling = tuple(
            handler.to for handler in self._sorted_handlers() if handler.stage is Bootstrap.PULLING and handler.is_voter
        )
        return [
            Send((*effect.to, *pulling), effect.message)
            if isinstance(effect, Send) and isinstance(effect.message, Commit)
            else effect
            for effect in plain(self, voter, zxid)
        ]

    patch(Leader, "_on_durable", on_durable)


@mutant("ZOOKEEPER-3104, X-24")
def new_leader_before_the_queued_txns(patch: Patch) -> None:
    """NEWLEADER is sent ahead of what of the history is still to be sent."""
    plain = Synchronizer._join

    def join(self: Synchronizer, handler: Handler, feed: Feed) -> list[PeerEffect]:
        *effects, new_leader = plain(self, handler, feed)
        assert isinstance(new_leader, Send)
        assert isinstance(new_leader.message, NewLeader)
        return [new_leader, *effects]

    patch(Synchronizer, "_join", join)


@mutant("4.2 step 7, INV-16")
def established_by_the_leader_alone(patch: Patch) -> None:
    """The leader serves before a quorum has acknowledged NEWLEADER."""
    plain = Leader._try_establish

    def try_establish(self: Leader) -> list[PeerEffect]:
        self._new_leader_acked.update(self.state.config.voters)
        return plain(self)

    patch(Leader, "_try_establish", try_establish)


@mutant("INV-19, X-13 (ZOOKEEPER-790)")
def leader_proposes_before_it_is_established(patch: Patch) -> None:
    """Writes are proposed from SYNCHRONIZATION on."""
    plain_submit, plain_synchronize = Leader.submit, Leader._try_synchronize

    def submit(self: Leader, count: int, body: bytes) -> list[PeerEffect]:
        phase, self.phase = self.phase, Phase.BROADCAST
        try:
            return plain_submit(self, count, body)
        finally:
            self.phase = phase

    def try_synchronize(self: Leader) -> list[PeerEffect]:
        effects = plain_synchronize(self)
        return [*effects, Serve(leading=True)] if self.phase is Phase.SYNCHRONIZATION and effects else effects

    patch(Leader, "submit", submit)
    patch(Leader, "_try_synchronize", try_synchronize)


@mutant("Z-13, INV-17")
def snapshot_label_one_off(patch: Patch) -> None:
    """The label of a SNAP is one below what its tree holds."""

    def plan(learner_last: Zxid, need_snap: bool, committed: CommitLog) -> SyncPlan:
        made = plan_sync(learner_last, need_snap, committed)
        if isinstance(made.first, Snap) and counter_of(made.first.zxid) > 1 and committed.base < made.first.zxid - 1:
            return SyncPlan(Snap(made.first.zxid - 1), made.first.zxid - 1, made.row)
        return made

    patch(synchronizer, "plan_sync", plan)


@mutant("H-10, X-21 (ZOOKEEPER-4925)")
def committed_log_with_a_hole(patch: Patch) -> None:
    """What is applied during sync does not enter the committed log, from which others are brought level."""
    plain_append = CommitLog.append

    def replay(_: PeerState, batch: TxnBatch) -> Replay:
        return Replay(batch)

    def append(self: CommitLog, batch: TxnBatch) -> None:
        last, self.last = self.last, batch.first - 1
        try:
            plain_append(self, batch)
        except AssertionError:
            self.last = last
            raise

    patch(PeerState, "replay", replay)
    patch(CommitLog, "append", append)


TRUNCATED = """
ensemble 3
start 1 2 3
serve
client a at 3
do a create /a=1, create /b=1
hold 3 -> 1 2
do a create /z=1
crash 3
release 3 -> 1 2
serve
start 3
serve
"""


@mutant("4.3, INV-14", scenario_name="F3a", scenario=TRUNCATED)
def truncates_one_too_many(patch: Patch) -> None:
    """TRUNC goes one transaction below what is committed."""

    def plan(learner_last: Zxid, need_snap: bool, committed: CommitLog) -> SyncPlan:
        made = plan_sync(learner_last, need_snap, committed)
        if made.row == "R2" and counter_of(committed.last) > 1 and committed.base < committed.last - 1:
            return SyncPlan(Trunc(committed.last - 1), committed.last - 1, made.row)
        return made

    patch(synchronizer, "plan_sync", plan)
