"""One server with everything around it in the test's hands."""

from collections.abc import Iterator, Sequence

from lab.service.host import Inbound
from lab.service.requests import Create, Delete, Multi, Reply, Request, SetData, decode_replies, encode_frame
from lab.zab.events import Flushed, LogRead, SnapshotRead, Truncated
from lab.zab.messages import TxnBatch


class FakeClock:
    def __init__(self) -> None:
        self.ms = 0.0

    def now_ms(self) -> float:
        return self.ms


class FakeStore:
    """Records what is asked of it, in `log`; flushes at once."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self._unreported: Flushed | None = None
        self.snapshot: list[bytes] = []
        self.outcome: bool | None = None  # of writing it

    def append(self, gen: int, batch: TxnBatch) -> None:
        self.log.append(f"append {batch.first:#x}")
        self._unreported = Flushed(gen, batch.last)

    def flush(self) -> Flushed | None:
        flushed, self._unreported = self._unreported, None
        if flushed is not None:
            self.log.append("fsync")
        return flushed

    def save_accepted_epoch(self, epoch: int) -> None:
        self.log.append(f"accepted {epoch}")

    def save_current_epoch(self, epoch: int) -> None:
        self.log.append(f"current {epoch}")

    def truncate(self, gen: int, zxid: int) -> Truncated:
        self.log.append(f"truncate {zxid:#x}")
        return Truncated(gen, None)

    def install(self, gen: int, zxid: int, data: bytes, *, first: bool, last: bool) -> None:
        self.log.append(f"install {zxid:#x}")

    def barrier(self) -> None:
        self.log.append("barrier")
        self._unreported = None

    def read_log(self, learner: int, session: int, after: int, until: int, bytes_max: int) -> LogRead:
        return LogRead(learner, session, after, None)

    def begin_snapshot(self, zxid: int, chunks: Iterator[bytes]) -> None:
        self.log.append(f"begin snapshot {zxid:#x}")
        self.snapshot = list(chunks)

    def snapshot_outcome(self) -> bool | None:
        return self.outcome

    def end_snapshot(self, *, keep: bool, log_after: int | None) -> None:
        self.log.append("keep snapshot" if keep else "drop snapshot")


class FakeSnapshots:
    """Hands over what the test put into `arrived`, and records what is asked of it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.arrived: list[SnapshotRead] = []
        self.opened: list[list[bytes]] = []

    def open(self, learner: int, session: int, chunks: Iterator[bytes]) -> None:
        self.log.append(f"open snapshot {learner}/{session}")
        self.opened.append(list(chunks))

    def ask(self, learner: int, session: int) -> None:
        self.log.append(f"ask snapshot {learner}/{session}")

    def receive(self) -> Sequence[SnapshotRead]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def close(self, learner: int, session: int | None = None) -> None:
        self.log.append(f"close snapshot {learner}/{'*' if session is None else session}")


class FakeLinks:
    """Hands over what the test put into `inbox`, and records what is sent in the store's log."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.inbox: list[Inbound] = []
        self.replies: list[tuple[int, list[Reply]]] = []
        self.sent: list[tuple[int, int, bytes]] = []
        self.frame_bytes: list[int] = []  # of the frames of replies
        self.closed_clients: list[int] = []

    def receive(self) -> Sequence[Inbound]:
        arrived, self.inbox = self.inbox, []
        return arrived

    def notify(self, peer: int, frame: bytes) -> None:
        self.log.append(f"notify {peer}")

    def send(self, peer: int, session: int, frame: bytes) -> None:
        self.log.append(f"send {peer}")
        self.sent.append((peer, session, frame))

    def close_session(self, peer: int, session: int) -> None:
        self.log.append(f"close session {peer}")

    def reply(self, client: int, frame: bytes) -> None:
        self.log.append(f"reply {client}")
        self.replies.append((client, decode_replies(frame)))
        self.frame_bytes.append(len(frame))

    def close_client(self, client: int) -> None:
        self.closed_clients.append(client)

    def flush(self) -> None:
        self.log.append("publish")


def frame(*requests: Request) -> bytes:
    return encode_frame(list(requests))


Write = Create | Delete | SetData | Multi
