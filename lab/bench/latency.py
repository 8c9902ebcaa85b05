"""A population of latencies: percentiles, an HdrHistogram, a series of throughput.

All three take two million values in about a tenth of a second: numpy bins, and the histogram records bins.
"""

import math

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from lab.bench.record import Percentiles

HIGHEST_NS = 3_600_000_000_000  # an hour; what is above counts as that
SIGNIFICANT_DIGITS = 3
STEP_NS = 100_000_000  # of the series
_MANTISSA_BITS = 11  # as many leading bits as an HdrHistogram of 3 significant digits keeps

Ints = NDArray[np.int64]


def percentiles(latencies_ns: Ints) -> Percentiles:
    """In microseconds.  Each is a value that occurred: the least that so many per cent do not exceed."""
    assert len(latencies_ns), "a kind without operations has no percentiles"
    shares = (0.5, 0.9, 0.99, 0.999, 1.0)
    ranks = [math.ceil(share * len(latencies_ns)) - 1 for share in shares]
    ordered = np.partition(latencies_ns, sorted(set(ranks)))
    p50, p90, p99, p999, greatest = (float(ordered[rank]) / 1e3 for rank in ranks)
    mean = float(latencies_ns.mean()) / 1e3
    return Percentiles(p50=p50, p90=p90, p99=p99, p999=p999, max=greatest, mean=mean, count=len(latencies_ns))


def encode_histogram(latencies_ns: Ints) -> str:
    """HdrHistogram V2 of nanoseconds, compressed and base64, as `HdrHistogram.decode` takes it."""
    histogram = HdrHistogram(1, HIGHEST_NS, SIGNIFICANT_DIGITS)
    values, counts = np.unique(_rounded(np.clip(latencies_ns, 1, HIGHEST_NS)), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return str(histogram.encode().decode())


def _rounded(values: Ints) -> Ints:
    """Less the bits that the histogram would drop anyway: some thousand distinct values are left."""
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)  # values are below 2**53: exact
    drop = np.maximum(bits - _MANTISSA_BITS, 0)
    rounded: Ints = (values >> drop) << drop
    return rounded


def series(done_ns: Ints, start_ns: int, end_ns: int) -> list[int]:
    """Operations done in each 100 ms from `start_ns`; the last step may be shorter.  `done_ns` lie in the window."""
    steps = -(-(end_ns - start_ns) // STEP_NS)
    return [int(count) for count in np.bincount((done_ns - start_ns) // STEP_NS, minlength=steps)]
