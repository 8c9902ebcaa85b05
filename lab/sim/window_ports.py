"""The links of one process over datagrams: the links, port and associations of real processes, on a simulated socket.

Only what a process would get from outside is simulated: the socket, its own clock, chance, and the supervisor that
tells of links and deaths.
"""

import random
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, cast

import msgspec

from lab.node.config import Silence
from lab.node.control import Attach
from lab.node.datagram_links import DatagramLinks
from lab.node.links import Key
from lab.service.host import Inbound
from lab.sim.clock import ServerClock
from lab.sim.errors import InvariantError
from lab.sim.ledger import WatchedLink
from lab.sim.plan import Weather
from lab.sim.ports import Ports
from lab.transport.link import Link
from lab.transport.port import Port
from lab.transport.seal import TAG_BYTES
from lab.transport.shaping import Shaper
from lab.transport.udp import Address
from lab.transport.waiter import Waiter
from lab.transport.window import WindowConfig
from lab.zab.config import PeerId
from lab.zab.events import Session, SessionClosed

if TYPE_CHECKING:
    from lab.sim.window_network import WindowNetwork

_SOCKET_DATAGRAMS_MAX = 2_000  # that wait in a socket; what comes then is lost
_READ_DATAGRAMS = 16  # that one read brings at most
_MS = 1_000_000
_KEY = bytes(range(32))


class Died(msgspec.Struct, frozen=True):
    """The supervisor tells that this incarnation of a peer is dead."""

    peer: PeerId
    incarnation: int


class SimulatedSocket:
    """`lab.transport.port.DatagramSocket`: the process's place in the network."""

    def __init__(self, network: "WindowNetwork", me: PeerId) -> None:
        self._network, self._me = network, me
        self.arrived: list[bytes] = []
        self.counters: dict[str, int] = {}

    def fileno(self) -> int:
        return -1

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        self._network.carry((self._me, address[1]), datagrams)

    def has_input(self) -> bool:
        return bool(self.arrived)

    def receive(self) -> list[bytes]:
        taken = self.arrived[:_READ_DATAGRAMS]
        del self.arrived[:_READ_DATAGRAMS]
        return taken

    def put(self, datagrams: Sequence[bytes]) -> None:
        self.arrived.extend(datagrams)
        del self.arrived[_SOCKET_DATAGRAMS_MAX:]

    def close(self) -> None: ...


class _NoBell:
    """Nobody rings: the world itself gives a process its turns."""

    bell: Any = None

    @staticmethod
    def take_news() -> bool:
        return False


_NoBell.bell = _NoBell


class SimulatedLinks(DatagramLinks):
    """The links to servers; what each session carries is entered in the network's ledger."""

    def __init__(self, network: "WindowNetwork", port: Port, config: WindowConfig, rng: random.Random) -> None:
        super().__init__(
            cast(Waiter, _NoBell),
            port,
            config,
            config,
            _no_shaper,
            queue_bytes_max=config.queue_bytes_max,
            watch_peers=True,
        )
        self._rng = rng  # type: ignore[assignment]  # not the system's: a seed decides
        self._network = network
        self.open: dict[PeerId, WatchedLink] = {}

    def on_death(self, died: Died) -> None:
        attached = self._attached.get(("peer", died.peer))
        if attached is not None and attached.incarnation == died.incarnation:
            self._ends["peer", died.peer].on_death()

    def end_session_of_link(self, peer: PeerId) -> None:
        end = self._ends.get(("peer", peer))
        if end is not None:
            end.association.end_session("the simulator wants it")

    def _begin(self, attach: Attach, over: Link) -> None:
        session = self._network.ledger.open(attach.link, attach.side, len(over.channels))
        watched = self.open[attach.name] = WatchedLink(over, self._network.ledger, session, self._network.clock)
        super()._begin(attach, watched)

    def _close_link(self, key: Key, link: Any) -> None:
        del self.open[key[1]]
        super()._close_link(key, link)

    def _say(self, key: Key, reason: object) -> None:
        """Sessions end all the time here, and nobody reads why."""

    def _fail(self, key: Key, reason: object) -> None:
        raise InvariantError("LINK-1", f"the link to {key[0]} {key[1]} fails, though both ends are correct: {reason}")


def _no_shaper(role: str, name: int) -> Shaper:
    raise AssertionError(f"the network shapes what comes from {role} {name}, not the process")


def window_config(weather: Weather, tick_ms: int, sync_limit_ticks: int) -> WindowConfig:
    """Silent for too long is who is so for a real process with these ticks."""
    silence = Silence.of(tick_ms, sync_limit_ticks)
    return WindowConfig(
        mtu_bytes=weather.mtu_bytes,
        tag_bytes=TAG_BYTES if weather.sealed else 0,
        keepalive_ns=silence.keepalive_ns,
        dead_after_ns=silence.peer_dead_after_ns,
        receive_bytes_max=weather.receive_bytes_max,
        queue_bytes_max=weather.queue_bytes_max,
    )


class WindowPorts(Ports):
    """All links of one process."""

    def __init__(
        self,
        network: "WindowNetwork",
        me: PeerId,
        incarnation: int,
        clock: ServerClock,
        config: WindowConfig,
        rng: random.Random,
    ) -> None:
        super().__init__(me, incarnation)
        self._clock = clock
        self.socket = SimulatedSocket(network, me)
        self._port = Port(self.socket, _KEY if config.tag_bytes else b"", self._now_ns)
        self.links = SimulatedLinks(network, self._port, config, rng)
        self.told: list[Attach | Died] = []  # by the supervisor
        self.last_session: dict[PeerId, Session] = {}  # of learners, in which something was sent

    def _now_ns(self) -> int:
        return round(self._clock.now_ms() * _MS)

    def receive(self) -> Sequence[Inbound]:
        told, self.told = self.told, []
        for each in told:
            if isinstance(each, Attach):
                self.links.attach(each, ())
            else:
                self.links.on_death(each)
        arrived, self.inbox = self.inbox, []
        return [*arrived, *self.links.receive()]

    def notify(self, peer: PeerId, frame: bytes) -> None:
        self.links.notify(peer, frame)

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        self.last_session[peer] = session
        self.links.send(peer, session, frame)

    def close_session(self, peer: PeerId, session: Session) -> None:
        self.links.close_session(peer, session)

    def end_learner_session(self, peer: PeerId) -> bool:
        """The last one that something was sent in; whether there was one."""
        session = self.last_session.get(peer)
        if session is None or peer not in self.links.open:
            return False
        self.links.close_session(peer, session)
        self.inbox.append(SessionClosed(peer, session))
        return True

    def flush(self) -> None:
        self.links.flush()

    def wants_turn(self) -> bool:
        return (
            bool(self.inbox) or bool(self.told) or self.links.has_input() or self.deadline_ms() <= self._clock.now_ms()
        )

    def deadline_ms(self) -> float:
        deadline = self._port.deadline_ns()
        return inf if deadline is None else deadline / _MS
