"""When operations are meant to be sent in an open loop, whatever the system does meanwhile (`--arrivals`).

    constant                 one every 1 / rate
    poisson                  independent users: exponential gaps
    burst:size=100           `size` at one instant, every size / rate
    step:low=0.5,at=0.5      low x rate until the share `at` of the window, then as much more as the mean needs
    ramp:low=0               from low x rate to (2 - low) x rate
    sine:depth=0.5,cycles=2  rate x (1 + depth x sin), so many whole cycles in the window

The mean over the window is the rate.  The last three are Poisson processes whose rate changes with the time since the
window's start; outside of the window they are plain Poisson.  Several clients share one process: constant and burst
deal their instants out in turn, sums of independent Poisson processes are Poisson.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate, count

import msgspec

CHUNK = 512  # arrivals made at once
SLICES_LEAST = 1000  # of a window, within each of which the rate of a profile is constant
SLICE_NS_MAX = 10_000_000  # so that a long window is not made at once
BURST_MAX = 100_000


class ArrivalsError(ValueError):
    """No arrival process is described so: what was found and what is allowed, without the option's name."""


class _Param(msgspec.Struct, frozen=True):
    default: float
    least: float
    most: float
    least_excluded: bool = False
    most_excluded: bool = False
    whole: bool = False

    def allows(self, value: float) -> bool:
        above = value > self.least if self.least_excluded else value >= self.least
        below = value < self.most if self.most_excluded else value <= self.most
        return above and below and (not self.whole or value == int(value))

    @property
    def text(self) -> str:
        least = f"more than {self.least:g}" if self.least_excluded else f"{self.least:g}"
        most = f"less than {self.most:g}" if self.most_excluded else f"{self.most:g}"
        return f"{'a whole number, ' if self.whole else ''}{least} to {most}"


PROCESSES: dict[str, dict[str, _Param]] = {
    "constant": {},
    "poisson": {},
    "burst": {"size": _Param(100, 1, BURST_MAX, whole=True)},
    "step": {
        "low": _Param(0.5, 0, 1, most_excluded=True),
        "at": _Param(0.5, 0, 1, least_excluded=True, most_excluded=True),
    },
    "ramp": {"low": _Param(0, 0, 1, most_excluded=True)},
    "sine": {"depth": _Param(0.5, 0, 1, least_excluded=True), "cycles": _Param(2, 1, 1000, whole=True)},
}


class Arrivals(msgspec.Struct, frozen=True):
    """A process less its rate."""

    process: str
    params: dict[str, float]

    @property
    def at_once(self) -> int:
        """How many operations arrive at one instant."""
        return int(self.params.get("size", 1))


def parse_arrivals(text: str) -> Arrivals:
    """`burst:size=50` as typed.  Raises ArrivalsError."""
    process, colon, rest = text.partition(":")
    known = PROCESSES.get(process)
    if known is None:
        raise ArrivalsError(f"{text!r}, allowed: {allowed_text()}")
    params = {name: param.default for name, param in known.items()}
    for pair in rest.split(",") if colon else []:
        name, _, typed = pair.partition("=")
        if name not in known:
            allowed = ", ".join(f"{param}=..." for param in known) or "no parameters"
            raise ArrivalsError(f"{pair!r} in {text!r}, allowed: {allowed}")
        try:
            params[name] = float(typed)
        except ValueError:
            params[name] = math.nan
        if not known[name].allows(params[name]):
            raise ArrivalsError(f"{pair!r} in {text!r}, allowed: {known[name].text}")
    return Arrivals(process, params)


def allowed_text() -> str:
    """Every process with its parameters at their defaults."""
    texts = []
    for process, params in PROCESSES.items():
        pairs = ",".join(f"{name}={param.default:g}" for name, param in params.items())
        texts.append(f"{process}:{pairs}" if pairs else process)
    return ", ".join(texts)


def stationary(
    arrivals: Arrivals, rate: float, rng: random.Random, client: int, clients: int, origin_ns: int
) -> Iterator[list[int]]:
    """One client's arrivals from `origin_ns` on, in chunks, without end; `rate` is that of all clients together."""
    if arrivals.process == "constant":
        return _constant(1e9 / rate, client, clients, origin_ns)
    if arrivals.process == "burst":
        return _bursts(arrivals.at_once, arrivals.at_once * 1e9 / rate, client, clients, origin_ns)
    return _poisson(rng, rate / clients, origin_ns)


def has_profile(arrivals: Arrivals) -> bool:
    """Whether the rate depends on the time since the window's start."""
    return arrivals.process in ("step", "ramp", "sine")


def profiled(
    arrivals: Arrivals, rate: float, rng: random.Random, clients: int, start_ns: int, end_ns: int
) -> Iterator[list[int]]:
    """One client's arrivals from a window's start on, in chunks, without end."""
    share = _share_by(arrivals)
    slices = max(SLICES_LEAST, -(-(end_ns - start_ns) // SLICE_NS_MAX))
    operations = rate / clients * (end_ns - start_ns) / 1e9
    for i in range(slices):
        begin, end = (start_ns + (end_ns - start_ns) * edge // slices for edge in (i, i + 1))
        expected = operations * (share((i + 1) / slices) - share(i / slices))
        yield _poisson_within(rng, expected / (end - begin), begin, end - begin)
    yield from _poisson(rng, rate / clients, end_ns)


def _share_by(arrivals: Arrivals) -> Callable[[float], float]:
    """Which share of the window's operations has arrived after a share of its time: from 0 to 1, exactly."""
    params = arrivals.params
    low = params.get("low", 0.0)
    if arrivals.process == "step":
        at = params["at"]
        high = (1 - low * at) / (1 - at)
        return lambda x: low * x if x < at else low * at + high * (x - at)
    if arrivals.process == "ramp":
        return lambda x: low * x + (1 - low) * x * x
    depth, turn = params["depth"], 2 * math.pi * params["cycles"]
    return lambda x: x + depth * (1 - math.cos(turn * x)) / turn


def _constant(period_ns: float, client: int, clients: int, origin_ns: int) -> Iterator[list[int]]:
    for first in count(client, CHUNK * clients):
        yield [origin_ns + int(number * period_ns) for number in range(first, first + CHUNK * clients, clients)]


def _bursts(size: int, period_ns: float, client: int, clients: int, origin_ns: int) -> Iterator[list[int]]:
    for number in count(client, clients):
        yield [origin_ns + int(number * period_ns)] * size


def _poisson(rng: random.Random, rate: float, origin_ns: int) -> Iterator[list[int]]:
    since = 0.0
    while True:
        times = _exponential_sums(rng, rate / 1e9, CHUNK, since)
        since = times[-1]
        yield [origin_ns + int(time) for time in times]


def _poisson_within(rng: random.Random, rate_ns: float, begin_ns: int, length_ns: int) -> list[int]:
    """Of one stretch of constant rate; what comes after its end is forgotten, as the process itself does."""
    if rate_ns <= 0:
        return []
    times: list[float] = []
    while not times or times[-1] < length_ns:
        since = times[-1] if times else 0.0
        times += _exponential_sums(rng, rate_ns, int((length_ns - since) * rate_ns) + 8, since)
    return [begin_ns + int(time) for time in times[: bisect_left(times, length_ns)]]


def _exponential_sums(rng: random.Random, rate_ns: float, how_many: int, since: float) -> list[float]:
    uniform, log, scale = rng.random, math.log, -1 / rate_ns
    times = accumulate([scale * log(1 - uniform()) for _ in range(how_many)], initial=since)
    next(times)
    return list(times)
