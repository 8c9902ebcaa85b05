"""Hop markers: when a write passed which place in this server (zab.md appendix B; DESIGN 1).

A server that is to mark is made of the subclasses below, chosen once at its start (`marked_parts`): they stamp at the
boundaries of the core, the log and the links, and nothing of the unmarked server knows of them.  Everything is marked
per batch or per frame, never per transaction.  Markers go into memory that was set aside before; when it is full they
are counted and dropped.  All times are CLOCK_MONOTONIC, which the processes of one host share.
"""

import os
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from struct import Struct
from time import monotonic_ns
from typing import Any, NamedTuple

import msgspec

from lab.node.links import NodeLinks
from lab.service.events import ClientRequests, ReplyTo, ServerEffect, ServerEvent
from lab.service.host import Inbound
from lab.service.requests import Connect
from lab.service.server import Server
from lab.storage.memory import MemoryStore
from lab.storage.store import FileStore
from lab.zab.constants import PEER_ID_MAX
from lab.zab.effects import Append, Send
from lab.zab.events import Flushed, Generation, Received, Session
from lab.zab.messages import Ack, Commit, Inform, Proposal, Request, ServerState, TxnBatch

ROW = Struct("<5q")  # hop, key, about, number, at_ns
_pack_into, _ROW_BYTES = ROW.pack_into, ROW.size
_ORDINAL_BITS = 32
_SESSION_MASK = (1 << 31) - 1


class Hop(IntEnum):
    """A place that a write passes, and what its marker's key, about and number are.

    A zxid stands for everything up to it that no earlier marker of that kind covers; so does a cxid in its session.
    "Taken": from the link, at the start of the turn; "published": handed to the reader at the link's other end, stamped
    just before, so that no reader can be earlier.
    """

    RECEIVED = 0  # requests of a client were taken: cxid of the last, session
    FORWARDED = 1  # they were published to the leader: cxid of the last, session, number of the frame
    REQUESTED = 2  # leader: a learner's forwarded requests were taken: number of the frame, learner
    PROPOSED = 3  # leader: they are a batch, validated and encoded: its last zxid, -, its transactions
    APPENDED = 4  # voter: it is written to the log: last zxid, -, transactions
    SENT = 5  # leader: the proposal is published, and everything else of that turn: last zxid
    PROPOSAL = 6  # follower: the proposal was taken: last zxid
    FLUSHED = 7  # voter: durable, as the durability in force has it: zxid
    ACKED = 8  # follower: its acknowledgement is published: zxid
    ACK = 9  # leader: an acknowledgement was taken: zxid, voter
    COMMITTED = 10  # leader: the quorum is closed: zxid, the voter whose disk closed it
    INFORMED = 11  # leader: COMMIT and INFORM are published: zxid
    COMMIT = 12  # learner: COMMIT or INFORM was taken: zxid
    APPLIED = 13  # in the tree, the replies made: zxid
    REPLIED = 14  # the replies are published: zxid
    RELAYED = 15  # relay: an observer's requests are published to the leader: number of the frame, observer, its number


# Plain numbers: a member of an enum is looked up in 65 ns and packed as slowly, and some servers mark 20 times a write.
(_RECEIVED, _FORWARDED, _REQUESTED, _PROPOSED, _APPENDED, _SENT, _PROPOSAL, _FLUSHED, _ACKED, _ACK, _COMMITTED,
 _INFORMED, _COMMIT, _APPLIED, _REPLIED, _RELAYED) = map(int, Hop)  # fmt: skip
ACKS = len(Hop)  # the streams of acknowledgements, one for each voter, are numbered from here


