"""What a network does to datagrams, done to them by hand: delay, loss, duplication, reordering, a bottleneck, a cut.

A shaper stands at the receiving end of one directed link: what a sender has sent is under way there, and arrives even
if the sender is killed meanwhile, as on a network.  It is pure: it is told the time (integer nanoseconds of the
monotonic clock) and draws from the random source that it is given, so the same seed, datagrams and times give the same
fates.
A shape that does nothing needs no shaper, and costs nothing.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import exp, log
from random import Random

from lab.faults import DELAY_MS_MAX, AnyDelay, Constant, Empirical, LogNormal, Normal, Shape, Uniform

MS = 1_000_000  # nanoseconds
END = b""  # no datagram: what `due` gives behind everything that a sender had sent which has ended
UNDER_WAY_BYTES_MAX = 1 << 28  # in one link; beyond, a datagram is lost as if a queue on its way were full


def shaper_for(shape: Shape | None, seed: int, source: str, target: str) -> "Shaper | None":
    """The shaper of the directed link between two processes, whatever they call themselves; None if it does nothing."""
    return None if shape is None or shape.does_nothing else Shaper(shape, link_random(seed, source, target))


def link_random(seed: int, source: str, target: str) -> Random:
    """Each directed link has chance of its own: what happens on one does not depend on the traffic of another."""
    return Random(f"{seed} {source} {target}")


class Shaper:
    """One directed link."""

    def __init__(self, shape: Shape, rng: Random) -> None:
        self._random, self._rng = rng.random, rng
        self._line: deque[tuple[int, bytes]] = deque()  # under way, in order; due times never go down
        self._last_due = 0  # of the line, kept when it is empty: who comes later arrives no earlier
        self._overtaking: list[tuple[int, int, bytes]] = []  # a heap; the middle number keeps equals in order
        self._overtakers = 0
        self._under_way_bytes = 0
        self._free_at = 0  # when the bottleneck has sent everything that waits before it
        self.lost = self.duplicated = self.reordered = self.overflowed = 0
        self.change(shape)

    def change(self, shape: Shape) -> None:
        """From now on it does this; what is under way arrives when it would have, unless the link is now blocked."""
        self.shape = shape
        self._loss, self._duplicate, self._reorder = shape.loss, shape.duplicate, shape.reorder
        self._hold_ns, self._held_until = int(shape.hold_ms * MS), 0
        self._delay_ns = 0
        self._draw_ns = None if shape.delay is None else drawer_of(shape.delay, self._rng)
        self._byte_ns = None if shape.bytes_per_s is None else 1e9 / shape.bytes_per_s
        self._waiting_ns_max = 0 if self._byte_ns is None else int(shape.queue_bytes * self._byte_ns)
        if shape.blocked:
            self.lost += sum(1 for _, datagram in self._line if datagram is not END) + len(self._overtaking)
            self._line.clear()
            self._overtaking.clear()
            self._under_way_bytes = 0

    def push(self, datagram: bytes, now: int) -> None:
        """A datagram enters the link; if it is to arrive, `due` gives it out when its time has come."""
        if self.shape.blocked or (self._loss and self._random() < self._loss):
            self.lost += 1
            return
        self._pass(datagram, now)
        if self._duplicate and self._random() < self._duplicate:
            self.duplicated += 1
            self._pass(datagram, now)

    def push_end(self, now: int) -> None:
        """The sender has ended: END enters the link behind everything that is under way.  Only a cut loses it."""
        if not self.shape.blocked:
            self._last_due = max(self._last_due, now + (self._draw_ns() if self._draw_ns is not None else 0))
            self._line.append((self._last_due, END))

    def due(self, now: int) -> list[bytes]:
        """What has arrived by now, in order of its due time; a datagram that overtakes comes before one as early."""
        line, overtaking, arrived = self._line, self._overtaking, []
        while True:
            if overtaking and overtaking[0][0] <= now and not (line and line[0][0] < overtaking[0][0]):
                arrived.append(heappop(overtaking)[2])
            elif line and line[0][0] <= now:
                arrived.append(line.popleft()[1])
            else:
                break
        if arrived:
            self._under_way_bytes -= sum(map(len, arrived))
        return arrived

    def next_due(self) -> int | None:
        """When `due` gives something next; None: nothing is under way."""
        if self._overtaking:
            first = self._overtaking[0][0]
            return min(first, self._line[0][0]) if self._line else first
        return self._line[0][0] if self._line else None

    @property
    def counters(self) -> dict[str, int]:
        return {
            "shaper_lost": self.lost,
            "shaper_duplicated": self.duplicated,
            "shaper_reordered": self.reordered,
            "shaper_overflowed": self.overflowed,
        }

    def __len__(self) -> int:
        """Datagrams under way."""
        return len(self._line) + len(self._overtaking)

    def _pass(self, datagram: bytes, now: int) -> None:
        size = len(datagram)
        if self._under_way_bytes + size > UNDER_WAY_BYTES_MAX:
            self.overflowed += 1
            return
        due = now
        if self._byte_ns is not None:
            due = max(now, self._free_at) + int(size * self._byte_ns)
            if due - now > self._waiting_ns_max:
                self.overflowed += 1
                return
            self._free_at = due
        self._under_way_bytes += size
        if self._draw_ns is not None:
            if now >= self._held_until:
                self._delay_ns, self._held_until = self._draw_ns(), now + self._hold_ns
            if self._reorder and self._random() < self._reorder:
                due += int(self._delay_ns * self._random())
                if due < self._last_due:  # else there is nobody left to overtake
                    self.reordered += 1
                    self._overtakers += 1
                    heappush(self._overtaking, (due, self._overtakers, datagram))
                    return
            else:
                due += self._delay_ns
        if due < self._last_due:
            due = self._last_due
        self._last_due = due
        self._line.append((due, datagram))


def drawer_of(delay: AnyDelay, rng: Random) -> Callable[[], int]:
    """What draws from the distribution, in nanoseconds, never below 0."""
    random, gauss = rng.random, rng.gauss
    match delay:
        case Constant(ms):
            fixed = int(ms * MS)
            return lambda: fixed
        case Uniform(low_ms, high_ms):
            low, width = low_ms * MS, (high_ms - low_ms) * MS
            return lambda: int(low + width * random())
        case Normal(mean_ms, sd_ms):
            mean, sd = mean_ms * MS, sd_ms * MS

            def normal() -> int:
                while (drawn := gauss(mean, sd)) < 0:  # at most every second time
                    pass
                return int(drawn)

            return normal
        case LogNormal(median_ms, sigma, base_ms):
            if not median_ms:
                return drawer_of(Constant(base_ms), rng)
            base, mu, most = base_ms * MS, log(median_ms * MS), DELAY_MS_MAX * MS
            return lambda: int(min(most, base + exp(gauss(mu, sigma))))
        case Empirical(samples_ms):
            samples, n = tuple(int(sample * MS) for sample in samples_ms), len(samples_ms)
            return lambda: samples[int(random() * n)]
