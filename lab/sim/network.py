"""Links between simulated processes: frames are under way until they are due (zab.md appendix A, Z-9).

A link ends at both ends, but one end may learn it later than the other (P8): until then it still receives what was
under way, and what it sends is lost.  Two processes are linked anew only when both know that the old link is gone.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf

from lab.service.host import ElectionFrame, Inbound, LearnerFrame
from lab.sim.clock import ServerClock, VirtualClock
from lab.sim.ports import Ports
from lab.zab.config import PeerId
from lab.zab.events import PeerDown, PeerUp, Session, SessionClosed

Way = tuple[PeerId, PeerId]  # source, target
Pace = tuple[float, float]  # (least, span) of the time under way in milliseconds

_AT_ONCE: Pace = (0.0, 0.0)


class _Direction:
    """What travels from one end of a link to the other, with the times at which it is due."""

    def __init__(self, source_incarnation: int, pace: Pace) -> None:
        self.source_incarnation = source_incarnation
        self.pace = pace
        self.election: deque[tuple[float, ElectionFrame]] = deque()
        self.learner: deque[tuple[float, LearnerFrame | SessionClosed]] = deque()
        self.ended: set[Session] = set()  # learner sessions that the receiving end knows to be over
        self.session: Session | None = None  # the last one used
        self.closes_ms: float | None = None  # the link has ended, and the target learns it then


class IdealPorts(Ports):
    """The links of one process, to servers ideal ones."""

    def __init__(self, network: "Network", me: PeerId, incarnation: int) -> None:
        super().__init__(me, incarnation)
        self._network = network

    def receive(self) -> Sequence[Inbound]:
        arrived, self.inbox = self.inbox, []
        return arrived

    def announce(self, up: PeerUp) -> None:
        """A new link is known before anything of others is looked at: or an old session's frames would go out on it."""
        inbox = self.inbox
        if any(type(item) is PeerDown and item.peer == up.peer for item in inbox):
            of_peer = [item for item in inbox if getattr(item, "peer", None) == up.peer]
            self.inbox = [*of_peer, up, *(item for item in inbox if getattr(item, "peer", None) != up.peer)]
        else:
            inbox.append(up)

    def notify(self, peer: PeerId, frame: bytes) -> None:
        direction = self._network.open_direction(self.me, peer)
        if direction is not None:
            due = self._network.due_ms(direction, direction.election)
            direction.election.append((due, ElectionFrame(self.me, frame)))

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        self._send_learner(peer, session, LearnerFrame(self.me, session, frame))

    def close_session(self, peer: PeerId, session: Session) -> None:
        if self._send_learner(peer, session, SessionClosed(self.me, session)):
            self._network.directions[peer, self.me].ended.add(session)

    def _send_learner(self, peer: PeerId, session: Session, frame: LearnerFrame | SessionClosed) -> bool:
        network = self._network
        there, back = network.open_direction(self.me, peer), network.directions.get((peer, self.me))
        if there is None or back is None or session in back.ended:
            return False
        there.session = session
        there.learner.append((network.due_ms(there, there.learner), frame))
        return True

    def flush(self) -> None: ...


