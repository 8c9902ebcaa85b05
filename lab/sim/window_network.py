"""A network of datagrams between simulated processes: it loses, repeats, delays, turns round, cuts and changes them.

Nobody is told of anything by it: a cut is silence (P8), and whoever is at its ends finds out by the keep-alive of the
window.  Addresses are those of machines: what was sent to a process that is dead reaches the next one there.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush
from math import inf

from lab.faults import Shape, Uniform
from lab.node.control import Attach
from lab.sim.clock import ServerClock, VirtualClock
from lab.sim.errors import InvariantError
from lab.sim.ledger import Ledger
from lab.sim.network import Pace, Way
from lab.sim.plan import Weather
from lab.sim.window_ports import Died, WindowPorts, window_config
from lab.transport.shaping import Shaper
from lab.zab.config import PeerId

_MS = 1_000_000
_KEPT = 64  # datagrams of each way, for whoever repeats them
_HOST = "sim"
_STUCK_MS = 1_000.0  # for which a frame may be under way when the network loses nothing


class _Road:
    """One way between two machines: what is under way, and the last of what was."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self.shaper = Shaper(shape, rng)
        self.rng = rng
        self.last: deque[bytes] = deque(maxlen=_KEPT)


class WindowNetwork:
    """Every live process has an association with every other one, whether the network lets anything through or not."""

    grain_ms = 20.0  # `World.advance` does in one step what is due within so long: timers are many

    def __init__(
        self, clock: VirtualClock, rng: random.Random, weather: Weather, *, tick_ms: int, sync_limit_ticks: int
    ) -> None:
        self.clock = clock
        self.weather = weather
        self.ledger = Ledger()
        self.ledger.padding = weather.padding
        self._rng = rng
        self._window_config = window_config(weather, tick_ms, sync_limit_ticks)
        self._ports: dict[PeerId, WindowPorts] = {}
        self._silent: set[PeerId] = set()  # dead, and nobody knows it
        self._roads: dict[Way, _Road] = {}
        self._busy: dict[Way, None] = {}  # ways with something under way
        self._deaths: list[tuple[float, int, PeerId, Died]] = []  # a heap: when whom to tell
        self._count = 0  # of what is in a heap, so that equals keep their order
        self._usual_pace: Pace = (0.0, 0.0)
        self._paces: dict[Way, Pace] = {}
        self._rain: dict[Way, float] = {}  # loss other than usual
        self._echoes: dict[Way, float] = {}  # milliseconds, up to which a datagram's copy is late
        self._late: list[tuple[float, int, Way, bytes]] = []  # a heap of copies
        self._groups: tuple[frozenset[PeerId], ...] = ()
        self._cuts: set[Way] = set()
        self._calm_ms: float | None = None  # since when nothing is lost but by cuts

    # -- processes

    def join(self, me: PeerId, incarnation: int, clock: ServerClock) -> WindowPorts:
        """A process has started; the supervisor gives it and every other one a fresh link between them."""
        self.leave(me)
        rng = random.Random(self._rng.getrandbits(64))
        ports = WindowPorts(self, me, incarnation, clock, self._window_config, rng)
        for peer in sorted(self._ports.keys() - self._silent):
            link, other = self._rng.getrandbits(64) | 1, self._ports[peer]
            side = int(me > peer)
            ports.told.append(Attach("peer", peer, other.incarnation, side, link, (_HOST, peer)))
            other.told.append(Attach("peer", me, incarnation, 1 - side, link, (_HOST, me)))
        self._ports[me] = ports
        return ports

    def leave(self, me: PeerId, notice_ms: Callable[[], float] = float) -> None:
        """The process is dead; what it had sent still arrives, and the supervisor tells each peer some time later."""
        if me not in self._ports:
            return
        self._silent.discard(me)
        ports = self._ports.pop(me)
        ports.end_clients()
        for peer in sorted(self._ports):
            self._tell_of_death(peer, Died(me, ports.incarnation), self.clock.now_ms() + notice_ms())

    def _tell_of_death(self, peer: PeerId, died: Died, at_ms: float) -> None:
        self._count += 1
        heappush(self._deaths, (at_ms, self._count, peer, died))

    def fall_silent(self, me: PeerId) -> None:
        """The process is dead; only its silence tells its peers (DeathDetection.HEARTBEAT), until it joins again."""
        self._silent.add(me)

    # -- what passes

    def partition(self, groups: Iterable[Iterable[PeerId]], notice_ms: object = None) -> None:  # noqa: ARG002
        """Nothing passes between different groups, either way; a server in no group stands alone."""
        self._groups = tuple(frozenset(group) for group in groups)
        self._reshape()

    def cut(self, a: PeerId, b: PeerId, notice_ms: object = None) -> None:  # noqa: ARG002
        """Nothing passes between these two until `mend`."""
        self._cuts |= {(a, b), (b, a)}
        self._reshape()

    def mend(self, a: PeerId, b: PeerId) -> None:
        self._cuts -= {(a, b), (b, a)}
        self._reshape()

    def cut_way(self, way: Way) -> None:
        self._cuts.add(way)
        self._reshape()

    def mend_way(self, way: Way) -> None:
        self._cuts.discard(way)
        self._reshape()

    def heal(self) -> None:
        self._groups = ()
        self._cuts.clear()
        self._reshape()

    def set_pace(self, way: Way, pace: Pace | None) -> None:
        """How long datagrams of this way are under way from now on; None: as usual."""
        if pace is None:
            self._paces.pop(way, None)
        else:
            self._paces[way] = pace
        self._reshape()

    def set_usual_pace(self, pace: Pace) -> None:
        """For every way; what was set for single ones is forgotten."""
        self._usual_pace = pace
        self._paces.clear()
        self._reshape()

    def set_rain(self, way: Way, loss: float | None) -> None:
        """This share of a way's datagrams is lost; None: as usual."""
        if loss is None:
            self._rain.pop(way, None)
        else:
            self._rain[way] = loss
        self._reshape()

    def set_echo(self, way: Way, late_ms: float | None) -> None:
        """Half of a way's datagrams arrive twice, the second time up to so much later; None: no more."""
        if late_ms is None:
            self._echoes.pop(way, None)
        else:
            self._echoes[way] = late_ms

    def calm_down(self) -> None:
        """From now on every datagram arrives at once and once, where nothing is cut."""
        self._calm_ms = self.clock.now_ms()
        self.ledger.padding = 0
        self._rain.clear()
        self._echoes.clear()
        self._late.clear()
        self.set_usual_pace((0.0, 0.0))

    def _reshape(self) -> None:
        for way, road in self._roads.items():
            shape = self._shape(way)
            if shape != road.shaper.shape:
                road.shaper.change(shape)

    def _shape(self, way: Way) -> Shape:
        weather = self.weather
        least, span = self._paces.get(way, self._usual_pace)
        delay = Uniform(least, least + span) if least or span else None
        blocked = way in self._cuts or not self._is_together(way)
        if self._calm_ms is not None:
            return Shape(delay=delay, blocked=blocked)
        return Shape(
            delay=delay,
            loss=self._rain.get(way, weather.loss),
            duplicate=weather.duplicate,
            reorder=weather.reorder if delay is not None else 0.0,
            blocked=blocked,
        )

    def _is_together(self, way: Way) -> bool:
        return not self._groups or any(way[0] in group and way[1] in group for group in self._groups)

    # -- datagrams under way

    def carry(self, way: Way, datagrams: Sequence[bytes]) -> None:
        road = self._roads.get(way)
        if road is None:
            road = self._roads[way] = _Road(self._shape(way), random.Random(self._rng.getrandbits(64)))
        now, damage = round(self.clock.now_ms() * _MS), self.weather.damage if self._calm_ms is None else 0.0
        road.last.extend(datagrams)
        for datagram in datagrams:
            if damage and road.rng.random() < damage:
                datagram = _damaged(datagram, road.rng, sealed=self.weather.sealed)
            road.shaper.push(datagram, now)
        self._busy[way] = None
        if way in self._echoes:
            self._repeat_later(way, datagrams, road.rng)

    def _repeat_later(self, way: Way, datagrams: Sequence[bytes], rng: random.Random) -> None:
        for datagram in datagrams:
            if rng.random() < 0.5:
                self._count += 1
                due_ms = self.clock.now_ms() + self._echoes[way] * rng.random()
                heappush(self._late, (due_ms, self._count, way, datagram))

    def replay(self, way: Way, datagrams: int, *, turned: bool) -> None:
        """Up to so many of the last datagrams of this way arrive again, or where they came from."""
        road = self._roads.get(way)
        if road is not None:
            again = list(road.last)[-datagrams:]
            self.carry((way[1], way[0]) if turned else way, again)

    def deliver_due(self) -> bool:
        """Hand over what is due now, and tell of deaths; whether there was anything."""
        now_ms, worked = self.clock.now_ms(), False
        now = round(now_ms * _MS)
        while self._late and self._late[0][0] <= now_ms:
            _, _, way, datagram = heappop(self._late)
            self._roads[way].shaper.push(datagram, now)
            self._busy[way] = None
        for way in list(self._busy):
            shaper = self._roads[way].shaper
            arrived = shaper.due(now)
            if not len(shaper):
                del self._busy[way]
            if arrived and way[1] in self._ports and way[1] not in self._silent:
                self._ports[way[1]].socket.put(arrived)
                worked = True
        while self._deaths and self._deaths[0][0] <= now_ms:
            _, _, peer, died = heappop(self._deaths)
            worked |= self._on_death(peer, died)
        return worked

    def _on_death(self, peer: PeerId, died: Died) -> bool:
        """The news comes behind what the dead process had sent, and through no cut (lab.transport.datagram_end)."""
        road = self._roads.get((died.peer, peer))
        if (road is not None and road.shaper.shape.blocked) or peer not in self._ports:
            return False
        due = road.shaper.next_due() if road is not None else None
        if due is not None:
            self._tell_of_death(peer, died, due / _MS)
            return False
        self._ports[peer].told.append(died)
        return True

    def deliver_all(self, held: Collection[Way]) -> bool:
        """What `settle` does: as `deliver_due`, for nothing is slow in calm."""
        assert not held, "a datagram cannot be held"
        return self.deliver_due()

    def next_ms(self) -> float:
        """When the next datagram is due, or somebody is told of a death."""
        times = [due / _MS for way in self._busy if (due := self._roads[way].shaper.next_due()) is not None]
        times += [heap[0][0] for heap in (self._deaths, self._late) if heap]
        return min(times, default=inf)

    alarm_ms = next_ms

    @property
    def silence_ms(self) -> float:
        """Within so long both ends know of a way that carries nothing."""
        config = self._window_config
        return (config.dead_after_ns + 4 * config.keepalive_ns) / _MS

    # -- sessions

    def end_session(self, a: PeerId, b: PeerId) -> bool:
        """The learner session between these two ends while their link stays: `a` learns it now, `b` in its order."""
        return a in self._ports and a not in self._silent and self._ports[a].end_learner_session(b)

    def end_link(self, a: PeerId, b: PeerId) -> None:
        """`a` ends the session of datagrams."""
        if a in self._ports and a not in self._silent:
            self._ports[a].links.end_session_of_link(b)

    def is_up(self, a: PeerId, b: PeerId) -> bool:
        """Whether `a` holds its link to `b` to be up."""
        return b in self._ports[a].links.open

    def oldest(self) -> tuple[float, str]:
        """How many milliseconds ago the oldest frame was sent that has not arrived, and which one that is."""
        now = self.clock.now_ms()
        waiting = (
            (now - since, f"a frame from server {me} to {peer}")
            for me, ports in self._ports.items()
            for peer, link in ports.links.open.items()
            if (since := link.waiting_since_ms()) is not None
        )
        return max(waiting, default=(0.0, "none"))

    def check_arrival(self) -> None:
        """In calm.  Raises InvariantError."""
        assert self._calm_ms is not None, "datagrams are lost"
        age_ms, which = self.oldest()
        if min(age_ms, self.clock.now_ms() - self._calm_ms) > _STUCK_MS:
            raise InvariantError("LINK-4", f"{which} is under way for {age_ms} ms")


def _damaged(datagram: bytes, rng: random.Random, *, sealed: bool) -> bytes:
    """Cut short, or with one bit changed, which a tag alone finds."""
    if not sealed or rng.random() < 0.5:
        return datagram[: rng.randrange(len(datagram))]
    bit = rng.randrange(8 * len(datagram))
    changed = bytearray(datagram)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)
