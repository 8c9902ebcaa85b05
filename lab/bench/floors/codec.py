"""msgspec: CPU time to encode and to decode one request, alone and in a batch of 256."""

import time
from collections.abc import Callable, Iterator

from lab.bench.floors.shapes import batch_bytes, requests
from lab.bench.probe import Probe, Where
from lab.service.requests import decode_requests, encode_frame

BATCHES = (1, 256)
OPERATIONS = 4096  # behind one sample
SAMPLES = 30


def measure(where: Where, samples: int = SAMPLES) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    for count in BATCHES:
        batch, data = requests(count), batch_bytes(count)
        for name, run in (("encode", lambda: encode_frame(batch)), ("decode", lambda: decode_requests(data))):  # noqa: B023
            _per_operation_us(run, count)
            found = [_per_operation_us(run, count) for _ in range(samples)]
            yield Probe(name=f"floor/codec/{name}/{count}", unit="µs", samples=found)


def _per_operation_us(run: Callable[[], object], count: int) -> float:
    loops = max(1, OPERATIONS // count)
    began = time.process_time_ns()
    for _ in range(loops):
        run()
    return (time.process_time_ns() - began) / 1e3 / (loops * count)
