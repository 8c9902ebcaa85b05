"""A client's end of its links, one to every server; the control socket makes and unmakes them (DESIGN 3)."""

import os
import select
import time
from collections.abc import Callable

from lab.client.control import Attach, Detach, Reshape, Welcome, decode_control
from lab.transport import link as transport
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.shm import CLIENT_CHANNELS, AttachedLink
from lab.transport.timer import Timer
from lab.transport.waiter import Wait, Waiter

QUEUE_BYTES_MAX = 64 << 20  # of requests that wait for room in one link
WELCOME_TIMEOUT_S = 10.0


class LinksError(Exception):
    """The process that makes the links is gone or does not speak as expected: one line for people."""


class Link:
    """One link to one incarnation of one server."""

    def __init__(self, attach: Attach, over: transport.Link) -> None:
        """Takes over `over`, which has one channel."""
        self.server, self.incarnation = attach.name, attach.incarnation
        self._over = over
        (self.channel,) = over.channels
        self.flush: Callable[[], object] = self.channel.flush  # let what was sent leave
        self.is_cut = False  # by Detach: what was under way is gone
        self.ended_by = f"the link to server {attach.name} ended"

    def receive(self) -> list[bytes]:
        """Frames that arrived, oldest first; requests that wait for room go on their way.  Raises CorruptFrameError."""
        if self.is_cut:
            return []
        if self.channel.wants_flush():
            self.channel.flush()
        return self.channel.receive()

    def has_ended(self) -> bool:
        """Whether the server closed it and everything it had sent was received."""
        return self._over.has_ended()

    def is_ending(self) -> bool:
        """Whether the server closed it, though something may be left to receive."""
        return self._over.is_ending()

    def close(self) -> None:
        self._over.close()


