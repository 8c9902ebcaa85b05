"""All links of one server process where they carry datagrams: over UDP, or over shared memory that is shaped.

A link is here an association of consecutive sessions: a session that opens is a link that comes up, one that ends a
link that goes down, and the next one opens by itself.  The death of the process at the other end, of which a pidfd
tells at once, is news that has to travel: it comes behind everything that is still under way.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from lab.faults import Shape
from lab.node.control import Attach, Reshape
from lab.node.errors import NodeError
from lab.node.links import Key, NodeLinks, refuse
from lab.service.host import Inbound
from lab.transport.association import Association
from lab.transport.datagram_end import GAUGES, DatagramEnd
from lab.transport.errors import CorruptFrameError
from lab.transport.port import Port
from lab.transport.shaping import Shaper, link_random
from lab.transport.shm import DATAGRAM_CHANNELS, PEER_CHANNELS, AttachedLink
from lab.transport.waiter import Waiter
from lab.transport.window import WindowConfig

ShaperMaker = Callable[[str, int], Shaper]  # of what comes in from whom, in the words of Attach; it does nothing yet


class DatagramLinks(NodeLinks):
    """Satisfies `lab.service.host.Links`, as NodeLinks, and is told of links in the same way."""

    def __init__(
        self,
        waiter: Waiter,
        port: Port,
        peers: WindowConfig,
        clients: WindowConfig,
        make_shaper: ShaperMaker,
        *,
        queue_bytes_max: int,
        watch_peers: bool,
    ) -> None:
        """Takes over `port`, which `waiter` waits for, too."""
        super().__init__(waiter, queue_bytes_max=queue_bytes_max, watch_peers=watch_peers)
        self._port = port
        self._windows = {"peer": peers, "client": clients}
        self._make_shaper = make_shaper
        self._rng = random.SystemRandom()  # of nonces: not to be guessed
        self._ends: dict[Key, DatagramEnd] = {}
        self._keys: dict[Association, Key] = {}
        self._dying: set[Key] = set()  # ends of which the process at the other end has died
        self._attached: dict[Key, Attach] = {}
        self._gone = Counter[str]()  # counters of ends that are no more

    # -- links come and go ---------------------------------------------------------------------------

    def attach(self, attach: Attach, fds: Sequence[int]) -> None:
        if attach.role not in self._windows or attach.side not in (0, 1) or not attach.link:
            refuse(attach, fds, "role is peer or client, side 0 or 1, link not 0")
        if len(fds) not in ((4,) if attach.address is None else (0, 1)):
            refuse(attach, fds, "4 are expected without an address, with one at most 1")
        key = (attach.role, attach.name)
        self._end(key)
        channels = len(PEER_CHANNELS) if attach.role == "peer" else 1
        association = Association(attach.link, attach.side, channels, self._windows[attach.role], self._rng)
        over = attach.address or self._map_rings(attach, fds)
        self._ends[key] = DatagramEnd(self._port, association, over, lambda: self._make_shaper(*key))
        self._attached[key] = attach
        self._keys[association] = key
        self._ends[key].reshape(attach.shape)
        if fds:
            self._watch(key, fds[-1])

    def _map_rings(self, attach: Attach, fds: Sequence[int]) -> AttachedLink:
        """Takes over the first three."""
        memory_fd, event_fd, page_fd, _ = fds
        rings = (memory_fd, event_fd, page_fd)
        try:
            return AttachedLink(rings, DATAGRAM_CHANNELS, attach.side, queue_bytes_max=DATAGRAM_CHANNELS[0])
        except (OSError, ValueError) as error:
            raise NodeError(f"{attach}: {error}") from error

    def reshape(self, reshape: Reshape) -> None:
        """What comes in over a link is treated otherwise from now on.  A link that is not there: nothing."""
        end = self._ends.get((reshape.role, reshape.name))
        if end is not None:
            end.reshape(reshape.shape)

    def on_ready(self, fd: int) -> None:
        """The process at the other end of some link died."""
        key = next((key for key, life_fd in self._life_fds.items() if life_fd == fd), None)
        if key is not None:
            self._unwatch(key)  # it stays readable for ever
            self._ends[key].on_death()
            self._dying.add(key)

    def _end(self, key: Key) -> None:
        end = self._ends.pop(key, None)
        if end is None:
            return
        del self._attached[key], self._keys[end.association]
        self._dying.discard(key)
        self._unwatch(key)
        if key in self._links:
            self._close_link(key, self._links.pop(key))
        self._gone.update(_counts(end))
        end.close()

    def _fail(self, key: Key, reason: object) -> None:
        """End a session that cannot go on, and tell people; the next one opens by itself."""
        self._say(key, reason)
        self._ends[key].association.end_session(str(reason))
        self._close_link(key, self._links.pop(key))

    def _say(self, key: Key, reason: object) -> None:
        print(f"lab.node: session with {key[0]} {key[1]} ended: {reason}", file=sys.stderr, flush=True)  # noqa: T201

    # -- what the host's loop calls ------------------------------------------------------------------

    def receive(self) -> Sequence[Inbound]:
        """What arrived since the last call, in order per link and channel; what a session leaves before its end."""
        self._bell.take_news()
        arrived, self._notices = self._notices, []
        self._port.receive()
        for association in self._port.take_heard():
            key = self._keys[association]
            self._hear(key, self._ends[key], arrived)
        for key in [key for key in self._dying if self._ends[key].is_dead()] if self._dying else ():
            self._end(key)
            self._tell(arrived)
        return arrived

    def _hear(self, key: Key, end: DatagramEnd, arrived: list[Inbound]) -> None:
        reason, opened = end.take_news()
        if reason and key in self._links:
            ended = self._links.pop(key)
            try:
                ended.receive(arrived, rare=True)
            except CorruptFrameError as error:
                reason = f"{reason}, and {error}"
            self._say(key, reason)
            self._close_link(key, ended)
            self._tell(arrived)
        if opened is not None:
            self._begin(self._attached[key], opened)
            self._tell(arrived)
        link = self._links.get(key)
        if link is not None:
            try:
                link.receive(arrived, rare=True)
            except CorruptFrameError as error:
                self._fail(key, error)
                self._tell(arrived)

    def _tell(self, arrived: list[Inbound]) -> None:
        arrived += self._notices
        self._notices.clear()

    def has_input(self) -> bool:
        return bool(self._notices) or self._port.has_news()

    def flush(self) -> None:
        super().flush()
        self._port.flush()

    # -- counters ------------------------------------------------------------------------------------

    @property
    def bytes_sent(self) -> int:
        """In datagrams, whatever they were for."""
        now = (end.association.counters["bytes_sent"] for end in self._ends.values())
        return self._gone["bytes_sent"] + sum(now)

    def network(self) -> dict[str, int]:
        """Of port and links together; of a gauge the greatest."""
        counts = self._gone.copy()
        for end in self._ends.values():
            counts.update(_counts(end))
        ends = [end.association.counters for end in self._ends.values()]
        gauges = {name: max((counters[name] for counters in ends), default=0) for name in GAUGES}
        return {**counts, **gauges, **self._port.counters}

    def close(self) -> None:
        for key in list(self._ends):
            self._end(key)
        self._port.close()


def _counts(end: DatagramEnd) -> dict[str, int]:
    return {name: value for name, value in end.counters().items() if name not in GAUGES}


def shaper_maker(seed: int, me: int) -> ShaperMaker:
    """Each directed link has chance of its own, which the seed and its ends decide."""

    def make(role: str, name: int) -> Shaper:
        return Shaper(Shape(), link_random(seed, f"{'server' if role == 'peer' else role} {name}", f"server {me}"))

    return make