class Marks:
    """The markers of one server since they were last taken."""

    def __init__(self, marks_max: int, every: int, now_ns: Callable[[], int] = monotonic_ns) -> None:
        """Keeps markers of batches that hold a zxid divisible by `every`, and of all frames of requests."""
        self.now_ns = now_ns
        self.taken_ns = 0  # when the links were last looked into
        self.unpublished: list[tuple[int, int, int, int]] = []
        self.dropped = 0
        self._bytes_max = marks_max * _ROW_BYTES
        self._rows = bytearray(self._bytes_max)
        self._end = 0
        self._every = every
        self._covered = [-1] * (ACKS + PEER_ID_MAX + 1)  # by stream: the greatest zxid so far, in units of `every`

    def add(self, hop: int, key: int, about: int, number: int, at_ns: int) -> None:
        end = self._end
        if end < self._bytes_max:
            _pack_into(self._rows, end, hop, key, about, number, at_ns)
            self._end = end + _ROW_BYTES
        else:
            self.dropped += 1

    def is_sampled(self, stream: int, zxid: int) -> bool:
        """Whether the next marker of this stream, up to `zxid`, covers a sampled transaction; asked once for each.

        A stream is a hop, or ACKS + the voter.
        """
        reached = zxid // self._every
        if reached <= self._covered[stream]:
            return False
        self._covered[stream] = reached
        return True

    def publish(self) -> None:
        """What was to be published is about to be."""
        if self.unpublished:
            at_ns = self.now_ns()
            for hop, key, about, number in self.unpublished:
                self.add(hop, key, about, number, at_ns)
            self.unpublished.clear()

    def take(self) -> tuple[bytes, int]:
        """The rows, and how many more there would have been; then begin anew."""
        rows, dropped = bytes(memoryview(self._rows)[: self._end]), self.dropped
        self._end = self.dropped = 0
        return rows, dropped


