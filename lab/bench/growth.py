"""Whether a series grows: its slope per hour once things have settled, with an interval, against a stated bound.

The slope is Theil and Sen's, the median of those between any two points, and the points are medians over equal
stretches of time: what rises and falls again within a stretch (a log until it is purged, a snapshot being written)
does not tilt it, and the 95 % interval is of points that know little of each other.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from lab.bench.record_long import Growth, Track

Floats = NDArray[np.float64]

SETTLE_S = (
    600.0  # at most, and at most SETTLE_SHARE of the run: rings are touched, caches fill, logs begin to be purged
)
SETTLE_SHARE = 1 / 6
STRETCHES = 30
STRETCHES_LEAST = 5
SPAN_LEAST_S = 600.0  # what is shorter says nothing about an hour
LEVEL = 0.95

# What is judged: unit, and the growth per hour that is called none (absolute, and as a share of the level).
#
# Pages of links and files count to a process once it touched them, so its rss settles later than its heap.  How much
# log three snapshots keep is drawn anew with each of them, within a third of the level; a log that is not purged grows
# by thirty times its level in an hour of 2,000 writes/s.
BOUNDS: dict[str, tuple[str, float, float]] = {
    "anonymous_mb": ("MB", 1.0, 0.02),
    "rss_mb": ("MB", 2.0, 0.05),
    "log_mb": ("MB", 1.0, 0.5),
    "snapshots_mb": ("MB", 1.0, 0.5),
    "fds": ("", 0.5, 0.0),
    "threads": ("", 0.5, 0.0),
}


def settle_s(seconds: float) -> float:
    """How much of a run's beginning is left out."""
    return min(SETTLE_S, seconds * SETTLE_SHARE)


def growths(at_s: Sequence[float], tracks: Sequence[Track], seconds: float) -> list[Growth]:
    """One for each process and thing that is judged."""
    return [
        growth(track.process, what, at_s, track.series[what], seconds)
        for track in tracks
        for what in BOUNDS
        if what in track.series
    ]


def growth(process: str, what: str, at_s: Sequence[float], values: Sequence[float | None], seconds: float) -> Growth:
    unit, absolute, share = BOUNDS[what]
    begin = settle_s(seconds)
    times, medians = stretches(at_s, values, begin)
    level = float(np.median(medians)) if len(medians) else None
    bound = max(absolute, share * (level or 0.0))
    span_s = max(0.0, at_s[-1] - begin) if at_s else 0.0
    if len(medians) < STRETCHES_LEAST:
        return Growth(process, what, unit, level, None, None, None, bound, len(medians), span_s, "too short")
    slope, _, low, high = (float(value) for value in theilslopes(medians, times / 3600.0, LEVEL))
    return Growth(process, what, unit, level, slope, low, high, bound, len(medians), span_s,
                  _verdict(low, high, bound, span_s))  # fmt: skip


def stretches(at_s: Sequence[float], values: Sequence[float | None], begin_s: float) -> tuple[Floats, Floats]:
    """(middle, median) of each of STRETCHES equal parts of what comes after `begin_s`; empty parts are left out."""
    times, series = np.asarray(at_s, float), np.asarray(values, float)
    kept = (times >= begin_s) & np.isfinite(series)
    times, series = times[kept], series[kept]
    if not len(times):
        return times, series
    part = np.minimum(((times - begin_s) / max(times[-1] - begin_s, 1e-9) * STRETCHES).astype(int), STRETCHES - 1)
    found = [(times[part == i].mean(), np.median(series[part == i])) for i in np.unique(part)]
    return np.array([t for t, _ in found]), np.array([m for _, m in found])


def _verdict(low: float, high: float, bound: float, span_s: float) -> str:
    """An interval that lies above the bound shows growth; one that ends below it shows that there is none."""
    if span_s < SPAN_LEAST_S:
        return "too short"
    return "grows" if low > bound else "steady" if high <= bound else "undecided"
