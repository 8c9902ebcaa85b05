"""What processes hold while a soak goes on: memory, descriptors, threads, files; sampled, in bounded room."""

import math
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from lab.bench.record_long import Track

SAMPLES_MAX = 4_000  # of a series; beyond it every second one is dropped, and from then on half as many are taken
PERIOD_S = 1.0


class Place(msgspec.Struct, frozen=True):
    """Where to look: a process, and for a server its data folder and how far it is."""

    name: str
    kind: str  # leader, follower, observer, looking, load or harness
    pid: int
    data: Path | None = None
    applied_zxid: int | None = None


class Samples:
    """`take` whenever `wait_s` is over; `tracks` at the end.  A process that was not there has None instead."""

    def __init__(self, start_ns: int, samples_max: int = SAMPLES_MAX) -> None:
        self.at_s: list[float] = []
        self._start_ns, self._max = start_ns, samples_max
        self._period_s = PERIOD_S
        self._kinds: dict[str, str] = {}
        self._columns: dict[tuple[str, str], array[float]] = {}  # by process and what it holds; NaN: not there

    def wait_s(self, now_ns: int) -> float:
        """How long it is until the next one is due; 0: now."""
        if not self.at_s:
            return 0.0
        return max(0.0, self.at_s[-1] + self._period_s - (now_ns - self._start_ns) / 1e9)

    def take(self, places: Sequence[Place], now_ns: int) -> None:
        """An interrupt may come anywhere in it: a sample is there once it has its time in `at_s`."""
        row = [(place, look(place)) for place in places]
        for place, holds in row:
            self._kinds[place.name] = place.kind
            for what, value in holds.items():
                self._column(place.name, what).append(value)
        self.at_s.append((now_ns - self._start_ns) / 1e9)
        if len(self.at_s) > self._max:
            columns, at_s = {key: self._column(*key)[::2] for key in self._columns}, self.at_s[::2]
            self._columns, self.at_s, self._period_s = columns, at_s, self._period_s * 2

    def _column(self, name: str, what: str) -> "array[float]":
        """As long as there are samples: those that it missed are NaN, and what belongs to none is gone."""
        column = self._columns.setdefault((name, what), array("d"))
        del column[len(self.at_s) :]
        column.extend([math.nan] * (len(self.at_s) - len(column)))
        return column

    def describe(self) -> str:
        """The newest one in a line: the heap of each process."""
        heaps = [
            f"{name} {values[-1]:.1f}" for (name, what), values in self._columns.items()
            if what == "anonymous_mb" and len(values) == len(self.at_s)
        ]  # fmt: skip
        return f"memory in MB: {', '.join(heaps)}"

    def tracks(self) -> list[Track]:
        series: dict[str, dict[str, list[float | None]]] = {name: {} for name in self._kinds}
        for name, what in list(self._columns):
            column = self._column(name, what)
            series[name][what] = [None if math.isnan(value) else value for value in column]
        return [Track(name, kind, series[name]) for name, kind in self._kinds.items()]


def look(place: Place) -> dict[str, float]:
    """What it holds now; nothing of a process that is gone."""
    found: dict[str, float] = {}
    try:
        process = psutil.Process(place.pid)
        with process.oneshot():
            found["rss_mb"] = process.memory_info().rss / 1e6
            found["fds"] = float(process.num_fds())
            found["threads"] = float(process.num_threads())
        anonymous = anonymous_mb(place.pid)
        if anonymous is not None:
            found["anonymous_mb"] = anonymous
    except psutil.Error:
        return {}
    if place.data is not None:
        found |= folder_mb(place.data)
    if place.applied_zxid is not None:
        found["applied_zxid"] = float(place.applied_zxid)
    return found


def anonymous_mb(pid: int) -> float | None:
    """Memory that belongs to no file and no link: the heap.  None where the kernel does not say."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        return None
    return None


def folder_mb(folder: Path) -> dict[str, float]:
    """Room on the disk that a server's log and snapshots take, with what is reserved for them."""
    log = snapshots = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                room = os.stat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # purged meanwhile
            if name.startswith("snapshot"):
                snapshots += room
            else:
                log += room
    return {"log_mb": log / 1e6, "snapshots_mb": snapshots / 1e6}
