"""Links between processes, as the supervisor sees them: who is at an end, and how two ends are made to meet.

A link that carries frames is one memory made here and sent to both ends, each with what it needs of the other: bell,
incarnation, and a descriptor that tells of its end.  One that carries datagrams has a number that both ends are told,
and such a memory or the address of the other's UDP socket.  Neither is ever used again: a new link is a new memory,
a new number (Z-9).
"""

import errno
import os
import secrets
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from lab.cluster.errors import ClusterError
from lab.cluster.spec import ClusterSpec, Place
from lab.faults import Shape
from lab.node.config import Silence, Transport
from lab.node.control import Attach, Command, Datagrams, Detach, Reshape, Welcome, encode_control
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.seal import draw_key
from lab.transport.shm import CLIENT_CHANNELS, DATAGRAM_CHANNELS, PEER_CHANNELS, create_link_memory
from lab.transport.udp import bind_udp

SEND_TIMEOUT_S = 30.0  # as much as a server may take to start: before that it reads nothing
PAUSE_S = 0.001
LOOPBACK = "127.0.0.1"

Kind = Literal["server", "client"]


class Endpoint:
    """One incarnation of a process that has links: how to reach it, to wake it, and to see it end."""

    def __init__(self, kind: Kind, number: int, incarnation: int, control: ControlSocket, bell: Bell | None) -> None:
        """`control` and `bell` belong to this object from now on; a subclass brings `life_fd`.

        A process of another host has no bell here: nobody shares memory with it.
        """
        self.kind = kind
        self.number = number
        self.incarnation = incarnation
        self.control = control
        self.bell = bell
        self.life_fd = -1  # becomes readable when the process ends
        self.address: tuple[str, int] | None = None  # of its UDP socket, if it has one
        self.host = ""  # its name; empty: this one

    def ours(self, at_ns: int) -> int:
        """A reading of its monotonic clock as this host's clock would show it."""
        return at_ns

    @property
    def place(self) -> Place:
        return (self.kind, self.number)

    @property
    def name(self) -> str:
        return f"{'server' if self.kind == 'server' else 'load process'} {self.number}"

    def send(self, record: Command | Welcome, fds: Sequence[int] = ()) -> None:
        """Send a control record; to a process that has ended, nothing (its end is reported by `life_fd`).

        Raises ClusterError if the process, frozen or stuck, has not made room after SEND_TIMEOUT_S.
        """
        data = encode_control(record)
        deadline = time.monotonic() + SEND_TIMEOUT_S
        writable = select.poll()
        writable.register(self.control.fileno(), select.POLLOUT)
        while writable.poll(max(0.0, deadline - time.monotonic()) * 1e3):
            try:
                self.control.send(data, fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                return
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)  # too many descriptors under way to their readers, who take them out
        raise ClusterError(f"{self.name} has not read its control socket for {SEND_TIMEOUT_S:g} s: thaw or crash it")

    def close(self) -> None:
        self.control.close()
        if self.bell is not None:
            self.bell.close()


ShapeOf = Callable[[Endpoint, Endpoint], Shape | None]  # what is done to what the first sends to the second


def _role_of(other: Endpoint, seen_by: Endpoint) -> str:
    """What `other` is to `seen_by`, in the words of Attach."""
    return "peer" if other.kind == seen_by.kind else other.kind


class Wiring:
    """Makes the links of one run, all of one kind."""

    def __init__(self, spec: ClusterSpec) -> None:
        self.carries_datagrams = spec.carries_datagrams
        self.key = draw_key() if spec.sealed and spec.transport is Transport.UDP else b""
        self._is_udp = spec.transport is Transport.UDP
        self.datagrams: Datagrams | None = None
        if spec.carries_datagrams:
            silence = Silence.of(spec.tick_ms, spec.zab.sync_limit_ticks)
            limits = silence.keepalive_ns, silence.client_dead_after_ns
            self.datagrams = Datagrams(self.key, spec.udp_mtu_bytes, *limits, spec.seed)

    @contextmanager
    def socket_of(self, process: Endpoint) -> Iterator[tuple[int, ...]]:
        """Inside, the descriptor of a UDP socket for `process`, to be sent to it; none if it needs none."""
        if not self._is_udp:
            yield ()
            return
        with bind_udp(LOOPBACK) as bound:
            process.address = bound.getsockname()[:2]
            yield (bound.fileno(),)

    def join(self, one: Endpoint, other: Endpoint, shape_of: ShapeOf) -> None:
        """A fresh link between two processes; it replaces an earlier one at either end.  `one` is side 0."""
        if not self.carries_datagrams:
            self._join_by_memory(one, other, PEER_CHANNELS if one.kind == other.kind else CLIENT_CHANNELS)
            return
        number = secrets.randbits(64) or 1
        shapes = shape_of(other, one), shape_of(one, other)
        if not self._is_udp:
            self._join_by_memory(one, other, DATAGRAM_CHANNELS, number, shapes)
            return
        for side, (me, you) in enumerate(((one, other), (other, one))):
            role = _role_of(you, me)
            attach = Attach(role, you.number, you.incarnation, side, number, you.address, shapes[side])
            me.send(attach, () if me.host or you.host else (you.life_fd,))  # nobody sees a process of another host end

    def _join_by_memory(
        self,
        one: Endpoint,
        other: Endpoint,
        channels: tuple[int, ...],
        number: int = 0,
        shapes: tuple[Shape | None, Shape | None] = (None, None),
    ) -> None:
        memory = create_link_memory(channels)
        try:
            for side, (me, you) in enumerate(((one, other), (other, one))):
                role = _role_of(you, me)
                attach = Attach(role, you.number, you.incarnation, side, number, None, shapes[side])
                assert you.bell is not None, f"{you.name} shares no memory with this host"
                me.send(attach, (memory, you.bell.event_fd, you.bell.page_fd, you.life_fd))
        finally:
            os.close(memory)

    def cut(self, one: Endpoint, other: Endpoint) -> None:
        """End the link between two processes, at both ends."""
        for me, you in ((one, other), (other, one)):
            me.send(Detach(_role_of(you, me), you.number))

    def reshape(self, source: Endpoint, target: Endpoint, shape: Shape | None) -> None:
        """From now on this is done to what `source` sends to `target`; only where links carry datagrams."""
        target.send(Reshape(_role_of(source, target), source.number, shape))
