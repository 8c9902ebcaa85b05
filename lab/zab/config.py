"""What a user may turn in the protocol, and who belongs to the ensemble."""

from typing import Literal, get_args

import msgspec

from lab.zab.constants import PEER_ID_MAX, SERVERS_MAX
from lab.zab.errors import ConfigError

PeerId = int
SyncMode = Literal["leader", "quorum"]


class ZabConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Membership and limits, the same on every server.  Limits are in ticks; the host gives a tick its length."""

    voters: tuple[PeerId, ...]
    observers: tuple[PeerId, ...] = ()
    weights: tuple[int, ...] = ()  # one for each voter, in their order; without: 1 each (ZooKeeper: weight.x)
    groups: tuple[tuple[PeerId, ...], ...] = ()  # of voters, for hierarchical quorums (zab.md 1.1; ZooKeeper: group.x)

    init_limit_ticks: int = 20  # to connect and synchronise without progress (ZooKeeper: initLimit, Z-18)
    sync_limit_ticks: int = 5  # to answer a ping (ZooKeeper: syncLimit)
    sync_grace_ticks: int = 0  # a new leader with a quorum still waits so long for the other voters; 0 = ZooKeeper

    finalize_wait_ms: int = 200  # FLE's quiet period (ZooKeeper: finalizeWait)
    finalize_early: bool = True  # skip it when every voter is accounted for (zab.md 3.6); off = ZooKeeper
    notify_interval_ms: int = 200  # first re-send of an unanswered vote; doubles up to the cap (zab.md 3.6)
    notify_interval_ms_max: int = 60_000
    leader_announce: bool = True  # the leader tells everybody once it has decided and once established (Z-15)

    leader_serves: bool = True  # off: clients attach to followers and observers only (ZooKeeper: leaderServes)
    relays: int = 0  # followers that relay to the observers in the leader's place (ZooKeeper: observerMasterPort)
    leader_log_first: bool = False  # a proposal leaves once the leader's own disk has it; off = both at once, ZooKeeper
    proposal_timeout_ms: int = 0  # uncommitted for so long, a proposal ends its leader (zab.md 6.2, F1); 0 = never
    max_outstanding: int = 0  # uncommitted batches at the leader: 1 = blocking, 0 = unbounded (zab.md 5.10)
    sync_mode: SyncMode = "leader"  # who has to confirm a sync (zab.md 5.8); "leader" = ZooKeeper
    batch_txns_max: int = 4096  # transactions in one proposal: 1 = ZooKeeper's one a proposal
    snap_count: int = 100_000  # transactions between own snapshots, down to half of it; 0 = none (ZooKeeper: snapCount)
    commit_log_count: int = 10_000  # transactions kept in memory for DIFF (ZooKeeper: commitLogCount, 500)
    sync_window_bytes: int = 4 << 20  # of history under way to a learner that is being brought level (Z-18)

    def __post_init__(self) -> None:
        members = self.voters + self.observers
        if not self.voters:
            raise ConfigError("voters=0: an ensemble needs at least 1 voter")
        if len(members) > SERVERS_MAX:
            raise ConfigError(f"{len(members)} servers: an ensemble has 1 to {SERVERS_MAX}")
        if len(set(members)) != len(members):
            raise ConfigError(f"voters={self.voters} observers={self.observers}: a server id stands twice")
        if not all(1 <= peer <= PEER_ID_MAX for peer in members):
            raise ConfigError(f"voters={self.voters} observers={self.observers}: ids are 1 to {PEER_ID_MAX}")
        self._check_quorums()
        for field, least in (
            ("sync_limit_ticks", 2),
            ("sync_grace_ticks", 0),
            ("finalize_wait_ms", 0),
            ("notify_interval_ms", 1),
            ("proposal_timeout_ms", 0),
            ("max_outstanding", 0),
            ("relays", 0),
            ("batch_txns_max", 1),
            ("snap_count", 0),
            ("commit_log_count", 1),
            ("sync_window_bytes", 1),
        ):
            if getattr(self, field) < least:
                raise ConfigError(f"{field}={getattr(self, field)}: must be at least {least}")
        if not self.leader_serves and len(members) == 1:
            raise ConfigError("leader_serves=false: with 1 voter and no observer nobody would serve")
        if self.relays >= len(self.voters):
            raise ConfigError(f"relays={self.relays}: of {len(self.voters)} voters {len(self.voters) - 1} can follow")
        if self.sync_mode not in get_args(SyncMode):
            raise ConfigError(f"sync_mode={self.sync_mode}: there are {', '.join(get_args(SyncMode))}")
        if self.init_limit_ticks <= self.sync_limit_ticks:
            raise ConfigError(
                f"init_limit_ticks={self.init_limit_ticks} must exceed sync_limit_ticks={self.sync_limit_ticks}: "
                "joining takes longer than a ping"
            )
        if self.init_limit_ticks <= self.sync_grace_ticks:
            raise ConfigError(
                f"init_limit_ticks={self.init_limit_ticks} must exceed sync_grace_ticks={self.sync_grace_ticks}: "
                "learners wait no longer"
            )
        if self.notify_interval_ms_max < self.notify_interval_ms:
            raise ConfigError(
                f"notify_interval_ms_max={self.notify_interval_ms_max} is below "
                f"notify_interval_ms={self.notify_interval_ms}"
            )

    def _check_quorums(self) -> None:
        if self.weights and len(self.weights) != len(self.voters):
            raise ConfigError(f"weights={self.weights}: one for each of the {len(self.voters)} voters, or none at all")
        if self.weights and (min(self.weights) < 0 or max(self.weights) == 0):
            raise ConfigError(f"weights={self.weights}: none may be below 0, and one has to be above")
        if self.groups and sorted(peer for group in self.groups for peer in group) != sorted(self.voters):
            raise ConfigError(f"groups={self.groups}: each voter of {self.voters} stands in exactly one group")

    @property
    def members(self) -> tuple[PeerId, ...]:
        return tuple(sorted(self.voters + self.observers))
