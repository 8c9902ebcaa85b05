"""Throughput and p99 of a long run step by step, from histories that come in slices, in room that does not grow."""

import math

import numpy as np

from lab.bench.tally import column
from lab.client.history import History, Kind, Outcome

STEPS_MAX = 4_000
STEP_S = 10.0
STEPS_LEAST = 6  # a short run has shorter steps
OCTAVE = 32  # bins of the latency histogram: 2.2 % wide
BINS = 40 * OCTAVE


def step_s(seconds: float) -> float:
    """How long a step of a run of that length is: whole seconds, 10 unless it is short or very long."""
    return max(1.0, min(STEP_S, seconds // STEPS_LEAST), math.ceil(seconds / STEPS_MAX))


class PaceSeries:
    """Acknowledged writes by when their reply came."""

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.step_s = step_s((end_ns - start_ns) / 1e9)
        self._start_ns, self._step_ns = start_ns, int(self.step_s * 1e9)
        self._steps = int((end_ns - start_ns) // self._step_ns)  # whole ones
        self._counts = np.zeros((self._steps, BINS), np.int32)

    def take(self, history: History) -> None:
        done = column(history, "done_ns")
        step = (done - self._start_ns) // self._step_ns
        rows = np.flatnonzero(
            (column(history, "kind") == Kind.WRITE) & (column(history, "outcome") == Outcome.ACKNOWLEDGED)
            & (done >= self._start_ns) & (step < self._steps)
        )  # fmt: skip
        latency = np.maximum(1, (done - column(history, "sent_ns"))[rows])
        bins = np.minimum((np.log2(latency) * OCTAVE).astype(np.int64), BINS - 1)
        np.add.at(self._counts, (step[rows], bins), 1)

    def writes_per_s(self) -> list[float]:
        return [float(total) / self.step_s for total in self._counts.sum(axis=1)]

    def p99_us(self) -> list[float | None]:
        """Upper end of the bin; None for a step without writes."""
        found: list[float | None] = []
        for counts in self._counts:
            total = int(counts.sum())
            place = int(np.searchsorted(np.cumsum(counts), math.ceil(0.99 * total))) if total else 0
            found.append(2 ** ((place + 1) / OCTAVE) / 1e3 if total else None)
        return found
