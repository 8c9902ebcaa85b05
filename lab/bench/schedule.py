"""When operations may be sent: by a schedule (open loop), or at most so many a second (closed loop)."""

import math
import random
from array import array
from bisect import bisect_left, bisect_right

from lab.bench.arrivals import Arrivals, has_profile, profiled, stationary


class Schedule:
    """The intended times of one client's operations, made as they are needed; those that were sent are kept.

    What is made ahead is bounded by what the caller may send and one chunk.
    """

    def __init__(self, arrivals: Arrivals, rate: float, seed: int, client: int, clients: int, origin_ns: int) -> None:
        """`rate`: operations/s of all clients together; the same arguments give the same times."""
        self._arrivals, self._rate, self._clients = arrivals, rate, clients
        self._rng = random.Random(f"arrivals of {seed}/{client}")
        self._chunks = stationary(arrivals, rate, self._rng, client, clients, origin_ns)
        self._times = array("q")  # nanoseconds of the monotonic clock, ascending
        self.issued = 0
        self._held = array("q")  # of each batch that was sent
        self._make()

    def measure(self, start_ns: int, end_ns: int) -> None:
        """A window begins: a profile follows it from its start on.  To be told before that, while little is made."""
        if has_profile(self._arrivals):
            del self._times[max(self.issued, bisect_left(self._times, start_ns)) :]
            self._chunks = profiled(self._arrivals, self._rate, self._rng, self._clients, start_ns, end_ns)
            self._make()

    def due(self, now_ns: int, most: int) -> int:
        """How many operations are meant to have been sent by now and were not, `most` at most."""
        times = self._times
        while times[-1] <= now_ns and len(times) - self.issued < most:
            self._make()
        return min(bisect_right(times, now_ns, self.issued) - self.issued, most)

    def issue(self, count: int, held_ns: int) -> None:
        """So many were sent, in one batch; `held_ns`: until when something else than the sender held them back."""
        self.issued += count
        self._held.append(held_ns)
        if self.issued == len(self._times):
            self._make()

    @property
    def next_ns(self) -> int:
        """When the next operation is meant to be sent."""
        return self._times[self.issued]

    @property
    def intended_ns(self) -> "array[int]":
        """Of every operation that was sent, in that order."""
        return self._times[: self.issued]

    @property
    def held_ns(self) -> "array[int]":
        """Of every batch that was sent, in that order."""
        return self._held

    def asked(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """How many operations were meant to be sent within the window, and until its end.  Ends the schedule."""
        times = self._times
        before, until = bisect_left(times, start_ns), bisect_left(times, end_ns)
        last = times[-1]
        while last < end_ns:  # far behind: count what was never made, without keeping it
            chunk = next(filter(None, self._chunks))
            before += bisect_left(chunk, start_ns)
            until += bisect_left(chunk, end_ns)
            last = chunk[-1]
        return until - before, until

    def _make(self) -> None:
        """Add at least one time."""
        times, made = self._times, len(self._times)
        while len(times) == made:
            chunk = next(self._chunks)
            if times and chunk and chunk[0] < times[-1]:  # a profile that began late
                chunk = chunk[bisect_left(chunk, times[-1]) :]
            times.extend(chunk)


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
