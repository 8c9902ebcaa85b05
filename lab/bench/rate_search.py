"""Looking for the highest rate that holds, where one and the same rate may hold in one window and not in the next.

Pure: told what happened at a rate, it says which rate to try next.  The rate is doubled (or halved) until one held and
one did not.  After that windows ask by turns a little below and a little above where the limit seems to be (always at
it would say nothing about its blur), and an answer counts for what it is worth: that a window holds is taken to have
the probability 1 / (1 + (rate / limit)^(1 / s)) but for a lapse, with the limit and its blur s both unknown (the psi
method of psychophysics, Kontsevich and Tyler 1999).  The limit is therefore the rate that holds in half of the windows;
its interval is the middle 95 % of what the answers leave possible.
"""

import numpy as np
from numpy.typing import NDArray

METHOD = (
    "doubling, then windows at the quartiles of the posterior of a logistic limit with unknown blur; the limit holds "
    "in half of the windows, the interval has 95 % of the posterior"
)
STEP = 0.005  # of the rates that are told apart
BLURS = (0.01, 0.02, 0.04, 0.08, 0.16)  # of the limit, relative: from one window to the next
LAPSE = 0.02  # of all answers have nothing to do with the rate
CREDIBLE = 0.95
NARROW = 1.05  # an interval whose ends differ by less is good enough
ASKED_AT = (0.25, 0.75)  # of the posterior, by turns
REFINED_LEAST = 8  # windows after the doubling, before it may be

Floats = NDArray[np.float64]


class RateSearch:
    """`next_rate` until it is None, with `add` for each."""

    def __init__(self, first: float, least: float, most: float) -> None:
        """Begins at `first`; no rate outside of `least` to `most` is tried."""
        assert least <= first <= most, (least, first, most)
        self._first, self._least, self._most = first, least, most
        self._held: list[float] = []
        self._missed: list[float] = []
        self._refined = 0
        low, high = np.log(least / 2), np.log(most * 2)
        self._limits: Floats = np.linspace(low, high, int((high - low) / STEP) + 2)
        self._weights: Floats = np.ones((len(BLURS), len(self._limits)))

    def add(self, rate: float, *, held: bool) -> None:
        if self.is_bracketed:
            self._refined += 1
        (self._held if held else self._missed).append(rate)
        blurs = np.array(BLURS)[:, None]
        above = (self._limits[None, :] - np.log(rate)) / blurs
        probability = LAPSE + (1 - 2 * LAPSE) / (1 + np.exp(-np.clip(above, -500, 500)))
        self._weights *= probability if held else 1 - probability
        self._weights /= self._weights.sum()

    @property
    def is_bracketed(self) -> bool:
        return bool(self._held and self._missed)

    def next_rate(self) -> float | None:
        """The rate to try; None once the limit is known well enough, or lies outside of what may be tried."""
        if not self._held and not self._missed:
            return self._first
        if not self.is_bracketed:
            edge = self._most if self._held else self._least
            last = max(self._held) if self._held else min(self._missed)
            if last == edge:
                return None
            return min(self._most, 2 * last) if self._held else max(self._least, last / 2)
        low, high = self.interval
        if self._refined >= REFINED_LEAST and high <= NARROW * low:
            return None
        return self._quantile(ASKED_AT[self._refined % 2])

    @property
    def limit(self) -> float:
        return self._quantile(0.5)

    @property
    def interval(self) -> tuple[float, float]:
        return self._quantile((1 - CREDIBLE) / 2), self._quantile((1 + CREDIBLE) / 2)

    def _quantile(self, share: float) -> float:
        reached = np.cumsum(self._weights.sum(axis=0))
        place = np.searchsorted(reached, share * reached[-1])
        return float(np.exp(self._limits[place]))
