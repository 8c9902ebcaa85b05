"""What takes the datagrams of one link to its other end: the port's socket, or a ring in shared memory."""

from collections.abc import Callable
from typing import Protocol

from lab.transport.errors import CorruptFrameError
from lab.transport.udp import Address


class Sender(Protocol):
    """What sends over a socket (see lab.transport.port.Port)."""

    def send_to(self, datagrams: list[bytes], address: Address) -> None: ...


class DatagramChannel(Protocol):
    """What a carrier needs of a channel over shared memory (see lab.transport.shm)."""

    send: Callable[..., bool]
    receive: Callable[[], list[bytes]]
    flush: Callable[[], bool]

    @property
    def broken(self) -> bool: ...
    @property
    def frames_sent(self) -> int: ...
    def has_input(self) -> bool: ...
    def wants_flush(self) -> bool: ...
    def clear_queue(self) -> None: ...


class Carrier(Protocol):
    """Takes datagrams to the other end of one link, or loses them."""

    def send(self, datagrams: list[bytes]) -> None: ...


class UdpCarrier:
    """Over the port's socket, to one address."""

    def __init__(self, port: Sender, address: Address) -> None:
        self._port, self._address = port, address

    def send(self, datagrams: list[bytes]) -> None:
        self._port.send_to(datagrams, self._address)


class RingCarrier:
    """Over one channel in shared memory, in which every frame is a datagram.

    A ring that is full loses what comes then, as a switch would: nothing may wait here for longer than the ring is.
    """

    def __init__(self, channel: DatagramChannel) -> None:
        """`channel` stays the caller's; remove the association from the port before the memory is unmapped."""
        self._channel = channel
        self.lost = 0
        self.is_corrupt = False  # the other end wrote what no correct process writes: nothing is read or sent any more

    def send(self, datagrams: list[bytes]) -> None:
        if self.is_corrupt:
            self.lost += len(datagrams)
            return
        try:
            self._send(datagrams)
        except CorruptFrameError:
            self.is_corrupt = True

    def _send(self, datagrams: list[bytes]) -> None:
        channel = self._channel
        if channel.wants_flush() and not channel.flush():
            self.lost += len(datagrams)
            return
        for datagram in datagrams:
            if not channel.send(datagram):
                self.lost += 1
        channel.flush()
        if channel.broken:
            accepted = channel.frames_sent
            channel.clear_queue()
            self.lost += accepted - channel.frames_sent

    def receive(self) -> list[bytes]:
        """The datagrams that have arrived; what waited for room moves on, too."""
        if self.is_corrupt:
            return []
        try:
            if self._channel.wants_flush():
                self._channel.flush()
            return self._channel.receive()
        except CorruptFrameError:
            self.is_corrupt = True
            return []

    def has_input(self) -> bool:
        return not self.is_corrupt and self._channel.has_input()
