"""The one-way doorbell hop: from ringing a process that sleeps until it runs.  Half of a there and back.

Beside it what is left of a hop when both look again before they sleep, as servers do by default.
"""

import time
from collections.abc import Iterator

from lab.bench.floors.pair import End, pair, placements
from lab.bench.probe import Probe, Where
from lab.transport.waiter import Wait

HOPS, WARM_UP = 1000, 100
SLEEP_MS = 200.0


def measure(where: Where, hops: int = HOPS) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    """Placement is a factor: waking a process on another core costs up to ten times what it costs on the same one."""
    for kind, wait in (("hop", Wait.BLOCKING), ("hop-awake", Wait.ADAPTIVE)):
        for name, cpus in placements().items():
            with pair(_echo, cpus, wait) as end:
                for _ in range(WARM_UP):
                    _there_and_back(end)
                samples = [_there_and_back(end) / 2e3 for _ in range(hops)]
            yield Probe(name=f"floor/{kind}/{name}", unit="µs", samples=samples)


def _there_and_back(end: End) -> int:
    began = time.perf_counter_ns()
    end.other.announce()
    _await(end)
    return time.perf_counter_ns() - began


def _echo(end: End) -> None:
    while True:
        _await(end)
        end.other.announce()


def _await(end: End) -> None:
    while not end.own.take_news():
        end.waiter.wait(SLEEP_MS, end.own.has_news)
