"""The process's clock: CLOCK_MONOTONIC, which all processes of one host share."""

from time import monotonic_ns


class MonotonicClock:
    def now_ms(self) -> float:
        return monotonic_ns() / 1e6
