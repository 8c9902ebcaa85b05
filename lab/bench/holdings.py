"""What processes hold while a soak goes on: memory, descriptors, threads, files; sampled, in bounded room."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from lab.bench.record import Track

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
        self._rows: list[dict[str, dict[str, float]]] = []

    def wait_s(self, now_ns: int) -> float:
        """How long it is until the next one is due; 0: now."""
        if not self.at_s:
            return 0.0
        return max(0.0, self.at_s[-1] + self._period_s - (now_ns - self._start_ns) / 1e9)

    def take(self, places: Sequence[Place], now_ns: int) -> None:
        self.at_s.append((now_ns - self._start_ns) / 1e9)
        self._rows.append({place.name: look(place) for place in places})
        self._kinds.update({place.name: place.kind for place in places})
        if len(self.at_s) > self._max:
            self._period_s *= 2
            self.at_s, self._rows = self.at_s[::2], self._rows[::2]

    def describe(self) -> str:
        """The newest one in a line: the heap of each process."""
        heaps = (
            f"{name} {row.get('anonymous_mb', row.get('rss_mb', 0.0)):.1f}" for name, row in self._rows[-1].items()
        )
        return f"memory in MB: {', '.join(heaps)}"

    def tracks(self) -> list[Track]:
        found = []
        for name, kind in self._kinds.items():
            whats = list(dict.fromkeys(what for row in self._rows for what in row.get(name, {})))
            series = {what: [row.get(name, {}).get(what) for row in self._rows] for what in whats}
            found.append(Track(name, kind, series))
        return found


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
