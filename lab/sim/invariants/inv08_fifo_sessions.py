"""INV-8: within a session a learner gets PROPOSALs, COMMITs, INFORMs in zxid order; no COMMIT before its PROPOSAL."""

from dataclasses import dataclass

from lab.sim.invariants.base import Invariant, sees_received, sees_sent
from lab.sim.invariants.facts import Facts
from lab.zab.config import PeerId
from lab.zab.effects import Send
from lab.zab.events import Received, Session
from lab.zab.messages import Commit, Diff, FollowerInfo, Inform, ObserverInfo, Proposal, Snap, Trunc
from lab.zab.zxid import Zxid, show


@dataclass(slots=True)
class _Stream:
    """One session as its learner sees it."""

    leader: PeerId
    session: Session
    proposed: Zxid
    committed: Zxid = 0


class FifoSessions(Invariant):
    name = "INV-8"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._streams: dict[PeerId, _Stream] = {}
        self._opened: dict[PeerId, tuple[PeerId, Session]] = {}

    @sees_sent(FollowerInfo, ObserverInfo)
    def opens(self, server: PeerId, effect: Send) -> None:
        (self._opened[server],) = effect.to

    @sees_received(Diff)
    def goes_on(self, server: PeerId, event: Received) -> None:
        self._begin(server, event, self.facts.of[server].appended)

    @sees_received(Trunc, Snap)
    def is_cut_back(self, server: PeerId, event: Received) -> None:
        assert isinstance(event.message, Trunc | Snap)
        self._begin(server, event, event.message.zxid)

    @sees_received(Proposal, Inform)
    def proposed(self, server: PeerId, event: Received) -> None:
        stream = self._of(server, event)
        if stream is None:
            return
        assert isinstance(event.message, Proposal | Inform)
        batch = event.message.batch
        if batch.last <= stream.proposed:
            raise self.error(f"server {server} gets {show(batch.first)} after {show(stream.proposed)}")
        stream.proposed = batch.last

    @sees_received(Commit)
    def committed(self, server: PeerId, event: Received) -> None:
        stream = self._of(server, event)
        if stream is None:
            return
        assert isinstance(event.message, Commit)
        zxid = event.message.zxid
        if zxid > stream.proposed:
            raise self.error(f"server {server} gets COMMIT {show(zxid)}, proposed is {show(stream.proposed)}")
        if zxid <= stream.committed:
            raise self.error(f"server {server} gets COMMIT {show(zxid)} after {show(stream.committed)}")
        stream.committed = zxid

    def _begin(self, server: PeerId, event: Received, end: Zxid) -> None:
        if self._opened.get(server) == (event.sender, event.session):
            self._streams[server] = _Stream(event.sender, event.session, end)

    def _of(self, server: PeerId, event: Received) -> _Stream | None:
        """None for what still arrives of a session that its learner has left."""
        stream = self._streams.get(server)
        if stream is None or stream.session != event.session or stream.leader != event.sender:
            return None
        return stream
