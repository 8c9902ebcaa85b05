"""The ring: from one process to another in frames as large as a batch of 256 writes, and a byte there and back."""

import itertools
from collections.abc import Iterator, Sequence

from lab.bench.floors.light import MIB, STALLED_S, TRIPS, WINDOWS, cycle_of, poured, there_and_back
from lab.bench.floors.pair import End, apart, pair, placements
from lab.bench.floors.shapes import batch_bytes
from lab.bench.probe import Probe, Where
from lab.transport.waiter import Wait


def measure(where: Where, windows: int = WINDOWS, trips: int = TRIPS) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    """A sample is the rate of one window.  On two cores where there are two: there the cache lines have to travel."""
    poured_ = _poured(windows)
    place = "other-core" if "other-core" in placements() else "same-core"
    yield Probe(
        name=f"floor/ring/{place}", unit="MB/s", samples=[rate * MIB / 1e6 for rate in poured_.samples],
        facts=poured_.facts, findings=poured_.findings,
    )  # fmt: skip
    yield poured_
    for name, wait in (("trip-asleep", Wait.BLOCKING), ("trip-awake", Wait.ADAPTIVE)):
        with pair(_echo, apart(), wait) as end:
            yield there_and_back(f"ring/{name}", lambda: _trip(end), trips)


def _poured(windows: int) -> Probe:
    frames = cycle_of(len(batch_bytes(256)))
    with pair(lambda end: _pour(end, frames), apart(), Wait.ADAPTIVE) as end:
        facts = {"frame_bytes": float(len(frames[0]))}
        return poured("ring", lambda: _await_frames(end), frames, end.partner, windows, facts)


def _await_frames(end: End) -> Sequence[bytes]:
    """What has arrived; nothing if nothing comes for a while."""
    channel = end.channel
    frames = channel.receive()
    for _ in range(int(STALLED_S / 0.25)):
        if frames:
            break
        end.waiter.wait(250.0, channel.has_input)
        frames = channel.receive()
    return frames


def _pour(end: End, frames: Sequence[bytes]) -> None:
    for frame in itertools.cycle(frames):
        while end.channel.wants_flush():
            end.waiter.wait(250.0, end.channel.has_input)
            end.channel.flush()
        end.channel.send(frame)
        end.channel.flush()


def _trip(end: End) -> None:
    end.channel.send(b"x")
    end.channel.flush()
    if not _await_frames(end):
        raise TimeoutError(f"nothing came for {STALLED_S} s")


def _echo(end: End) -> None:
    while True:
        for frame in _await_frames(end):
            end.channel.send(frame)
        end.channel.flush()
