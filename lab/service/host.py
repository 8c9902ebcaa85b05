"""The one loop: drain inputs, `Server.step`, carry out effects, flush.

A node process and the simulator both run it, so that the place where an acknowledgement could overtake a flush is
simulated, too.  What it needs of the world are the three protocols below.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from lab.service.events import (
    ClientDown,
    ClientId,
    ClientRequests,
    DropClient,
    OpenSnapshot,
    ReplyTo,
    ServerEffect,
    ServerEvent,
    TurnEnd,
    WriteSnapshot,
)
from lab.service.requests import Reply, decode_requests, encode_frame, reply_frames
from lab.service.server import Server
from lab.service.tree import check_chunk
from lab.zab.config import PeerId
from lab.zab.effects import (
    Append,
    Barrier,
    CancelTimer,
    CloseSession,
    EndSnapshot,
    Entered,
    FirstCommit,
    Install,
    Notify,
    Observed,
    ReadLog,
    ReadSnapshot,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Send,
    SetTimer,
    Truncate,
)
from lab.zab.events import (
    Flushed,
    Generation,
    LogRead,
    Notified,
    PeerDown,
    PeerUp,
    Received,
    Session,
    SessionClosed,
    SnapshotRead,
    SnapshotWritten,
    Start,
    Tick,
    Timeout,
    Truncated,
)
from lab.zab.messages import (
    MalformedError,
    SnapChunk,
    TxnBatch,
    decode_learner_message,
    decode_notification,
    encode_message,
)
from lab.zab.zxid import Epoch, Zxid

CLIENT_FRAME_BYTES_MAX = 8 << 20  # its transactions are up to three and a half times as long and must fit a link
REPLY_FRAME_BYTES_MAX = 8 << 20  # replies beyond this go out as several frames
REPLIES_ENCODED_MAX = 256  # at once: of a megabyte each they take that many
REPLY_BYTES_MAX = 64 << 20  # to one client in one step; a link holds no more that waits (DESIGN 3)


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
        """Send to a client.  If the queue's bound is passed, or a frame's, the client's link closes."""

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

    def read_log(self, learner: PeerId, session: Session, after: Zxid, until: Zxid, bytes_max: int) -> LogRead: ...

    def begin_snapshot(self, zxid: Zxid, chunks: Iterator[bytes]) -> None:
        """Have somebody else write `chunks`, as they are now, as a snapshot of `zxid`; one at a time (Z-8)."""

    def snapshot_outcome(self) -> bool | None:
        """None while the one that was begun is being written, then whether it is whole and durable."""

    def end_snapshot(self, *, keep: bool, log_after: Zxid | None) -> None:
        """Keep the one that was written and purge what it makes superfluous, but no log after that; or drop it."""


class Snapshots(Protocol):
    """Trees as they were, each kept for one learner session until that ends (Z-13, Z-18).  Nothing blocks."""

    def open(self, learner: PeerId, session: Session, chunks: Iterator[bytes]) -> None:
        """Keep what `chunks` walks as it is at this moment."""

    def ask(self, learner: PeerId, session: Session) -> None:
        """Ask for the next chunk."""

    def receive(self) -> Sequence[SnapshotRead]:
        """The chunks that have come since the last call."""

    def close(self, learner: PeerId, session: Session | None = None) -> None:
        """Let go of the tree kept for this session, or for any session of this learner; there may be none."""


class Clock(Protocol):
    def now_ms(self) -> float:
        """Monotonic milliseconds since some point."""