class Endpoint:
    """All links of this process, its bell, and where it sleeps.

    `on_up(link)` and `on_down(link)` are called from `wait` and `look`; at `on_down` what the server had sent is still
    there to be received, unless the link was cut.
    """

    def __init__(self, control: ControlSocket, welcome: Welcome, life_fd: int, bell: Bell, waiter: Waiter) -> None:
        """Takes over everything; `welcome` is the first record that came from `control`."""
        self._control = control
        self._life = life_fd
        self.client, self.servers = welcome.client, welcome.servers
        self._bell, self._waiter = bell, waiter
        control.set_blocking(False)
        self._waiter.add(control.fileno())
        self.links: dict[int, Link] = {}
        self.pull: Callable[[], None] | None = None  # to be called before links are received from
        self.on_up: Callable[[Link], None] = lambda link: None  # noqa: ARG005 - until somebody listens
        self.on_down: Callable[[Link], None] = lambda link: None  # noqa: ARG005
        self._life_fds: dict[int, int] = {}  # by server
        self._watched: set[int] = set()
        self._timer: Timer | None = None
        self._may_have_ended = False  # some link: a fresh one, or one of which something is still to be received

    def watch(self, fd: int) -> None:
        """Have `wait` and `look` return when `fd` is readable."""
        self._watched.add(fd)
        self._waiter.add(fd)

    def use_timer(self) -> None:
        """Let `wait` end on the microsecond; without it the kernel's poll rounds up to the next millisecond."""
        self._timer = Timer()
        self._waiter.add(self._timer.fileno())
        self._waiter.strategy = Wait.BLOCKING  # looking again would be late for what is due

    def has_input(self) -> bool:
        if self._bell.has_rare():
            return True
        return any([link.channel.has_input() for link in self.links.values()])  # noqa: C419 - mostly one link

    def wait(self, until_ns: int) -> list[int]:
        """Sleep until something arrived, or until that time of the monotonic clock; returns ready watched descriptors.

        Ends early for reasons of its own; looks at the links that ended meanwhile.  Raises LinksError if whoever makes
        the links is gone.
        """
        left_ns = until_ns - time.monotonic_ns()
        if self._timer is not None and left_ns > 0:
            self._timer.set(left_ns)
            left_ns += 10_000_000
        ready = self._waiter.wait(max(left_ns, 0) / 1e6, self.has_input)
        if self._bell.take_rare() or self._may_have_ended:
            for link in [link for link in self.links.values() if link.has_ended()]:
                self._remove(link)
            self._may_have_ended = any([link.is_ending() for link in self.links.values()])  # noqa: C419 - few
        return self._carry_out(ready) if ready else ready

    def look(self) -> list[int]:
        """As `wait`, without sleeping."""
        return self._carry_out(self._waiter.wait(0, self.has_input))

    def drop(self, link: Link, reason: str) -> None:
        """The link cannot be used any more."""
        if self.links.get(link.server) is link:
            link.ended_by = f"server {link.server}: {reason}"
            self._remove(link)

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        self.links.clear()
        for life_fd in self._life_fds.values():
            os.close(life_fd)
        if self._timer is not None:
            self._timer.close()
        self._waiter.close()
        self._bell.close()
        self._control.close()
        os.close(self._life)

    def _carry_out(self, ready: list[int]) -> list[int]:
        """Act on this object's own descriptors, return those that are watched for others.

        One that is neither was the life of a link that has gone since it was found readable.
        """
        foreign = []
        for fd in ready:  # ends of processes before the control socket: a new link may reuse an old one's descriptor
            if fd in self._life_fds.values():
                self._on_death(next(server for server, life_fd in self._life_fds.items() if life_fd == fd))
            elif self._timer is not None and fd == self._timer.fileno():
                self._timer.clear()
            elif fd in self._watched:
                foreign.append(fd)
        if self._control.fileno() in ready:
            self._read_control()
        return foreign

    def _read_control(self) -> None:
        while True:
            try:
                received = self._control.receive()
            except BlockingIOError:
                return
            if received is None:
                raise LinksError("the ensemble's supervisor is gone")
            record, fds = decode_control(received[0]), received[1]
            if isinstance(record, Attach):
                self._attach(record, fds)
            elif isinstance(record, Detach) and record.name in self.links:
                self.links[record.name].is_cut = True
                self._remove(self.links[record.name])
            elif isinstance(record, Reshape):
                self._reshape(record)

    def _attach(self, attach: Attach, fds: list[int]) -> None:
        """A fresh link; takes over the four descriptors."""
        if attach.name in self.links:
            self._remove(self.links[attach.name])
        memory, bell_event, bell_page, life_fd = fds
        rings = (memory, bell_event, bell_page)
        over = AttachedLink(rings, CLIENT_CHANNELS, attach.side, queue_bytes_max=QUEUE_BYTES_MAX)
        self._watch_life(attach.name, life_fd)
        self._may_have_ended = True
        self._add(Link(attach, over))

    def _reshape(self, reshape: Reshape) -> None:
        raise LinksError(f"{reshape}: the links of this process carry frames, which have no shape")

    def _on_death(self, server: int) -> None:
        """The process of this server has ended."""
        self._remove(self.links[server])

    def _watch_life(self, server: int, life_fd: int) -> None:
        self._life_fds[server] = life_fd
        self._waiter.add(life_fd)

    def _unwatch_life(self, server: int) -> None:
        life_fd = self._life_fds.pop(server, None)
        if life_fd is not None:
            self._waiter.remove(life_fd)
            os.close(life_fd)

    def _add(self, link: Link) -> None:
        self.links[link.server] = link
        self.on_up(link)

    def _remove(self, link: Link) -> None:
        del self.links[link.server]
        self._unwatch_life(link.server)
        self.on_down(link)
        link.close()


def open_endpoint(fd: int, wait: Wait = Wait.ADAPTIVE) -> Endpoint:
    """The links of this process, over the control socket that it inherited as `fd`.

    Blocks for the welcome, at most WELCOME_TIMEOUT_S; raises LinksError.
    """
    control = ControlSocket.adopt(fd)
    try:
        welcome, (event, page, life_fd, *sockets) = _receive_welcome(control)
    except BaseException:
        control.close()
        raise
    bell = Bell.adopt(event, page)
    if welcome.datagrams is None:
        return Endpoint(control, welcome, life_fd, bell, Waiter(bell, wait))
    from lab.client.datagram_links import open_datagram_endpoint  # only where it is needed

    return open_datagram_endpoint(control, welcome, life_fd, bell, sockets, wait)


def _receive_welcome(control: ControlSocket) -> tuple[Welcome, list[int]]:
    readable = select.poll()
    readable.register(control.fileno(), select.POLLIN)
    received = control.receive() if readable.poll(WELCOME_TIMEOUT_S * 1e3) else None
    record = decode_control(received[0]) if received is not None else None
    if received is None or not isinstance(record, Welcome):
        raise LinksError(f"no welcome from the ensemble's supervisor within {WELCOME_TIMEOUT_S:g} s: has it ended?")
    return record, received[1]
