"""Phase 2 on the leader's side: every learner's history is brought level with the own one (zab.md 4.3, Z-18).

`sync_plan` says how, `feed` sends as fast as the learner takes it in; here it begins and ends.
"""

from collections.abc import Callable, Collection, Mapping

from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect, ReadLog, Send, StreamSnapshot
from lab.zab.events import LogRead, SnapshotRead
from lab.zab.feed import Feed, log_slice_bytes
from lab.zab.handler import Handler
from lab.zab.messages import Commit, NewLeader, Proposal, Snap, TxnBatch
from lab.zab.phases import Bootstrap
from lab.zab.state import PeerState
from lab.zab.sync_plan import SyncPlan, plan_from_disk, plan_sync

JOIN_BYTES_MAX = 16 << 20  # of proposals outstanding when a learner joins: they must fit what may wait in its link


class Synchronizer:
    """The learners of one epoch between their ACKEPOCH and NEWLEADER."""

    def __init__(
        self,
        state: PeerState,
        epoch: int,
        outstanding: Collection[TxnBatch],
        drop: Callable[[PeerId], list[PeerEffect]],
    ) -> None:
        """`outstanding` is what voters get beyond the history, and changes; `drop` ends the session of a learner."""
        self._state = state
        self._epoch = epoch
        self._outstanding = outstanding
        self._drop = drop
        self._joiners: set[PeerId] = set()  # level, but with too much outstanding to join
        self._broken: set[PeerId] = set()  # learners whom the disk log failed half way

    @property
    def holds_back(self) -> bool:
        """Whether new proposals have to wait until a learner has joined."""
        return bool(self._joiners)

    def forget(self, peer: PeerId) -> None:
        """The session of `peer` has ended."""
        self._joiners.discard(peer)

    def begin(self, handler: Handler) -> list[PeerEffect]:
        """The learner has shown its history: choose, and begin to send."""
        need_snap = handler.need_snap or handler.peer in self._broken
        plan = plan_sync(handler.last_zxid, need_snap, self._state.applied)
        if plan.first is None:
            slice_bytes = log_slice_bytes(self._state.config.sync_window_bytes)
            return [ReadLog(*handler.to, handler.last_zxid, self._state.applied.base, slice_bytes)]
        return self._send_first(handler, plan)

    def on_log_read(self, handler: Handler, event: LogRead) -> list[PeerEffect]:
        if handler.feed is None:
            return self._send_first(handler, plan_from_disk(handler.last_zxid, event, self._state.applied), event)
        return self._go_on(handler, handler.feed.take_log(event.previous, event.batches))

    def on_snapshot_read(self, handler: Handler, event: SnapshotRead) -> list[PeerEffect]:
        assert handler.feed is not None, event
        return self._go_on(handler, None if event.data is None else handler.feed.take_chunk(event.data, event.last))

    def on_progress(self, handler: Handler, consumed_bytes: int) -> list[PeerEffect]:
        if handler.feed is None:
            return []
        handler.feed.note_consumed(consumed_bytes)
        return self._go_on(handler, [])

    def retry_joins(self, handlers: Mapping[PeerId, Handler]) -> list[PeerEffect]:
        """Something was committed: less is outstanding."""
        effects: list[PeerEffect] = []
        for peer in sorted(self._joiners):
            effects += self._go_on(handlers[peer], [])
        return effects

    def _send_first(self, handler: Handler, plan: SyncPlan, read: LogRead | None = None) -> list[PeerEffect]:
        """Send the first packet and as much of the history as there is room for, `read` first."""
        assert plan.first is not None
        feed = handler.feed = Feed(handler.to, plan, self._state.config.sync_window_bytes)
        handler.stage = Bootstrap.PULLING
        effects: list[PeerEffect] = [Send((handler.to,), plan.first)]
        if isinstance(plan.first, Snap):
            effects.append(StreamSnapshot(handler.to, plan.first.zxid))
            return [*effects, *self._go_on(handler, [])]
        return [*effects, *self._go_on(handler, [] if read is None else feed.take_log(read.previous, read.batches))]

    def _go_on(self, handler: Handler, taken: list[PeerEffect] | None) -> list[PeerEffect]:
        """What the disk gave, then what there is room for; None: it gave nothing of use, the learner has to ask anew.

        Once all is sent, the learner joins live traffic in the same step (start_forwarding), unless what is outstanding
        is too much for its link: then nothing new is proposed until it has joined.
        """
        feed = handler.feed
        assert feed is not None, handler
        if taken is None:
            self._broken.add(handler.peer)  # next time it gets the tree
            return self._drop(handler.peer)
        effects = [*taken, *feed.pump(self._state.applied)]
        if not feed.is_level(self._state.applied):
            return effects
        outstanding = self._outstanding if handler.is_voter else ()
        if sum(len(batch.body) for batch in outstanding) > JOIN_BYTES_MAX:
            self._joiners.add(handler.peer)
            return effects
        self._joiners.discard(handler.peer)
        return [*effects, *self._join(handler, feed)]

    def _join(self, handler: Handler, feed: Feed) -> list[PeerEffect]:
        """From here on the learner gets live traffic; NEWLEADER comes last (ZOOKEEPER-3104)."""
        to, effects = (handler.to,), list[PeerEffect]()
        if feed.cursor != feed.start:
            effects.append(Send(to, Commit(feed.cursor)))
        if handler.is_voter:
            effects += [Send(to, Proposal(batch)) for batch in self._outstanding]
        handler.stage, handler.history_end, handler.feed = Bootstrap.SYNCING, feed.cursor, None
        return [*effects, Send(to, NewLeader(self._epoch))]
