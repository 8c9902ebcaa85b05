"""Which messages are legal where: the tables that code, tests and ARCHITECTURE.md's picture share (zab.md 4.1, 4.4).

Whatever is absent breaks the protocol: the session closes and the learner goes back to LOOKING.  What a table cannot
hold (which epoch, which zxid) is checked by the roles.
"""

from enum import IntEnum

from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    LeaderInfo,
    Message,
    NewLeader,
    ObserverInfo,
    Phase,
    Ping,
    Proposal,
    Request,
    Snap,
    SnapChunk,
    Sync,
    SyncProgress,
    Trunc,
    UpToDate,
)

_D, _S, _B = Phase.DISCOVERY, Phase.SYNCHRONIZATION, Phase.BROADCAST

LEARNER_PHASES: dict[tuple[Phase, type[Message]], Phase] = {
    (_D, LeaderInfo): _S,
    (_S, Diff): _S,
    (_S, Trunc): _S,
    (_S, Snap): _S,
    (_S, SnapChunk): _S,
    (_S, Proposal): _S,  # history, and what the leader already broadcasts to others
    (_S, Commit): _S,
    (_S, Inform): _S,
    (_S, NewLeader): _S,  # acknowledge it; serve only after UpToDate
    (_S, Ping): _S,  # ignored
    (_S, UpToDate): _B,
    (_B, Proposal): _B,
    (_B, Commit): _B,
    (_B, Inform): _B,
    (_B, Ping): _B,
    (_B, Sync): _B,
}
"""Learner side: (phase, message from the leader) -> next phase."""


class Bootstrap(IntEnum):
    """How far the leader has come with one learner session (ZooKeeper: LearnerHandler)."""

    CONNECTED = 0  # *INFO was received
    EPOCH_OFFERED = 1  # LEADERINFO was sent
    EPOCH_ACKED = 2  # ACKEPOCH was received; waits for the quorum, or for the disk log
    PULLING = 3  # the history is on its way, as fast as the learner takes it in (Z-18)
    SYNCING = 4  # history and NEWLEADER were sent; live traffic flows
    SYNCED = 5  # NEWLEADER was acknowledged; waits for the leader to be established
    ACTIVE = 6  # UPTODATE was sent


HANDLER_PHASES: dict[tuple[Bootstrap, type[Message]], tuple[Bootstrap, ...]] = {
    (Bootstrap.CONNECTED, FollowerInfo): (Bootstrap.CONNECTED, Bootstrap.EPOCH_OFFERED),
    (Bootstrap.CONNECTED, ObserverInfo): (Bootstrap.CONNECTED, Bootstrap.EPOCH_OFFERED),
    (Bootstrap.EPOCH_OFFERED, AckEpoch): (Bootstrap.EPOCH_ACKED, Bootstrap.PULLING, Bootstrap.SYNCING),
    (Bootstrap.EPOCH_OFFERED, SyncProgress): (Bootstrap.EPOCH_OFFERED,),
    (Bootstrap.EPOCH_ACKED, SyncProgress): (Bootstrap.EPOCH_ACKED,),
    (Bootstrap.PULLING, SyncProgress): (Bootstrap.PULLING, Bootstrap.SYNCING),
    (Bootstrap.SYNCING, SyncProgress): (Bootstrap.SYNCING,),
    (Bootstrap.SYNCING, Ack): (Bootstrap.SYNCED, Bootstrap.ACTIVE),  # of NEWLEADER
    (Bootstrap.SYNCED, SyncProgress): (Bootstrap.SYNCED,),
    (Bootstrap.ACTIVE, Ack): (Bootstrap.ACTIVE,),
    (Bootstrap.ACTIVE, Ping): (Bootstrap.ACTIVE,),
    (Bootstrap.ACTIVE, Request): (Bootstrap.ACTIVE,),
    (Bootstrap.ACTIVE, Sync): (Bootstrap.ACTIVE,),
    (Bootstrap.ACTIVE, SyncProgress): (Bootstrap.ACTIVE,),  # sent just before UPTODATE arrived
}
"""Leader side: (state of the session, message from the learner) -> possible next states."""
