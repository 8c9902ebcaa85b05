"""What happens to a server: the inputs of `Peer.step` (and, with the service's own, of `Server.step`).

The host delivers one at a time.  Events that an effect brings about (Truncated, LogRead, Flushed) come before any later
input.
"""

from collections.abc import Iterable

import msgspec

from lab.zab.config import PeerId
from lab.zab.messages import LearnerMessage, Notification, TxnBatch
from lab.zab.zxid import Epoch, Zxid

Session = int  # numbers one learner session between two incarnations; a learner's later ones have greater numbers (Z-9)
Generation = int  # of the log: grows at every Truncate, Install and role change (Z-3)


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of the inputs."""


class History(msgspec.Struct, frozen=True):
    """What a disk holds: a snapshot (`chunks`, made by the service, of the tree as of `base`), then the log after it.

    The iterables may read lazily and can be walked once.  `base` is NO_ZXID for a server that has nothing, not even the
    empty snapshot.0 of a new one (Z-12).  `last` is where the log ends, the base if it is empty.
    """

    base: Zxid
    chunks: Iterable[bytes]
    batches: Iterable[TxnBatch]
    last: Zxid


class Recovered(msgspec.Struct, frozen=True):
    """The durable state a server starts from (zab.md 1.3, 7.4); checked and fsynced before it is handed over (Z-7)."""

    accepted_epoch: Epoch
    current_epoch: Epoch
    history: History
    may_vote: bool  # False: unexpectedly empty; votes and counts only after a completed synchronization (Z-12)


class Start(Event, frozen=True):
    """First event of an incarnation: look for a leader."""


class Tick(Event, frozen=True):
    """`tick_ms` have passed.  After a stall one Tick is delivered, not as many as were missed."""


class Timeout(Event, frozen=True):
    """The timer of that name, set by SetTimer and not set again or cancelled since, has run out."""

    timer: str


class PeerUp(Event, frozen=True):
    """A link to this incarnation of `peer` exists: nothing from any earlier one will be delivered any more."""

    peer: PeerId
    incarnation: int


class PeerDown(Event, frozen=True):
    """The link to this incarnation of `peer` ended: it died, was cut off, or its link broke (Z-9)."""

    peer: PeerId
    incarnation: int


class Notified(Event, frozen=True):
    """An election message from the live incarnation of `sender`."""

    sender: PeerId
    notification: Notification


class Received(Event, frozen=True):
    """A message of a learner session, in the order sent."""

    sender: PeerId
    session: Session
    message: LearnerMessage


class SessionClosed(Event, frozen=True):
    """The other end closed this learner session, or its link ran full; nothing more of it will arrive."""

    peer: PeerId
    session: Session


class Flushed(Event, frozen=True):
    """Everything appended in generation `gen` up to `zxid` is on stable storage (as the durability in force has it)."""

    gen: Generation
    zxid: Zxid


class Truncated(Event, frozen=True):
    """Outcome of Truncate.  `history` is what the disk holds now; None: not possible, nothing was touched (Z-11)."""

    gen: Generation
    history: History | None


class LogRead(Event, frozen=True):
    """Outcome of ReadLog: `previous` is the greatest zxid of the disk's history that is <= the one asked for.

    `batches` are what follows it, contiguous, at most up to the zxid asked for and about the bytes asked for, but one
    batch at least.  None: the disk log does not reach back that far, or has a hole.
    """

    learner: PeerId
    session: Session
    previous: Zxid
    batches: tuple[TxnBatch, ...] | None
    log_bytes: int = 0  # of the whole log after `previous`, roughly
    snapshot_bytes: int = 0  # of the newest snapshot on this disk


class SnapshotWritten(Event, frozen=True):
    """Whoever wrote the snapshot that TakeSnapshot began has ended; `ok`: all of it is on stable storage."""

    gen: Generation
    zxid: Zxid
    ok: bool


class SnapshotRead(Event, frozen=True):
    """Outcome of ReadSnapshot, any time after it; data None: the snapshot cannot be read any further."""

    learner: PeerId
    session: Session
    data: bytes | None
    last: bool


class Submit(Event, frozen=True):
    """The service proposes: `count` encoded transactions, the first of which has `Peer.next_zxid`."""

    count: int
    body: bytes


class SyncAsked(Event, frozen=True):
    """A client of this server wants `sync`; answered by Synced with the same nonce."""

    nonce: int


class Forward(Event, frozen=True):
    """The service hands on writes of one of its client sessions; only while this server follows in BROADCAST."""

    body: bytes


PeerEvent = (
    Start
    | Tick
    | Timeout
    | PeerUp
    | PeerDown
    | Notified
    | Received
    | SessionClosed
    | Flushed
    | Truncated
    | LogRead
    | SnapshotRead
    | SnapshotWritten
    | Submit
    | SyncAsked
    | Forward
)
