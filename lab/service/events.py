"""Inputs and outputs that the service adds to those of Zab."""

from collections.abc import Iterator, Sequence

from lab.service.requests import Reply, Request
from lab.zab.config import PeerId
from lab.zab.effects import Effect, HostEffect
from lab.zab.events import Event, Generation, PeerEvent, Session
from lab.zab.zxid import Zxid

ClientId = int  # names one client link of this process; never used twice


class ClientRequests(Event, frozen=True):
    """One frame of requests from a client; `size` is the frame's length in bytes."""

    client: ClientId
    requests: list[Request]
    size: int


class ClientDown(Event, frozen=True):
    """The client's link ended; nothing more can be sent to it."""

    client: ClientId


class TurnEnd(Event, frozen=True):
    """All inputs of this turn of the host's loop were delivered: propose what they brought, as batches (DESIGN 2)."""


class ReplyTo(Effect, frozen=True):
    """Send these replies, as one frame unless it would be too long.  Closed always stands alone in its frame."""

    client: ClientId
    replies: Sequence[Reply]


class DropClient(Effect, frozen=True):
    """The client broke the rules: end its link."""

    client: ClientId
    reason: str


class OpenSnapshot(Effect, frozen=True):
    """Keep the tree as it is now for this learner session: ReadSnapshot asks for one chunk after the other.

    `chunks` walks the live tree, so it has to be walked, or its process copied, before the next effect is carried out.
    """

    learner: PeerId
    session: Session
    chunks: Iterator[bytes]


class WriteSnapshot(Effect, frozen=True):
    """Begin to write the tree as it is now, of `zxid`, to the own disk; SnapshotWritten follows once that has ended.

    `chunks` is like that of OpenSnapshot.
    """

    gen: Generation
    zxid: Zxid
    chunks: Iterator[bytes]


ServerEvent = PeerEvent | ClientRequests | ClientDown | TurnEnd
ServerEffect = HostEffect | ReplyTo | DropClient | OpenSnapshot | WriteSnapshot
