"""A client's end of its links where they carry datagrams: over UDP, or over shared memory that is shaped.

A link is consecutive sessions of one association: `on_up` when one opens, `on_down` when it ends, by whatever way; the
next one opens by itself.
"""

import random
import socket
from collections.abc import Callable

from lab.client.control import Attach, Datagrams, Reshape, Welcome
from lab.client.links import QUEUE_BYTES_MAX, Endpoint, Link
from lab.faults import Shape
from lab.transport.association import Association
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.datagram_end import DatagramEnd
from lab.transport.link import SessionLink
from lab.transport.port import Port
from lab.transport.port_waiter import PortWaiter
from lab.transport.seal import TAG_BYTES
from lab.transport.shaping import Shaper, link_random
from lab.transport.shm import DATAGRAM_CHANNELS, AttachedLink
from lab.transport.waiter import Wait
from lab.transport.window import WindowConfig


class DatagramEndpoint(Endpoint):
    """As Endpoint; links come and go in `pull`, too."""

    def __init__(
        self,
        control: ControlSocket,
        welcome: Welcome,
        life_fd: int,
        bell: Bell,
        waiter: PortWaiter,
        port: Port,
        datagrams: Datagrams,
    ) -> None:
        """Takes over everything."""
        super().__init__(control, welcome, life_fd, bell, waiter)
        self._port = port
        self._window = WindowConfig(
            mtu_bytes=datagrams.udp_mtu_bytes,
            keepalive_ns=datagrams.keepalive_ns,
            dead_after_ns=datagrams.dead_after_ns,
            queue_bytes_max=QUEUE_BYTES_MAX,
            tag_bytes=TAG_BYTES if datagrams.udp_key else 0,
        )
        self._seed = datagrams.seed
        self._rng = random.SystemRandom()  # of nonces: not to be guessed
        self._ends: dict[int, DatagramEnd] = {}
        self._servers: dict[Association, int] = {}
        self._dying: set[int] = set()  # servers that have died
        self._attached: dict[int, Attach] = {}
        self.pull: Callable[[], None] = self._pull

    def has_input(self) -> bool:
        return self._port.has_news()

    def wait(self, until_ns: int) -> list[int]:
        self._port.flush()
        return super().wait(until_ns)

    def _pull(self) -> None:
        """Take in what has arrived, and act on sessions that opened or ended."""
        self._bell.take_news()
        self._port.receive()
        for association in self._port.take_heard():
            server = self._servers[association]
            reason, opened = self._ends[server].take_news()
            if reason and server in self.links:
                self.links[server].ended_by = f"server {server}: {reason}"
                self._remove(self.links[server])
            if opened is not None:
                self._add(self._link(self._attached[server], opened))
        for server in [server for server in self._dying if self._ends[server].is_dead()] if self._dying else ():
            self._give_up(server)

    def _link(self, attach: Attach, over: SessionLink) -> Link:
        link = Link(attach, over)
        flush = link.channel.flush

        def flush_all() -> None:
            flush()
            self._port.flush()

        link.flush = flush_all
        return link

    def drop(self, link: Link, reason: str) -> None:
        if self.links.get(link.server) is link:
            self._ends[link.server].association.end_session(reason)
        super().drop(link, reason)

    def _attach(self, attach: Attach, fds: list[int]) -> None:
        """Takes over the descriptors: those of rings, or what tells of the server's end, or none."""
        self._give_up(attach.name)
        association = Association(attach.link, attach.side, 1, self._window, self._rng)
        over = attach.address or self._map_rings(attach, fds)
        end = DatagramEnd(self._port, association, over, lambda: self._make_shaper(attach.name))
        end.reshape(attach.shape)
        self._ends[attach.name], self._attached[attach.name] = end, attach
        self._servers[association] = attach.name
        if fds:
            self._watch_life(attach.name, fds[-1])

    def _map_rings(self, attach: Attach, fds: list[int]) -> AttachedLink:
        """Takes over the first three."""
        memory, event, page, _ = fds
        rings = (memory, event, page)
        return AttachedLink(rings, DATAGRAM_CHANNELS, attach.side, queue_bytes_max=DATAGRAM_CHANNELS[0])

    def _make_shaper(self, server: int) -> Shaper:
        return Shaper(Shape(), link_random(self._seed, f"server {server}", f"client {self.client}"))

    def _reshape(self, reshape: Reshape) -> None:
        if reshape.name in self._ends:
            self._ends[reshape.name].reshape(reshape.shape)

    def _on_death(self, server: int) -> None:
        self._unwatch_life(server)  # it stays readable for ever
        self._ends[server].on_death()
        self._dying.add(server)

    def _give_up(self, server: int) -> None:
        """End the link for good."""
        end = self._ends.pop(server, None)
        if end is None:
            return
        del self._attached[server], self._servers[end.association]
        self._dying.discard(server)
        if server in self.links:
            self._remove(self.links[server])
        self._unwatch_life(server)
        end.close()

    def _remove(self, link: Link) -> None:
        """It carries nothing any more; whether the server lives is another question."""
        del self.links[link.server]
        self.on_down(link)
        link.close()

    def close(self) -> None:
        for server in list(self._ends):
            self._give_up(server)
        super().close()
        self._port.close()


def open_datagram_endpoint(
    control: ControlSocket, welcome: Welcome, life_fd: int, bell: Bell, sockets: list[int], wait: Wait
) -> DatagramEndpoint:
    """Takes over everything; `sockets` is the own UDP socket, or empty."""
    datagrams = welcome.datagrams
    assert datagrams is not None, "without them links carry frames"
    port = Port(socket.socket(fileno=sockets[0]) if sockets else None, datagrams.udp_key)
    waiter = PortWaiter(bell, port, wait)
    return DatagramEndpoint(control, welcome, life_fd, bell, waiter, port, datagrams)
