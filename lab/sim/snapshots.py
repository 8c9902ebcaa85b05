"""Trees kept for learners, in memory (`lab.service.host.Snapshots`)."""

from collections import deque
from collections.abc import Iterator, Sequence

from lab.zab.config import PeerId
from lab.zab.events import Session, SnapshotRead


class KeptSnapshots:
    """A chunk that is asked for comes with the next turn."""

    def __init__(self) -> None:
        self._kept: dict[tuple[PeerId, Session], deque[bytes]] = {}
        self._asked: list[tuple[PeerId, Session]] = []

    def open(self, learner: PeerId, session: Session, chunks: Iterator[bytes]) -> None:
        self._kept[learner, session] = deque(chunks)

    def ask(self, learner: PeerId, session: Session) -> None:
        self._asked.append((learner, session))

    def has_input(self) -> bool:
        return bool(self._asked)

    def receive(self) -> Sequence[SnapshotRead]:
        asked, self._asked = self._asked, []
        return [self._next(*key) for key in asked if key in self._kept]

    def _next(self, learner: PeerId, session: Session) -> SnapshotRead:
        chunks = self._kept[learner, session]
        data = chunks.popleft()
        return SnapshotRead(learner, session, data, last=not chunks)

    def close(self, learner: PeerId, session: Session | None = None) -> None:
        for key in [key for key in self._kept if key[0] == learner and session in (None, key[1])]:
            del self._kept[key]
