"""One process's end of one link that carries datagrams: its association at the port, what carries the datagrams, what
is done to those that come in, and the news that the process at the other end has died.

A pidfd has that news at once, but it has to travel as everything else does: it comes behind what is under way, and not
at all through a link that is cut.
"""

from collections.abc import Callable

from lab.faults import Shape
from lab.transport.association import Association, Ended, Opened
from lab.transport.carriers import RingCarrier, UdpCarrier
from lab.transport.link import SessionLink
from lab.transport.port import READS_MAX, Port
from lab.transport.shaping import Shaper
from lab.transport.shm import AttachedLink
from lab.transport.udp import BUFFER_BYTES, Address

GAUGES = ("srtt_ns", "cwnd_bytes")  # among the counters: how something is, not how often it happened
# A socket's buffer is read in so many turns: the kernel doubles what it is asked for, and a datagram uses 512 or more.
TURNS_MAX = 2 * BUFFER_BYTES // 512 // READS_MAX

MakeShaper = Callable[[], Shaper]  # one that does nothing yet


class DatagramEnd:
    """From the Attach of a link to its end."""

    def __init__(
        self, port: Port, association: Association, over: AttachedLink | Address, make_shaper: MakeShaper
    ) -> None:
        """Takes over `over`, which is rings for datagrams, or where the other end's UDP socket is.

        `make_shaper` is asked when something is first to be done to datagrams.
        """
        self.association = association
        self._port, self._make_shaper = port, make_shaper
        self._rings = over if isinstance(over, AttachedLink) else None
        self._shaper: Shaper | None = None
        carrier = RingCarrier(over.channels[0]) if isinstance(over, AttachedLink) else UdpCarrier(port, over)
        self._ring = carrier if isinstance(carrier, RingCarrier) else None
        self._is_dying = False  # the process at the other end has died, and the news of it is under way
        self._died_in = 0  # the port's turn
        port.add(association, carrier, None)

    def reshape(self, shape: Shape | None) -> None:
        """This is done to what comes in from now on; None: nothing."""
        shape = shape or Shape()
        if self._shaper is None:
            if shape.does_nothing:
                return
            self._shaper = self._make_shaper()
            self._port.set_shaper(self.association, self._shaper)
        self._shaper.change(shape)
        self._is_dying = self._is_dying and not shape.blocked

    def on_death(self) -> None:
        """The process at the other end has died."""
        self._is_dying = self._shaper is None or not self._shaper.shape.blocked
        self._died_in = self._port.turns
        if self._shaper is not None:
            self._shaper.push_end(self._port.now_ns())

    def is_dead(self) -> bool:
        """Whether that is known at this end: everything that had been sent was received from the port."""
        if not self._is_dying or self._shaper:  # an empty one is false
            return False
        if self._ring is not None:
            return not self._ring.has_input()
        # others may send faster than is read, but what was there when it died has had its turn some day
        return not self._port.has_input() or self._port.turns - self._died_in >= TURNS_MAX

    def take_news(self) -> tuple[str, SessionLink | None]:
        """Why the session ended that was open before, or an empty text; and the session that has opened since.

        One that opened and ended since the last call is not told of: nobody has sent anything in it.
        """
        events = self.association.take_events()
        if not events:
            return "", None
        reason = next((event.reason for event in events if isinstance(event, Ended)), "")
        has_opened = self.association.is_open and any(isinstance(event, Opened) for event in events)
        return reason, SessionLink(self.association.channels) if has_opened else None

    def counters(self) -> dict[str, int]:
        """Of the association and of what was done to datagrams, gauges included."""
        return self.association.counters | (self._shaper.counters if self._shaper is not None else {})

    def close(self) -> None:
        """End the link for good, and tell the other end."""
        self._port.remove(self.association)
        if self._rings is not None:
            self._rings.close()
