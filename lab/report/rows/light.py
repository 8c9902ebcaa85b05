"""Rows of "speed of light": what each way from one process to another carries, costs and takes, without a server."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from lab.bench.record_probe import ProbeRecord
from lab.report.reading import Run
from lab.report.rows.speed import Rounds, median_of, ratio_of, rounds_of
from lab.report.statistics import Estimate

RING, BARE, RUNS, WINDOW, SEALED = "ring", "bare", "runs", "window", "window-sealed"  # as probes call them
WAYS = {
    RING: "shared-memory ring",
    BARE: "UDP, bare sendto and recvfrom",
    RUNS: "UDP, a run of datagrams a call",
    WINDOW: "reliable link over UDP",
    SEALED: "reliable link over UDP, with tags",
}


class LightRow(msgspec.Struct, frozen=True):
    """Medians of the rounds' medians."""

    way: str  # of WAYS
    datagram_bytes: int | None  # None: of no datagrams
    mib_per_s: float
    low: float | None
    high: float | None
    cpu_us_per_mib: float  # of both processes
    awake_us: float | None  # a byte there and back, both looking again and again; a way's first row has them
    asleep_us: float | None  # both sleeping until it comes
    rounds: int


def light_rows(run: Run) -> list[LightRow]:
    """Probes called `light/WAY[/BYTES]`, with those of round trips beside the first row of a way."""
    by_name = _by_name(run)
    rows: list[LightRow] = []
    for name in _poured(by_name):
        way = _way(name)
        first = all(row.way != way for row in rows)
        rows.append(_row(way, by_name[name], *(_trip(by_name, way, kind) if first else None for kind in _KINDS)))
    return rows


class LightEffect(msgspec.Struct, frozen=True):
    """A way against the one that it is built on, in datagrams of one size: medians of the ratios of the same rounds."""

    way: str  # WINDOW against BARE, SEALED against WINDOW
    datagram_bytes: int
    throughput: Estimate  # as a multiple of the base's; so is the next
    cpu: Estimate  # for a MiB


def light_effects(run: Run) -> list[LightEffect]:
    """What reliability costs, and what tags do, small datagrams first."""
    by_name, found = _by_name(run), []
    for way, base in ((WINDOW, BARE), (SEALED, WINDOW)):
        for name in _poured(by_name):
            size, other = _size(by_name[name]), by_name.get(name.replace(way, base, 1))
            if _way(name) != way or size is None or other is None:
                continue
            throughput, cpu = (
                median_of(ratio_of(value(by_name[name]), value(other))) for value in (_values_by, _costs_by)
            )
            if throughput is not None and cpu is not None:
                found.append(LightEffect(way, size, throughput, cpu))
    return found


def _by_name(run: Run) -> dict[str, list[ProbeRecord]]:
    """Verified probes by what follows `light/`."""
    by_name: dict[str, list[ProbeRecord]] = {}
    for probe in run.probes:
        if probe.verified and probe.probe.startswith("light/"):
            by_name.setdefault(probe.probe.removeprefix("light/"), []).append(probe)
    return by_name


def _poured(by_name: Mapping[str, Sequence[ProbeRecord]]) -> list[str]:
    """Those that carried as much as they could, in the order of WAYS, small datagrams first."""
    ways = list(WAYS)
    poured = [name for name, here in by_name.items() if here[0].unit == "MiB/s" and _way(name) in WAYS]
    return sorted(poured, key=lambda name: (ways.index(_way(name)), _size(by_name[name]) or 0))


def _values_by(here: Sequence[ProbeRecord]) -> Rounds:
    return rounds_of(here, lambda one: one.round, lambda one: one.value)


def _costs_by(here: Sequence[ProbeRecord]) -> Rounds:
    return rounds_of(here, lambda one: one.round, lambda one: one.facts.get("cpu_us_per_mib", 0.0))


class FloodRow(msgspec.Struct, frozen=True):
    """Strangers at a port: what their datagrams cost, and what a flood of them does to writes; medians of rounds."""

    foreign_us: float | None  # CPU to read and drop one that is for none of the port's links
    forged_us: float | None  # one with a forged tag
    datagrams: int | None  # of the flood at the leader's port; None: there was none
    sent_per_s: float
    read: float  # by the leader
    writes_per_s: float
    writes_per_s_beside: float  # while the same flood went to a port that nobody reads
    rounds: int


def flood_row(run: Run) -> FloodRow | None:
    """Nothing if no such thing was measured."""
    by_name: dict[str, list[ProbeRecord]] = {}
    for probe in run.probes:
        if probe.verified:
            by_name.setdefault(probe.probe, []).append(probe)
    foreign, forged = (_median(by_name.get(f"light/{name}", [])) for name in ("foreign", "forged"))
    floods = by_name.get("flood/leader", [])
    if foreign is None and forged is None and not floods:
        return None

    def fact(name: str) -> float:
        return float(np.median([probe.facts.get(name, 0.0) for probe in floods])) if floods else 0.0

    return FloodRow(
        foreign, forged, int(fact("datagrams")) if floods else None, fact("sent_per_s"), fact("read"),
        fact("writes_per_s_under"), fact("writes_per_s_beside"), len(floods),
    )  # fmt: skip


def _median(probes: Sequence[ProbeRecord]) -> float | None:
    return float(np.median([probe.value for probe in probes])) if probes else None


_KINDS = ("awake", "asleep")


def _row(way: str, here: Sequence[ProbeRecord], awake_us: float | None, asleep_us: float | None) -> LightRow:
    centre = _centre(here)
    cost = float(np.median([probe.facts.get("cpu_us_per_mib", 0.0) for probe in here]))
    return LightRow(
        way, _size(here), centre.value, centre.low, centre.high, cost, awake_us, asleep_us, centre.n
    )  # fmt: skip


def _centre(here: Sequence[ProbeRecord]) -> Estimate:
    centre = median_of(_values_by(here))
    assert centre is not None
    return Estimate(here[0].value, here[0].low, here[0].high, 1) if len(here) == 1 else centre


def _trip(by_name: dict[str, list[ProbeRecord]], way: str, kind: str) -> float | None:
    here = by_name.get(f"{way}/trip-{kind}")
    return _centre(here).value if here else None


def _way(name: str) -> str:
    return name.split("/")[0]


def _size(here: Sequence[ProbeRecord]) -> int | None:
    size = here[0].facts.get("datagram_bytes")
    return None if size is None else int(size)
