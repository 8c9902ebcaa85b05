"""A target and a load that do nothing but remember, and records as a measurement would leave them."""

import base64
import os
from pathlib import Path
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from lab.bench.record import (
    PHASES,
    Checks,
    FailoverRecord,
    Machine,
    Percentiles,
    PyperfLink,
    ServerUse,
    Settings,
    TrialRecord,
)

MACHINE = Machine(
    id="abc", cpu="some cpu", cores=2, memory_gb=8.0, kernel="Linux", python="CPython 3.11", filesystem="ext4 on vda",
    governor="unknown", cgroup="none", load_1m=0.1, versions={"lab": "0"},
)  # fmt: skip
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}  # of processes that run the code under test


def a_histogram(*values_ns: int) -> str:
    histogram = HdrHistogram(1, 60_000_000_000, 3)
    for value in values_ns:
        histogram.record_value(value)
    encoded = histogram.encode()
    assert base64.b64decode(encoded)
    return str(encoded.decode())


def a_trial(**changes: Any) -> TrialRecord:
    settings = changes.get("settings", Settings())
    record = TrialRecord(
        suite="write-latency", target=settings.target, voters=settings.voters, observers=settings.observers,
        verified=True, checks=Checks(writes=100, reads=0, reads_total=0, replicas=settings.voters + settings.observers),
        settings=settings, started_at="2026-01-02T03:04:05.678Z", seconds=2.0, ops_per_s=50.0, reads_per_s=0.0,
        writes_per_s=50.0, reads=0, writes=100, errors=0, unknown=0,
        latency_us={"write": Percentiles(p50=1.0, p90=2.0, p99=3.0, p999=4.0, max=5.0, mean=1.5, count=100)},
        histogram={"write": a_histogram(1000, 2000, 5000)}, series={"write": [5] * 20},
        servers=[ServerUse(id=1, role="leader", cpu_s=0.5, bytes_sent=10_000, rss_mb=30.0)],
        client_cpu_s=0.4, client_lag_us=0.0, client_limited=False, machine=MACHINE,
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def a_failover(**changes: Any) -> FailoverRecord:
    settings = changes.get("settings", Settings(fault="crash", repeats=3, outstanding=1))
    outages = changes.pop("outage_ms", [60.0, 66.0, 72.0][: settings.repeats])
    record = FailoverRecord(
        target=settings.target, voters=settings.voters, observers=settings.observers, verified=True,
        checks=Checks(writes=9, reads=0, reads_total=0, replicas=settings.voters), settings=settings,
        started_at="2026-01-02T03:04:05.678Z", outage_ms=outages,
        phases_ms={phase: [outage / len(PHASES) for outage in outages] for phase in PHASES},
        observer_rejoin_ms=[], acknowledged=9, unknown=1, machine=MACHINE,
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def measured(settings: Settings, suite: str, link: PyperfLink | None) -> TrialRecord | FailoverRecord:
    """What a measurement of these settings leaves; seed 13 is unlucky."""
    verified = settings.seed != 13
    if settings.fault is not None:
        outages = [50.0 + number for number in range(settings.repeats)]
        return a_failover(settings=settings, pyperf=link, verified=verified, outage_ms=outages)
    return a_trial(settings=settings, suite=suite, pyperf=link, verified=verified)
