"""What the servers have shown so far: roles, epochs, what is on which disk, what is committed (zab.md 9.2)."""

from collections.abc import Iterable
from dataclasses import dataclass

from lab.service.transactions import Txn
from lab.sim.invariants.base import Handler, sees, sees_sent
from lab.sim.invariants.paths import Paths
from lab.sim.observer import MachineEvent
from lab.zab.config import PeerId, ZabConfig
from lab.zab.constants import NO_ZXID
from lab.zab.effects import (
    Append,
    Barrier,
    Deliver,
    Entered,
    Install,
    Replay,
    Restore,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Send,
    Truncate,
)
from lab.zab.events import Flushed, Start, Truncated
from lab.zab.messages import Commit, FollowerInfo, Inform, ObserverInfo, Phase, Proposal, ServerState, TxnBatch
from lab.zab.zxid import Epoch, Zxid

StorageEffect = Append | SaveAcceptedEpoch | SaveCurrentEpoch | Truncate | Install | Barrier


@dataclass(slots=True)
class Shown:
    """One server and its disk."""

    running: bool = False
    recovering: bool = False  # between Start and the first LOOKING
    state: ServerState = ServerState.LOOKING
    phase: Phase = Phase.ELECTION
    epoch: Epoch = 0
    leader: PeerId = 0
    applied: Zxid = NO_ZXID  # end of what its tree holds

    known: bool = False  # what its disk holds; not before its first start
    durable: Zxid = NO_ZXID  # end of what its disk holds for certain
    appended: Zxid = NO_ZXID  # end of everything that was given to its log
    in_hand: StorageEffect | None = None  # begun, not known to be done
    uncertain: tuple[StorageEffect, ...] = ()  # in hand when a process died: done, or not, or in part
    left: tuple[Zxid, Zxid] = (NO_ZXID, NO_ZXID)  # `durable` and `appended` when it died
    accepted: Epoch = 0
    current: Epoch = 0
    entitled: bool = True  # to vote: a wiped disk is not until it was brought level (Z-12)


