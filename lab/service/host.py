"""The one loop: drain inputs, `Server.step`, carry out effects, flush.

A node process and the simulator both run it, so that the place where an acknowledgement could overtake a flush is
simulated, too.  What it needs of the world are the three protocols below.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from lab.zab.config import PeerId
from lab.zab.events import Flushed, Generation, LogRead, PeerDown, PeerUp, Session, SessionClosed, Truncated
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Epoch, Zxid

ClientId = int  # names one client link of this process; never used twice


class ElectionFrame(msgspec.Struct, frozen=True, gc=False):
    """One frame of the election channel, from the live incarnation of `peer`."""

    peer: PeerId
    data: bytes


class LearnerFrame(msgspec.Struct, frozen=True, gc=False):
    """One frame of a learner session."""

    peer: PeerId
    session: Session
    data: bytes


class ClientFrame(msgspec.Struct, frozen=True, gc=False):
    """One frame of a client link."""

    client: ClientId
    data: bytes


class ClientUp(msgspec.Struct, frozen=True, gc=False):
    client: ClientId


class ClientDown(msgspec.Struct, frozen=True, gc=False):
    """The client's link ended; nothing more can be sent to it."""

    client: ClientId


Inbound = PeerUp | PeerDown | SessionClosed | ElectionFrame | LearnerFrame | ClientUp | ClientDown | ClientFrame


class Links(Protocol):
    """The links of one process.  Nothing blocks; what does not fit waits in a bounded queue (DESIGN 3).

    Sending to a peer without a link, or in a session that has ended, does nothing.
    """

    def receive(self) -> Sequence[Inbound]:
        """What arrived since the last call, in order per link and channel."""

    def notify(self, peer: PeerId, frame: bytes) -> None:
        """Send on the election channel; may be lost if that channel is full."""

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        """Send in a learner session.  If the queue's bound is passed the session closes at both ends."""

    def close_session(self, peer: PeerId, session: Session) -> None:
        """End a learner session: the other end gets SessionClosed after the frames sent before."""

    def reply(self, client: ClientId, frame: bytes) -> None:
        """Send to a client.  If the queue's bound is passed the client's link closes."""

    def close_client(self, client: ClientId) -> None:
        """End a client link for good."""

    def flush(self) -> None:
        """Publish everything sent since the last call and wake the readers that sleep."""


class Store(Protocol):
    """Durable state.  A method that fails raises OSError (or a lab error naming the file) and the process ends."""

    def append(self, gen: Generation, batch: TxnBatch) -> None:
        """Log a batch; durable after the next `flush`, or any later call but `append` and `read_log`."""

    def flush(self) -> Flushed | None:
        """Make every append durable (group commit); None if nothing was appended since."""

    def save_accepted_epoch(self, epoch: Epoch) -> None: ...

    def save_current_epoch(self, epoch: Epoch) -> None: ...

    def truncate(self, gen: Generation, zxid: Zxid) -> Truncated:
        """Drop what is logged after `zxid`, or touch nothing if `zxid` is neither in the log nor its base (Z-11)."""

    def install(self, gen: Generation, zxid: Zxid, data: bytes, *, first: bool, last: bool) -> None:
        """Write one chunk of a snapshot; with `last`, switch to it atomically and begin an empty log (Z-11)."""

    def barrier(self) -> None:
        """Make every append durable; they yield no later Flushed (Z-3)."""

    def read_log(self, learner: PeerId, session: Session, after: Zxid, until: Zxid) -> LogRead: ...


class Clock(Protocol):
    def now_ms(self) -> float:
        """Monotonic milliseconds since some point."""
