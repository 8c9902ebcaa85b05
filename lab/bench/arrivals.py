"""Open loop: when operations are meant to be sent, whatever the system does meanwhile.

Another schedule (Poisson, a trace) is another class with these three methods.
"""

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