class Network:
    """Every live process is linked to every other one that neither a partition nor a cut keeps it from."""

    grain_ms = 0.0  # `World.advance` stops at every single moment at which something is due

    def __init__(self, clock: VirtualClock, rng: random.Random) -> None:
        self.directions: dict[Way, _Direction] = {}
        self.usual_pace = _AT_ONCE
        self._clock = clock
        self._random = rng.random
        self._ports: dict[PeerId, IdealPorts] = {}
        self._silent: set[PeerId] = set()  # dead, and nobody knows it
        self._busy: dict[Way, None] = {}  # ways with something under way or closing, in the order of becoming so
        self._paces: dict[Way, Pace] = {}  # other than usual
        self._groups: tuple[frozenset[PeerId], ...] = ()  # empty: everybody reaches everybody
        self._cuts: set[Way] = set()  # (lesser, greater) of pairs that do not reach each other

    # -- processes, partitions, cuts

    def join(self, me: PeerId, incarnation: int, clock: ServerClock) -> IdealPorts:  # noqa: ARG002
        """A process has started; an older one of this name that nobody knew to be dead is dead now."""
        self.leave(me)
        for way in [way for way in self.directions if me in way]:
            self._close(way)
        ports = self._ports[me] = IdealPorts(self, me, incarnation)
        self._link_all()
        return ports

    def leave(self, me: PeerId, notice_ms: Callable[[], float] = float) -> None:
        """The process is dead; each peer learns it after its `notice_ms`, and what is due later than that is lost."""
        if me in self._ports:
            self._silent.discard(me)
            self._ports.pop(me).end_clients()
            for peer in sorted(self._ports):
                self._unlink((me, peer), notice_ms())
                self._unlink((peer, me), 0.0)

    def fall_silent(self, me: PeerId) -> None:
        """The process is dead; only its silence tells its peers (DeathDetection.HEARTBEAT), until it joins again."""
        self._silent.add(me)

    def partition(self, groups: Iterable[Iterable[PeerId]], notice_ms: Callable[[], float] = float) -> None:
        """Cut the links between servers of different groups, both ways; a server in no group stands alone."""
        self._groups = tuple(frozenset(group) for group in groups)
        self._unlink_unreachable(notice_ms)
        self._link_all()

    def cut(self, a: PeerId, b: PeerId, notice_ms: Callable[[], float] = float) -> None:
        """The link between these two breaks, and there is no other until `mend`."""
        self._cuts.add((min(a, b), max(a, b)))
        self._unlink((a, b), notice_ms())
        self._unlink((b, a), notice_ms())

    def mend(self, a: PeerId, b: PeerId) -> None:
        self._cuts.discard((min(a, b), max(a, b)))
        self._link_all()

    def heal(self) -> None:
        """No partition, no cut; both ends of every link know how it stands."""
        self._groups = ()
        self._cuts.clear()
        for way in [way for way in sorted(self.directions) if self.directions[way].closes_ms is not None]:
            self._close(way)
        self._link_all()

    def end_session(self, a: PeerId, b: PeerId) -> bool:
        """The learner session between these two ends while their link stays: `a` learns it now, `b` in its order."""
        there, back = self.directions.get((a, b)), self.directions.get((b, a))
        if there is None or back is None or there.closes_ms is not None or a in self._silent:
            return False
        session = there.session if there.session is not None else back.session
        if session is None or session in back.ended:
            return False
        self._ports[a].close_session(b, session)
        self._ports[a].inbox.append(SessionClosed(b, session))
        return True

    def _reach(self, a: PeerId, b: PeerId) -> bool:
        together = not self._groups or any(a in group and b in group for group in self._groups)
        return together and (min(a, b), max(a, b)) not in self._cuts

    def _unlink_unreachable(self, notice_ms: Callable[[], float]) -> None:
        for way in sorted(self.directions):
            if not self._reach(*way):
                self._unlink(way, notice_ms())

    def _link_all(self) -> None:
        alive = sorted(self._ports.keys() - self._silent)
        for a in alive:
            for b in alive:
                if a < b and (a, b) not in self.directions and (b, a) not in self.directions and self._reach(a, b):
                    for source, target in ((a, b), (b, a)):
                        incarnation = self._ports[source].incarnation
                        pace = self._paces.get((source, target), self.usual_pace)
                        self.directions[source, target] = _Direction(incarnation, pace)
                        self._ports[target].announce(PeerUp(source, incarnation))

    def _unlink(self, way: Way, notice_ms: float) -> None:
        """The link has ended; the target of this way learns it after `notice_ms`, or when it already would have."""
        direction = self.directions.get(way)
        if direction is None:
            return
        closes_ms = self._clock.now_ms() + notice_ms
        if direction.closes_ms is None or closes_ms < direction.closes_ms:
            direction.closes_ms = closes_ms
            self._busy[way] = None
        if notice_ms <= 0:
            self._close(way)

    def _close(self, way: Way) -> None:
        source, target = way
        direction = self.directions.pop(way)
        self._busy.pop(way, None)
        if target in self._ports:
            self._ports[target].inbox.append(PeerDown(source, direction.source_incarnation))

    # -- frames under way

    def calm_down(self) -> None:
        """From now on every frame arrives at once."""
        self.set_usual_pace(_AT_ONCE)

    def set_pace(self, way: Way, pace: Pace | None) -> None:
        """How long frames of this way are under way from now on; None: as usual."""
        if pace is None:
            self._paces.pop(way, None)
        else:
            self._paces[way] = pace
        if way in self.directions:
            self.directions[way].pace = self._paces.get(way, self.usual_pace)

    def set_usual_pace(self, pace: Pace) -> None:
        """For every way; what was set for single ones is forgotten."""
        self.usual_pace = pace
        self._paces.clear()
        for direction in self.directions.values():
            direction.pace = pace

    def open_direction(self, source: PeerId, target: PeerId) -> _Direction | None:
        """The direction if something can be sent in it, which the caller will do."""
        way = (source, target)
        direction = self.directions.get(way)
        if direction is None or direction.closes_ms is not None:
            return None
        self._busy[way] = None
        return direction

    def due_ms(self, direction: _Direction, channel: deque) -> float:  # type: ignore[type-arg]
        """When a frame that is sent now arrives: after those that were sent before it."""
        least, span = direction.pace
        due = self._clock.now_ms() + least + (span * self._random() if span else 0.0)
        return max(due, channel[-1][0]) if channel else due

    def ways(self) -> list[Way]:
        """Every way with something under way, in order."""
        return sorted(way for way in self._busy if self.directions[way].election or self.directions[way].learner)

    def deliver_due(self) -> bool:
        """Hand over what is due now, and tell of links that ended; whether there was anything."""
        now, worked, closed = self._clock.now_ms(), False, False
        for way in list(self._busy):
            direction = self.directions[way]
            election, learner = direction.election, direction.learner
            count = 0
            while count < len(election) and election[count][0] <= now:
                count += 1
            more = 0
            while more < len(learner) and learner[more][0] <= now:
                more += 1
            if count or more:
                self.deliver(*way, election=count, learner=more)
                worked = True
            if direction.closes_ms is not None and direction.closes_ms <= now:
                self._close(way)
                closed = True
            elif not election and not learner and direction.closes_ms is None:
                del self._busy[way]
        if closed:
            self._link_all()
        return worked or closed

    def next_ms(self) -> float:
        """When the next frame is due, or the next end of a link learns that it ended."""
        return min((self._next_of(self.directions[way]) for way in self._busy), default=inf)

    def alarm_ms(self) -> float:
        """When something happens that `deliver_all` does not bring about before."""
        return inf

    @staticmethod
    def _next_of(direction: _Direction) -> float:
        closes = inf if direction.closes_ms is None else direction.closes_ms
        election = direction.election[0][0] if direction.election else inf
        return min(closes, election, direction.learner[0][0] if direction.learner else inf)

    def deliver_all(self, held: Collection[Way]) -> bool:
        """Hand over everything, due or not, but for the ways that are `held`; whether there was anything."""
        worked = False
        for way in self.ways():
            if way not in held:
                worked |= self.deliver(*way) > 0
        return worked

    def deliver(self, source: PeerId, target: PeerId, *, election: int = 1 << 30, learner: int = 1 << 30) -> int:
        """Hand over up to so many frames of each channel, oldest first, due or not; returns how many it were."""
        direction = self.directions.get((source, target))
        if direction is None or target not in self._ports:
            return 0
        inbox, count = self._ports[target].inbox, 0
        for _ in range(min(election, len(direction.election))):
            inbox.append(direction.election.popleft()[1])
            count += 1
        for _ in range(min(learner, len(direction.learner))):
            frame = direction.learner.popleft()[1]
            count += 1
            if frame.session in direction.ended:
                continue
            if isinstance(frame, SessionClosed):
                direction.ended.add(frame.session)
            inbox.append(frame)
        return count
