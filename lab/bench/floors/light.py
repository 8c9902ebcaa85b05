"""What the table "speed of light" is made of: how fast bytes get from one process to another, and how soon one does.

A way is measured by pouring for some windows of time, from a forked process on another core, and by sending a byte
there and back.  Every datagram or frame says which of a cycle it is, so that one that is lost, repeated or out of order
is noticed; one in a cycle is compared as a whole.  What was wrong makes a probe count for nothing.
"""

import time
from collections.abc import Callable, Sequence
from random import Random

from lab.bench.floors.pair import cpu_ns
from lab.bench.probe import Probe

MIB = 1 << 20
WINDOW_S = 0.03
WINDOWS = 20
CYCLE = 64  # different ones, sent in turn
TRIPS, TRIPS_WARM_UP = 1000, 100
STALLED_S = 2.0  # nothing comes for so long: something was lost, and nobody sends it again


def cycle_of(length: int) -> list[bytes]:
    """CYCLE messages of that length; the first byte is their number, the rest is noise of its own."""
    rng = Random(length)
    return [bytes([number]) + rng.randbytes(length - 1) for number in range(CYCLE)]


class Inspector:
    """Counts what arrives and sees that it is what was sent, in order."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._whole = messages[0]
        self._next = 0
        self.bytes_received = 0
        self.finding = ""

    def take(self, arrived: Sequence[bytes]) -> None:
        expected = self._next
        for message in arrived:
            self.bytes_received += len(message)
            number = message[0]
            if number != expected and not self.finding:
                self.finding = f"number {number} of a cycle arrived where {expected} was to come"
            if not number and message != self._whole and not self.finding:
                self.finding = f"{len(message)} bytes arrived that are not those sent"
            expected = (number + 1) % CYCLE
        self._next = expected


def poured(
    name: str, arrivals: Callable[[], Sequence[bytes]], messages: Sequence[bytes], child: int, windows: int,
    facts: dict[str, float],
) -> Probe:  # fmt: skip
    """MiB/s of `windows` windows; `arrivals` waits for some messages, and gives none if it had to wait too long."""
    inspector = Inspector(messages)
    _window(arrivals, inspector)
    before, cpu = inspector.bytes_received, cpu_ns(child)
    samples = [_window(arrivals, inspector) / MIB for _ in range(windows)]
    mib = (inspector.bytes_received - before) / MIB
    cost = (cpu_ns(child) - cpu) / 1e3 / mib if mib else 0.0
    return Probe(
        name=f"light/{name}", unit="MiB/s", samples=samples, facts={**facts, "cpu_us_per_mib": cost},
        findings=[inspector.finding] if inspector.finding else [],
    )  # fmt: skip


def _window(arrivals: Callable[[], Sequence[bytes]], inspector: Inspector) -> float:
    """Bytes/s received for so long."""
    before, began = inspector.bytes_received, time.perf_counter()
    while (now := time.perf_counter()) < began + WINDOW_S:
        arrived = arrivals()
        if not arrived and not inspector.finding:
            inspector.finding = f"nothing arrived for {STALLED_S} s"
        if inspector.finding:
            break
        inspector.take(arrived)
    return (inspector.bytes_received - before) / max(now - began, 1e-9)


def there_and_back(name: str, trip: Callable[[], None], trips: int) -> Probe:
    """Microseconds of a byte's way to the other process and back; `trip` raises OSError if it does not come."""
    for _ in range(min(TRIPS_WARM_UP, trips)):
        trip()
    samples = []
    for _ in range(trips):
        began = time.perf_counter_ns()
        trip()
        samples.append((time.perf_counter_ns() - began) / 1e3)
    return Probe(name=f"light/{name}", unit="µs", samples=samples)