class MarkedServer(Server):
    """A Server that marks what its events and effects say about batches."""

    def __init__(self, marks: Marks, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._marks = marks
        self._forwarded = _Frames()
        self._requested: dict[int, _Frames] = {}  # by learner

    def step(self, event: ServerEvent) -> list[ServerEffect]:
        marks, kind, applied = self._marks, type(event), self.applied_zxid
        began_ns = marks.now_ns()
        if kind is Received:
            self._on_received(event)  # type: ignore[arg-type]
        elif kind is ClientRequests:
            self._on_client(event)  # type: ignore[arg-type]
        elif kind is Flushed and marks.is_sampled(_FLUSHED, event.zxid):  # type: ignore[union-attr]
            marks.add(_FLUSHED, event.zxid, 0, 0, began_ns)  # type: ignore[union-attr]
        effects = super().step(event)
        if effects:
            self._on_effects(event, effects)
        if self.applied_zxid > applied:
            self._on_applied(event, effects, began_ns)
        return effects

    def _on_received(self, event: Received) -> None:
        marks, message = self._marks, event.message
        kind = type(message)
        if kind is Ack:
            if marks.is_sampled(ACKS + event.sender, zxid := message.zxid):  # type: ignore[union-attr]
                marks.add(_ACK, zxid, event.sender, 0, marks.taken_ns)
        elif kind is Proposal:
            batch = message.batch  # type: ignore[union-attr]
            if marks.is_sampled(_PROPOSAL, zxid := batch.last):
                marks.add(_PROPOSAL, zxid, 0, batch.count, marks.taken_ns)
        elif kind is Commit or kind is Inform:
            zxid = message.zxid if kind is Commit else message.batch.last  # type: ignore[union-attr]
            if marks.is_sampled(_COMMIT, zxid):
                marks.add(_COMMIT, zxid, 0, 0, marks.taken_ns)
        elif kind is Request:
            frames = self._requested.setdefault(event.sender, _Frames())
            marks.add(_REQUESTED, frames.next(event.session), event.sender, 0, marks.taken_ns)

    def _on_client(self, event: ClientRequests) -> None:
        frame = self._frame(event)
        if frame is not None:
            self._marks.add(_RECEIVED, *frame, 0, self._marks.taken_ns)

    def _frame(self, event: ClientRequests) -> tuple[int, int] | None:
        """The cxid of a frame's last request and its session; None of one that only connects, or comes too late."""
        session = self._by_client.get(event.client)
        if session is None or not event.requests or isinstance(event.requests[-1], Connect):
            return None
        return event.requests[-1].cxid, session.id

    def _on_effects(self, event: ServerEvent, effects: Sequence[ServerEffect]) -> None:
        marks = self._marks
        for effect in effects:
            kind = type(effect)
            if kind is Append and self.peer.state is ServerState.LEADING:
                batch = effect.batch  # type: ignore[union-attr]
                if marks.is_sampled(_PROPOSED, batch.last):
                    marks.add(_PROPOSED, batch.last, 0, batch.count, marks.now_ns())
                    marks.unpublished.append((_SENT, batch.last, 0, batch.count))
            elif kind is Send:
                message = effect.message  # type: ignore[union-attr]
                if type(message) is Ack:
                    if marks.is_sampled(_ACKED, message.zxid):
                        marks.unpublished.append((_ACKED, message.zxid, 0, 0))
                elif type(message) is Request:
                    self._on_forwarded_frame(event, effect)  # type: ignore[arg-type]

    def _on_forwarded_frame(self, event: ServerEvent, sent: Send) -> None:
        ((_, zab_session),) = sent.to
        number = self._forwarded.next(zab_session)
        if isinstance(event, Received) and type(event.message) is Request:
            self._marks.unpublished.append((_RELAYED, number, event.sender, self._requested[event.sender].last))
            return
        frame = self._frame(event) if isinstance(event, ClientRequests) else None
        if frame is not None:
            self._marks.unpublished.append((_FORWARDED, *frame, number))

    def _on_applied(self, event: ServerEvent, effects: Sequence[ServerEffect], began_ns: int) -> None:
        marks, zxid = self._marks, self.applied_zxid
        if not marks.is_sampled(_APPLIED, zxid):
            return
        marks.add(_APPLIED, zxid, 0, 0, marks.now_ns())
        if self.peer.state is ServerState.LEADING:
            closer = event.sender if type(event) is Received else self.peer.me
            marks.add(_COMMITTED, zxid, closer, 0, began_ns)
            marks.unpublished.append((_INFORMED, zxid, 0, 0))
        if ReplyTo in map(type, effects):
            marks.unpublished.append((_REPLIED, zxid, 0, 0))


class _Frames:
    """Numbers the frames of forwarded requests; both ends of a learner session count alike."""

    def __init__(self) -> None:
        self._session, self._count = -1, 0
        self.last = 0

    def next(self, session: Session) -> int:
        if session != self._session:
            self._session, self._count = session, 0
        self._count += 1
        self.last = (session & _SESSION_MASK) << _ORDINAL_BITS | self._count
        return self.last


def mark_links(marks: Marks, links: NodeLinks) -> NodeLinks:
    """The links themselves, which from now on note when frames are taken, and when those that were sent are published.

    Whatever kind of links they are: a subclass would be needed for each.
    """
    receive, flush = links.receive, links.flush

    def marked_receive() -> Sequence[Inbound]:
        arrived = receive()
        marks.taken_ns = marks.now_ns()
        return arrived

    def marked_flush() -> None:
        marks.publish()
        flush()

    links.receive, links.flush = marked_receive, marked_flush  # type: ignore[method-assign]
    return links


class MarkedFileStore(FileStore):
    def __init__(self, marks: Marks, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._marks = marks

    def append(self, gen: Generation, batch: TxnBatch) -> None:
        super().append(gen, batch)
        _mark_append(self._marks, batch)


class MarkedMemoryStore(MemoryStore):
    def __init__(self, marks: Marks, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._marks = marks

    def append(self, gen: Generation, batch: TxnBatch) -> None:
        super().append(gen, batch)
        _mark_append(self._marks, batch)


def _mark_append(marks: Marks, batch: TxnBatch) -> None:
    if marks.is_sampled(_APPENDED, batch.last):
        marks.add(_APPENDED, batch.last, 0, batch.count, marks.now_ns())


def as_they_are(links: NodeLinks) -> NodeLinks:
    return links


class Parts(NamedTuple):
    """What a server process is made of."""

    server: Callable[..., Server] = Server
    links: Callable[[NodeLinks], NodeLinks] = as_they_are
    file_store: Callable[..., FileStore] = FileStore
    memory_store: Callable[..., MemoryStore] = MemoryStore


def parts(marks: Marks | None) -> Parts:
    """Those that mark, or without `marks` the plain ones."""
    if marks is None:
        return Parts()
    return Parts(
        partial(MarkedServer, marks),
        partial(mark_links, marks),
        partial(MarkedFileStore, marks),
        partial(MarkedMemoryStore, marks),
    )


class _HopMarks(msgspec.Struct, frozen=True, array_like=True):
    """See lab.targets.hops.HopMarks, field by field."""

    server: int
    hops: list[str]
    rows: bytes
    dropped: int


def write_marks(path: str, me: int, marks: Marks) -> None:
    """Write what was marked to `path`, which the reader sees only once it is whole, and begin anew.  Raises OSError.

    Without a path what was marked is forgotten.
    """
    rows, dropped = marks.take()
    if not path:
        return
    temporary = f"{path}.tmp"
    with open(temporary, "wb", opener=_private) as file:
        file.write(msgspec.msgpack.encode(_HopMarks(me, [hop.name.lower() for hop in Hop], rows, dropped)))
    os.replace(temporary, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