class Facts:
    """Derived from what is seen.  Every invariant sees a thing before it becomes a fact."""

    def __init__(self, config: ZabConfig) -> None:
        self.config = config
        self.of = {server: Shown() for server in config.members}
        self.paths = Paths()
        self.initial: dict[Epoch, Zxid] = {}  # end of the initial history of each epoch that reached SYNCHRONIZATION
        self.established: dict[Epoch, PeerId] = {}
        self.committed: dict[Epoch, Zxid] = {}  # by the leader of each established epoch, its initial history included
        self.top: Zxid = 0  # greatest of them
        self.history: dict[Zxid, Txn] = {}  # at rest: everything committed, in order
        self.commit_handlers: list[Handler] = []
        self.busy: list[Shown] = []  # with a storage effect in hand, to be settled after the step

    # -- questions

    def contains(self, end: Zxid, zxid: Zxid) -> bool:
        return self.paths.contains(end, zxid)

    def is_quorum(self, servers: Iterable[PeerId]) -> bool:
        """Counted here once more, by other code than the servers' (zab.md 1.1)."""
        config, present = self.config, set(servers)
        if not config.weights and not config.groups:
            return 2 * len(present.intersection(config.voters)) > len(config.voters)
        weights = dict(zip(config.voters, config.weights or [1] * len(config.voters), strict=True))
        groups = [[peer for peer in group if weights[peer]] for group in config.groups or (config.voters,)]
        satisfied = [sum(weights[p] if p in present else -weights[p] for p in group) > 0 for group in groups if group]
        return 2 * sum(satisfied) > len(satisfied)

    def durable(self, server: PeerId) -> Zxid:
        """End of what this server's disk holds for certain, now that something later of it is seen."""
        shown = self.of[server]
        if shown.in_hand is not None:
            self._settle(shown)
        return shown.durable

    def is_leader(self, server: PeerId) -> bool:
        return self.of[server].state is ServerState.LEADING

    def committed_until(self, epoch: Epoch) -> Zxid:
        """The greatest transaction committed by leaders of epochs up to this one."""
        return max((zxid for by, zxid in self.committed.items() if by <= epoch), default=0)

    def holders(self, zxid: Zxid, changed: PeerId = 0, end: Zxid = NO_ZXID, entitled: bool = True) -> set[PeerId]:
        """Voters whose disks certainly hold `zxid`, or may not vote; `changed` is taken to hold what ends at `end`."""
        held = set()
        for voter in self.config.voters:
            shown = self.of[voter]
            if voter == changed:
                may_vote, durable = entitled, end
            else:
                may_vote, durable = shown.entitled, shown.durable
            if not may_vote or self.paths.contains(durable, zxid):
                held.add(voter)
        return held

    # -- what is seen

    @sees(Entered)
    def _on_entered(self, server: PeerId, effect: Entered) -> None:
        shown = self.of[server]
        if shown.in_hand is not None:
            self._settle(shown)
        if shown.recovering and effect.state is ServerState.LOOKING:
            shown.recovering, shown.known = False, True
            shown.uncertain = ()
            shown.current = effect.epoch
            shown.accepted = max(shown.accepted, effect.epoch)
        shown.state, shown.phase, shown.leader = effect.state, effect.phase, effect.leader
        shown.epoch = effect.epoch
        if effect.state is ServerState.LEADING:
            if effect.phase is Phase.SYNCHRONIZATION:
                self.initial[effect.epoch] = shown.appended
            elif effect.phase is Phase.BROADCAST:
                self.established[effect.epoch] = server
                self.committed[effect.epoch] = self.initial[effect.epoch]
                self.top = max(self.top, self.initial[effect.epoch])

    def _commit(self, leader: PeerId, zxid: Zxid) -> None:
        epoch = self.of[leader].epoch
        if zxid > self.committed.get(epoch, NO_ZXID):
            for handler in self.commit_handlers:
                handler(leader, zxid)
            self.committed[epoch] = zxid
            self.top = max(self.top, zxid)

    @sees(Deliver)
    def _on_deliver(self, server: PeerId, effect: Deliver) -> None:
        shown = self.of[server]
        shown.applied = effect.batch.last
        if shown.state is ServerState.LEADING:
            self._commit(server, effect.batch.last)

    @sees_sent(Commit)
    def _on_commit(self, server: PeerId, effect: Send) -> None:
        message = effect.message
        assert isinstance(message, Commit)
        self._told(server, message.zxid)

    @sees_sent(Inform)
    def _on_inform(self, server: PeerId, effect: Send) -> None:
        message = effect.message
        assert isinstance(message, Inform)
        self._told(server, message.batch.last)

    def _told(self, leader: PeerId, zxid: Zxid) -> None:
        """A leader tells others that this is committed; inside a sync that is no news."""
        shown = self.of[leader]
        if zxid > self.committed.get(shown.epoch, self.initial.get(shown.epoch, NO_ZXID)):
            self._commit(leader, zxid)

    @sees_sent(Proposal)
    def _on_proposal(self, server: PeerId, effect: Send) -> None:
        message = effect.message
        assert isinstance(message, Proposal)
        self.paths.learn(message.batch)

    @sees(Replay)
    def _on_replay(self, server: PeerId, effect: Replay) -> None:
        self.of[server].applied = effect.batch.last

    @sees(Restore)
    def _on_restore(self, server: PeerId, effect: Restore) -> None:
        shown = self.of[server]
        shown.applied = effect.history.last
        if shown.recovering:  # what is found is durable by now (Z-7)
            shown.left = shown.durable, shown.appended
            shown.durable = shown.appended = shown.applied

    # -- disks

    @sees(Append)
    def _on_append(self, server: PeerId, effect: Append) -> None:
        shown, batch = self.of[server], effect.batch
        if shown.in_hand is not None:
            self._settle(shown)
        self.paths.learn(batch, shown.appended)
        shown.appended = batch.last

    @sees(SaveAcceptedEpoch, SaveCurrentEpoch, Truncate, Install, Barrier)
    def _on_storage(self, server: PeerId, effect: StorageEffect) -> None:
        shown = self.of[server]
        if shown.in_hand is not None:
            self._settle(shown)
        shown.in_hand = effect
        self.busy.append(shown)

    def settle(self) -> None:
        """A step is over: everything that was begun is done."""
        for shown in self.busy:
            if shown.in_hand is not None:
                self._settle(shown)
        self.busy.clear()

    def learn_disk(self, base: Zxid, log: Iterable[TxnBatch]) -> None:
        """A disk that was prepared before its first start holds what nobody was seen to propose."""
        for batch in log:
            self.paths.learn(batch, base)
            base = batch.last

    def _settle(self, shown: Shown) -> None:
        effect, shown.in_hand = shown.in_hand, None
        match effect:
            case SaveAcceptedEpoch(epoch):
                shown.accepted = epoch
            case SaveCurrentEpoch(epoch):
                shown.current = epoch
                shown.entitled = shown.entitled or epoch == shown.accepted
            case Install(_, zxid, _, _, True):
                shown.appended = shown.applied = zxid
        if not isinstance(effect, Truncate):  # its outcome is an event
            shown.durable = shown.appended

    @sees(Flushed)
    def _on_flushed(self, server: PeerId, event: Flushed) -> None:
        shown = self.of[server]
        if self.contains(shown.appended, event.zxid) and not self.contains(shown.durable, event.zxid):
            shown.durable = event.zxid

    @sees(Truncated)
    def _on_truncated(self, server: PeerId, event: Truncated) -> None:
        shown = self.of[server]
        assert isinstance(shown.in_hand, Truncate), f"server {server} was not truncating"
        shown.in_hand = None
        if event.history is not None:
            shown.appended = event.history.last
        shown.durable = shown.appended

    # -- machines

    @sees(Start)
    def _on_start(self, server: PeerId, event: Start) -> None:
        self.of[server].recovering = True

    @sees(MachineEvent.STARTED)
    def _on_started(self, server: PeerId, what: MachineEvent) -> None:
        self.of[server].running = True

    @sees(MachineEvent.CRASHED, MachineEvent.LOST_POWER)
    def _on_crashed(self, server: PeerId, what: MachineEvent) -> None:
        shown = self.of[server]
        shown.running = shown.recovering = False
        shown.state, shown.phase, shown.leader = ServerState.LOOKING, Phase.ELECTION, 0
        if shown.in_hand is not None:
            shown.uncertain += (shown.in_hand,)
            shown.in_hand = None

    @sees(MachineEvent.WIPED)
    def _on_wiped(self, server: PeerId, what: MachineEvent) -> None:
        self.of[server] = Shown(known=True, entitled=False)

    @sees_sent(FollowerInfo, ObserverInfo)
    def _on_info(self, server: PeerId, effect: Send) -> None:
        shown, message = self.of[server], effect.message
        assert isinstance(message, FollowerInfo | ObserverInfo)
        shown.accepted = max(shown.accepted, message.accepted_epoch)
