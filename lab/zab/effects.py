"""What a server wants done: the outputs of `Peer.step`.

The ordering contract, stated once.  Whoever hosts a server carries effects out in list order, and:

1. Storage effects form one FIFO (Z-3).  `Append` may complete later, as `Flushed(gen, zxid)`.  Every other storage
   effect (SaveAcceptedEpoch, SaveCurrentEpoch, Truncate, the last Install, Barrier) first waits until all earlier
   Appends are durable and is durable itself before the next effect of the list is begun; the Appends that it waited
   for yield no later Flushed.
2. A `Send` or `Notify` leaves no earlier than its place in the list, so that what it claims is durable by (1).
   Messages of one session leave in list order.
3. `Truncate` and `ReadLog` yield one event each, delivered before any further input; `ReadSnapshot` yields one later.
4. A storage effect that fails ends the process before any further effect: a server that cannot write its log must
   not stay a voter (ZOOKEEPER-2247).

Effects marked *upcall* go to the service inside the same server, not to the host, at their place in the list.
"""

import msgspec

from lab.zab.config import PeerId
from lab.zab.events import Generation, History, Session
from lab.zab.messages import LearnerMessage, Notification, Phase, ServerState, TxnBatch
from lab.zab.zxid import Epoch, Zxid


class Effect(msgspec.Struct, frozen=True, gc=False):
    """Base of the outputs."""


class Notify(Effect, frozen=True):
    """Send an election message to each of these; one that cannot be delivered may be lost, the newest matters."""

    to: tuple[PeerId, ...]
    notification: Notification


class Send(Effect, frozen=True):
    """Send a message to each of these learner sessions."""

    to: tuple[tuple[PeerId, Session], ...]
    message: LearnerMessage


class CloseSession(Effect, frozen=True):
    """End a learner session at both ends; what was sent before it may still arrive, nothing after it."""

    peer: PeerId
    session: Session


class Append(Effect, frozen=True):
    """Log this batch; Flushed follows once it is durable."""

    gen: Generation
    batch: TxnBatch


class SaveAcceptedEpoch(Effect, frozen=True):
    epoch: Epoch


class SaveCurrentEpoch(Effect, frozen=True):
    epoch: Epoch


class Truncate(Effect, frozen=True):
    """Drop what is logged after `zxid`; yields Truncated.  `gen` is the generation that begins (Z-10, Z-11)."""

    gen: Generation
    zxid: Zxid


class Install(Effect, frozen=True):
    """One chunk of a snapshot that replaces the whole disk: with `last`, disk = snapshot of `zxid` + empty log.

    The switch is atomic; before it the old history stands (Z-11).  A `first` chunk discards an unfinished attempt.
    """

    gen: Generation
    zxid: Zxid
    data: bytes
    first: bool
    last: bool


class Barrier(Effect, frozen=True):
    """Wait until everything appended is durable: the next vote speaks of it (Z-3)."""


class ReadLog(Effect, frozen=True):
    """Read about `bytes_max` of the disk's history from `after` up to `until`, for a learner that lags behind memory;
    yields LogRead.
    """

    learner: PeerId
    session: Session
    after: Zxid
    until: Zxid
    bytes_max: int


class EndSnapshot(Effect, frozen=True):
    """The snapshot of the own disk that was written: give it its name, durably, and purge, or drop it (Z-8).

    `log_after`: a learner is being sent the log from there on, so the purge stops there (Z-18); None: nobody is.
    """

    keep: bool
    log_after: Zxid | None = None


class ReadSnapshot(Effect, frozen=True):
    """Read the next chunk of the snapshot that StreamSnapshot opened for this session; yields SnapshotRead.

    The snapshot goes with its session: nothing has to close it.
    """

    learner: PeerId
    session: Session


class SetTimer(Effect, frozen=True):
    """(Re)start the timer of this name; yields Timeout after `delay_ms`."""

    timer: str
    delay_ms: int


class CancelTimer(Effect, frozen=True):
    timer: str


class Entered(Effect, frozen=True):
    """The server changed state or phase; `leader` is 0 while there is none.  Measured and shown, never waited for.

    (LEADING, SYNCHRONIZATION) says that acceptedEpoch is durable for a quorum; (.., BROADCAST) that the server serves.
    """

    state: ServerState
    phase: Phase
    epoch: Epoch
    leader: PeerId


class FirstCommit(Effect, frozen=True):
    """The leader committed the first new transaction of its epoch (zab.md appendix B, T7).  Observed like Entered."""

    epoch: Epoch
    zxid: Zxid


class Replay(Effect, frozen=True):
    """*upcall*: apply what was just logged to the tree outside of BROADCAST; nobody is answered."""

    batch: TxnBatch


class Restore(Effect, frozen=True):
    """*upcall*: the tree becomes this history: its snapshot, then every batch of its log applied.

    Both are to be walked to their ends, batch by batch: a log need not fit into memory, and the core learns what it
    holds from the same walk (ZooKeeper: PlayBackListener).
    """

    history: History


class LoadSnapshot(Effect, frozen=True):
    """*upcall*: a chunk of a snapshot stream; with `last` the tree becomes what the chunks say."""

    data: bytes
    first: bool
    last: bool


class TakeSnapshot(Effect, frozen=True):
    """*upcall*: begin a snapshot of the own disk, of the tree as of `zxid`; yields SnapshotWritten, much later.

    No effect that changes the tree stands behind it in the same list.
    """

    gen: Generation
    zxid: Zxid


class StreamSnapshot(Effect, frozen=True):
    """*upcall*: keep the tree as it is at this effect's place, to be read chunk by chunk for this session (Z-13)."""

    to: tuple[PeerId, Session]
    zxid: Zxid  # which is what the tree is of


class Deliver(Effect, frozen=True):
    """*upcall*: committed, in BROADCAST: apply and answer the clients of this server."""

    batch: TxnBatch


class Serve(Effect, frozen=True):
    """*upcall*: this server is in BROADCAST and may answer clients; `leading`: it also prepares their writes."""

    leading: bool


class StopServing(Effect, frozen=True):
    """*upcall*: drop all clients; what they have outstanding is unknown to them (zab.md 5.9)."""


class Requested(Effect, frozen=True):
    """*upcall*: a learner forwarded writes of one of its clients."""

    learner: PeerId
    body: bytes


class Synced(Effect, frozen=True):
    """*upcall*: the `sync` of this nonce is done: everything committed when it was asked is applied here."""

    nonce: int


StorageEffect = (
    Append | SaveAcceptedEpoch | SaveCurrentEpoch | Truncate | Install | EndSnapshot | Barrier | ReadLog | ReadSnapshot
)
Observed = Entered | FirstCommit
HostEffect = StorageEffect | Notify | Send | CloseSession | SetTimer | CancelTimer | Observed
Upcall = (
    Replay | Restore | LoadSnapshot | StreamSnapshot | TakeSnapshot | Deliver | Serve | StopServing | Requested | Synced
)
PeerEffect = HostEffect | Upcall
