"""The ring: bytes/s from one process to another, in frames as large as a batch of 256 writes."""

import time
from collections.abc import Iterator

from lab.bench.floors.pair import End, pair, placements
from lab.bench.floors.shapes import batch_bytes
from lab.bench.probe import Probe, Where
from lab.transport.waiter import Wait

WINDOW_S = 0.03
WINDOWS = 20


def measure(where: Where, windows: int = WINDOWS) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    """A sample is the rate of one window.  On two cores where there are two: there the cache lines have to travel."""
    cpus = placements()
    name = "other-core" if "other-core" in cpus else "same-core"
    frame = batch_bytes(256)
    with pair(lambda end: _pour(end, frame), cpus[name], Wait.ADAPTIVE) as end:
        _drain(end, WINDOW_S)
        samples = [_drain(end, WINDOW_S) / 1e6 for _ in range(windows)]
    yield Probe(name=f"floor/ring/{name}", unit="MB/s", samples=samples, facts={"frame_bytes": float(len(frame))})


def _drain(end: End, seconds: float) -> float:
    """Bytes/s received for so long."""
    began = time.perf_counter()
    received = 0
    while (now := time.perf_counter()) < began + seconds:
        frames = end.channel.receive()
        if frames:
            received += sum(map(len, frames))
        else:
            end.waiter.wait(1e3 * seconds, end.channel.has_input)
    return received / (now - began)


def _pour(end: End, frame: bytes) -> None:
    while True:
        if end.channel.wants_flush():
            end.waiter.wait(250.0, end.channel.has_input)
        else:
            end.channel.send(frame)
        end.channel.flush()
