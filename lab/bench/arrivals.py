"""When operations may be sent.

Open loop (`Arrivals`): when they are meant to be, whatever the system does meanwhile.  Another schedule (Poisson, a
trace) is another class with these three methods.  Closed loop (`Pace`): how many more, by now.
"""

import math
from collections.abc import Sequence
from typing import Protocol


class Arrivals(Protocol):
    def due(self, now_ns: int) -> int:
        """How many operations, since the beginning, are meant to have been sent by then."""

    def time_of(self, number: int) -> int:
        """When operation `number` (from 0) is meant to be sent."""

    def times(self, first: int, count: int) -> Sequence[int]:
        """`time_of` for a run of operations."""


class ConstantArrivals:
    """One operation every 1 / rate seconds."""

    def __init__(self, rate: float, start_ns: int, phase: float) -> None:
        """`rate` in operations/s; the first one comes `phase` (0 to 1) of a period after `start_ns`."""
        self._period_ns = 1e9 / rate
        self._start_ns = start_ns + phase * self._period_ns

    def due(self, now_ns: int) -> int:
        number = max(0, int((now_ns - self._start_ns) / self._period_ns))
        while self.time_of(number) <= now_ns:  # at most twice: rounding
            number += 1
        return number

    def time_of(self, number: int) -> int:
        return int(self._start_ns + number * self._period_ns)

    def times(self, first: int, count: int) -> Sequence[int]:
        start, period = self._start_ns, self._period_ns
        return [int(start + number * period) for number in range(first, first + count)]


QUANTUM_NS = 2_000_000  # sending less than so much time's operations at once would cost a wake-up for each of them
IDLE_NS = 10_000_000  # of what could not be sent in time, so much is caught up with


class Pace:
    """At most `rate` operations/s of a closed loop, in small batches."""

    def __init__(self, rate: float, start_ns: int) -> None:
        self._period_ns = 1e9 / rate
        self._used_ns = float(start_ns)  # up to here the rate is used up

    def allowed(self, now_ns: int) -> int:
        """How many operations may be sent now; 0 until it is worth it."""
        self._used_ns = max(self._used_ns, now_ns - max(IDLE_NS, self._period_ns))
        return 0 if now_ns < self.next_ns() else int((now_ns - self._used_ns) / self._period_ns)

    def sent(self, count: int) -> None:
        self._used_ns += count * self._period_ns

    def next_ns(self) -> int:
        """When some may be sent again."""
        return math.ceil(self._used_ns + max(QUANTUM_NS, self._period_ns))