class Host:
    """Runs one Server against its store, links and clock.

    One `turn`: deliver what arrived, let the leader propose it as one batch, publish what is to be sent, flush the log
    (others' disks work at the same time), deliver Flushed, publish the acknowledgements.  Nothing in a turn waits but
    the store.
    """

    def __init__(
        self,
        server: Server,
        store: Store,
        links: Links,
        clock: Clock,
        snapshots: Snapshots,
        *,
        tick_ms: float,
        observe: Callable[[Observed], None],
    ) -> None:
        self.server = server
        self._store = store
        self._links = links
        self._clock = clock
        self._snapshots = snapshots
        self._tick_ms = tick_ms
        self._observe = observe
        self._next_tick_ms = clock.now_ms() + tick_ms
        self._timers: dict[str, float] = {}  # name -> when it runs out
        self._writing: tuple[Generation, Zxid] | None = None  # the snapshot of the own disk that is being written

    def start(self) -> None:
        """Deliver Start: the server looks for a leader."""
        self._deliver(Start())
        self._links.flush()

    def deadline_ms(self) -> float:
        """When `turn` has to be called even if nothing arrives."""
        return min(self._next_tick_ms, *self._timers.values()) if self._timers else self._next_tick_ms

    def turn(self) -> bool:
        """One turn; whether there was anything to do (then another turn may find more)."""
        inbound = self._links.receive()
        for item in inbound:
            self._receive(item)
        chunks = self._snapshots.receive()
        for chunk in chunks:
            self._deliver(chunk)
        if self._writing is not None:
            self._look_after_snapshot(*self._writing)
        timed = self._run_timers()
        if self.server.has_work:
            self._deliver(TurnEnd())
        self._links.flush()
        flushed = self._store.flush()
        if flushed is not None:
            self._deliver(flushed)
            self._links.flush()
        return bool(inbound) or bool(chunks) or timed or flushed is not None or self.server.has_work

    def _look_after_snapshot(self, gen: Generation, zxid: Zxid) -> None:
        ok = self._store.snapshot_outcome()
        if ok is not None:
            self._writing = None
            self._deliver(SnapshotWritten(gen, zxid, ok))

    def _receive(self, item: Inbound) -> None:
        match item:
            case LearnerFrame(peer, session, data):
                try:
                    message = decode_learner_message(data)
                    if type(message) is SnapChunk:  # opaque to Zab, which would install whatever it is
                        check_chunk(message.data)
                except MalformedError as error:
                    self._break_session(peer, session, error)
                else:
                    self._deliver(Received(peer, session, message))
            case ClientFrame(client, data):
                self._receive_requests(client, data)
            case ElectionFrame(peer, data):
                try:
                    notification = decode_notification(data)
                except MalformedError:  # costs its sender this one message, which will be repeated (ZOOKEEPER-3769)
                    self.server.peer.last_problem = f"server {peer}: malformed notification"
                else:
                    self._deliver(Notified(peer, notification))
            case ClientUp():
                pass
            case SessionClosed(peer, session):
                self._snapshots.close(peer, session)
                self._deliver(item)
            case PeerDown(peer) | PeerUp(peer):  # no session outlives its link
                self._snapshots.close(peer)
                self._deliver(item)
            case _:
                self._deliver(item)

    def _receive_requests(self, client: ClientId, data: bytes) -> None:
        if len(data) <= CLIENT_FRAME_BYTES_MAX:
            try:
                requests = decode_requests(data)
            except MalformedError:
                pass
            else:
                self._deliver(ClientRequests(client, requests, len(data)))
                return
        self._deliver(ClientDown(client))
        self._links.close_client(client)

    def _break_session(self, peer: PeerId, session: Session, error: Exception) -> None:
        self.server.peer.last_problem = f"server {peer}: malformed frame: {error}"
        self._links.close_session(peer, session)
        self._snapshots.close(peer, session)
        self._deliver(SessionClosed(peer, session))

    def _run_timers(self) -> bool:
        now, ran = self._clock.now_ms(), False
        if now >= self._next_tick_ms:
            self._next_tick_ms = now + self._tick_ms  # after a stall one tick, not all that were missed
            self._deliver(Tick())
            ran = True
        for name in [name for name, due in self._timers.items() if now >= due] if self._timers else ():
            if self._timers.get(name, now + 1) <= now:  # an earlier one may have set or cancelled it
                del self._timers[name]
                self._deliver(Timeout(name))
                ran = True
        return ran

    def _deliver(self, event: ServerEvent) -> None:
        """Step the server and carry out what it wants, in order (lab.zab.effects)."""
        outcomes = None
        for effect in self.server.step(event):
            outcome = self._carry_out(effect)
            if outcome is not None:
                outcomes = [outcome] if outcomes is None else [*outcomes, outcome]
        for outcome in outcomes or ():
            self._deliver(outcome)

    def _reply(self, client: ClientId, replies: Sequence[Reply]) -> ClientDown | None:
        if len(replies) <= REPLIES_ENCODED_MAX:
            frame = encode_frame(replies)
            if len(frame) <= REPLY_FRAME_BYTES_MAX:
                self._links.reply(client, frame)
                return None
        sent = 0
        for frame in reply_frames(replies, REPLIES_ENCODED_MAX, REPLY_FRAME_BYTES_MAX):
            sent += len(frame)
            if sent > REPLY_BYTES_MAX:  # a frame of a few bytes a read can ask for a large node 65,536 times
                self._links.close_client(client)
                return ClientDown(client)
            self._links.reply(client, frame)
        return None

    def _carry_out(self, effect: ServerEffect) -> Truncated | LogRead | ClientDown | None:
        match effect:
            case Send(to, message):
                frame = encode_message(message)
                for peer, session in to:
                    self._links.send(peer, session, frame)
            case ReplyTo(client, replies):
                return self._reply(client, replies)
            case Append(gen, batch):
                self._store.append(gen, batch)
            case Notify(to, notification):
                frame = encode_message(notification)
                for peer in to:
                    self._links.notify(peer, frame)
            case Entered() | FirstCommit():
                self._observe(effect)
            case SetTimer(timer, delay_ms):
                self._timers[timer] = self._clock.now_ms() + delay_ms
            case CancelTimer(timer):
                self._timers.pop(timer, None)
            case CloseSession(peer, session):
                self._links.close_session(peer, session)
                self._snapshots.close(peer, session)
            case DropClient(client):
                self._links.close_client(client)
            case SaveAcceptedEpoch(epoch):
                self._store.save_accepted_epoch(epoch)
            case SaveCurrentEpoch(epoch):
                self._store.save_current_epoch(epoch)
            case Barrier():
                self._store.barrier()
            case Install(gen, zxid, data, first, last):
                self._store.install(gen, zxid, data, first=first, last=last)
            case Truncate(gen, zxid):
                return self._store.truncate(gen, zxid)
            case ReadLog(learner, session, after, until, bytes_max):
                return self._store.read_log(learner, session, after, until, bytes_max)
            case WriteSnapshot(gen, zxid, chunks):
                self._links.flush()  # what may leave already need not wait for a copy of this process
                self._store.begin_snapshot(zxid, chunks)
                self._writing = (gen, zxid)
            case EndSnapshot(keep, log_after):
                self._store.end_snapshot(keep=keep, log_after=log_after)
            case OpenSnapshot(learner, session, chunks):
                self._snapshots.open(learner, session, chunks)
            case ReadSnapshot(learner, session):
                self._snapshots.ask(learner, session)
            case _:
                raise AssertionError(f"no host effect: {effect}")
        return None
