"""Large trees: what a znode costs, how long a server takes to start with many of them, what a snapshot does to a load.

    python -m lab.bench.large_tree ZNODES WRITES_PER_S SECONDS        a job of the suite `speed` (`lab.bench.probe`)

One ensemble of three voters is brought up and filled through the service.  Then writes come at a steady rate (open
loop, latency from the intended time), for SECONDS without a snapshot, and while one server after another snapshots its
disk.  At the end every write is verified on every replica, one of which has just come back from its disk.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lab.bench.healthy import PAUSE_S, pass_time
from lab.bench.holdings import anonymous_mb
from lab.bench.latency import percentiles
from lab.bench.limits import SettingsError, check_settings
from lab.bench.open_loop import open_loop
from lab.bench.probe import Probe, Where, quantile, run_job
from lab.bench.record import OpenLoop, Settings
from lab.bench.systems import LoadMaker, make_target
from lab.bench.tally import column, completed, unknown_writes
from lab.bench.trial import judge, loading, running
from lab.client.history import History, Kind
from lab.faults import Crash, Restart
from lab.targets.own import OwnTarget
from lab.targets.target import TargetError

STARTS_EMPTY, STARTS_FULL = 5, 2
WARMUP_S, GAP_S = 0.5, 0.5
SNAPSHOT_TIMEOUT_S = 120.0
START_TIMEOUT_S = 60.0
SYNC_LIMIT_TICKS, INIT_LIMIT_TICKS = 100, 600  # a replica is written out while it serves nobody


class Spell(msgspec.Struct, frozen=True):
    """One server's snapshot under load: when it was asked for, and when it had its name."""

    server: int
    role: str
    start_ns: int
    end_ns: int
    file_bytes: int


class Load(msgspec.Struct, frozen=True):
    """Writes at a steady rate: all there is to say about the moments without and with a snapshot."""

    start_ns: int
    end_ns: int
    spells: list[Spell]
    histories: list[History]


def measure(where: Where, arguments: Sequence[str]) -> Iterator[Probe]:
    """The job: probes of one ensemble, named after the number of znodes."""
    znodes, rate, baseline_s = _numbers(arguments)
    settings = check_settings(
        Settings(
            durability="buffered",
            keys=znodes,
            rate=rate,
            snap_count=0,
            seed=where.round + 1,
            sync_limit_ticks=SYNC_LIMIT_TICKS,
            init_limit_ticks=INIT_LIMIT_TICKS,
        )
    )
    target = make_target(settings, where.data_dir)
    assert isinstance(target, OwnTarget), "whose servers can be asked for snapshots"
    began = time.monotonic()
    with running(target):
        ensemble_ms = (time.monotonic() - began) * 1e3
        empty = [restarted_ms(target) for _ in range(STARTS_EMPTY)]
        before = _heaps(target)
        filling = time.monotonic()
        with loading(target, settings, LoadMaker(settings, target)) as load:
            filled_s = time.monotonic() - filling
            held = [1e6 * (after - before[server]) / znodes for server, after in _heaps(target).items()]
            load.begin()
            seen = _under_load(target, load.finish, baseline_s)
        full = [restarted_ms(target) for _ in range(STARTS_FULL)]
        replicas = target.replicas(unknown_writes(seen.histories))
    findings = judge(settings, seen.histories, replicas).findings
    name = size_text(znodes)
    yield Probe(name="bar/start/empty", unit="ms", samples=empty, facts={"ensemble_ms": ensemble_ms}, findings=findings)
    yield Probe(name=f"bar/start/{name}", unit="ms", samples=full, findings=findings)
    yield Probe(
        name=f"tree/heap/{name}", unit="bytes/znode", samples=held, facts={"filled_s": filled_s}, findings=findings
    )
    sizes = [spell.file_bytes / znodes for spell in seen.spells]
    yield Probe(name=f"tree/snapshot/{name}", unit="bytes/znode", samples=sizes, findings=findings)
    yield effect(f"bar/snapshot/{name}", settings, seen, findings)


def _numbers(arguments: Sequence[str]) -> tuple[int, float, float]:
    try:
        znodes, rate, seconds = arguments
        return int(znodes), float(rate), float(seconds)
    except ValueError:
        found = " ".join(arguments) or "nothing"
        raise SettingsError(f"{found}: allowed: a number of znodes, of writes/s and of seconds") from None


def size_text(znodes: int) -> str:
    """`1m`, `100k`, `500`."""
    for unit, suffix in ((1_000_000, "m"), (1_000, "k")):
        if znodes % unit == 0:
            return f"{znodes // unit}{suffix}"
    return f"{znodes}"


# -- starts


def restarted_ms(target: OwnTarget) -> float:
    """Crash a follower, start it again, and wait until it serves: from the start of its process."""
    follower = next(server.id for server in target.servers() if server.role == "follower")
    target.inject(Crash(follower))
    target.marks()
    start_ns = target.inject(Restart(follower))
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        for mark in target.marks():
            if (mark.server, mark.what, mark.phase) == (follower, "entered", "broadcast"):
                return (mark.at_ns - start_ns) / 1e6
        time.sleep(PAUSE_S)
    raise TargetError(f"server {follower} does not serve {START_TIMEOUT_S:g} s after its start")


def _heaps(target: OwnTarget) -> dict[int, float]:
    """Anonymous memory of each server, MB; the commit log's last transactions are part of it."""
    heaps = {server: anonymous_mb(pid) for server, pid in target.pids().items()}
    if missing := [server for server, heap in heaps.items() if heap is None]:
        raise TargetError(f"the heap of server {missing[0]} cannot be read (it takes /proc/PID/smaps_rollup)")
    return {server: heap for server, heap in heaps.items() if heap is not None}


# -- snapshots under load


def _under_load(target: OwnTarget, finish: Callable[[], list[History]], baseline_s: float) -> Load:
    """Wait while the load goes on; then without snapshots, then with one of each server, the leader's first."""
    pass_time(target, WARMUP_S)
    start_ns, spells = time.monotonic_ns(), []
    pass_time(target, baseline_s)
    for server in sorted(target.servers(), key=lambda server: (server.role != "leader", server.id)):
        spells.append(_snapshot(target, server.id, server.role))
        pass_time(target, GAP_S)
    return Load(start_ns, time.monotonic_ns(), spells, finish())


def _snapshot(target: OwnTarget, server: int, role: str) -> Spell:
    folder = target.data_folders()[server]
    old, start_ns = _snapshots(folder), time.monotonic_ns()
    target.take_snapshot(server)
    deadline = time.monotonic() + SNAPSHOT_TIMEOUT_S
    while time.monotonic() < deadline:
        pass_time(target, PAUSE_S)
        if new := _snapshots(folder) - old:
            return Spell(server, role, start_ns, time.monotonic_ns(), new.pop().stat().st_size)
    raise TargetError(f"server {server} has written no snapshot within {SNAPSHOT_TIMEOUT_S:g} s")


def _snapshots(folder: Path) -> set[Path]:
    """A server's finished snapshots; one that is being written is called otherwise."""
    return {path for path in folder.glob("generation.*/snapshot.*") if path.suffix != ".tmp"}


def effect(name: str, settings: Settings, seen: Load, findings: list[str]) -> Probe:
    """How many times the p99 before any snapshot the p99 during the leader's is: every write waits for the leader.

    The time between and after snapshots is none without: what had piled up during one is worked off there.
    """
    latencies, ends = completed(seen.histories, seen.start_ns, seen.end_ns)[Kind.WRITE]
    leaders = seen.spells[0]
    before = latencies[ends < leaders.start_ns]
    during = [latencies[(ends >= spell.start_ns) & (ends < spell.end_ns)] for spell in seen.spells]
    p99_without, p99_during = _p99_ms(before), [_p99_ms(each) for each in during]
    kept = _scheduled(settings, seen.histories, before, seen.start_ns, leaders.start_ns)
    strained = _scheduled(settings, seen.histories, during[0], leaders.start_ns, leaders.end_ns)
    facts = {
        "writes_per_s": kept.offered_per_s,
        "done_per_s_without": len(before) * 1e9 / (leaders.start_ns - seen.start_ns),
        "p99_without_ms": p99_without,
        "p99_during_leaders_ms": p99_during[0],
        "p99_during_followers_ms": max(p99_during[1:]),
        "max_during_ms": max(float(each.max()) for each in during) / 1e6,
        "seconds_a_snapshot": float(np.mean([(spell.end_ns - spell.start_ns) / 1e9 for spell in seen.spells])),
    }
    samples = [p99_during[0] / p99_without]
    findings = [*findings, *_off_schedule(kept, strained)]
    return Probe(name=name, unit="x p99 without", samples=samples, facts=facts, findings=findings)


def _scheduled(
    settings: Settings, histories: list[History], latencies: NDArray[np.int64], start_ns: int, end_ns: int
) -> OpenLoop:
    """A stretch of the load, judged as the window of an open loop."""
    assert settings.rate is not None
    asked = round(settings.rate * (end_ns - start_ns) / 1e9)
    asked_until_end = sum(int(np.count_nonzero(column(history, "sent_ns") < end_ns)) for history in histories)
    latency_us = {"write": percentiles(latencies)}
    return open_loop(settings, histories, start_ns, end_ns, asked, asked_until_end, latency_us, 0.0)


def _off_schedule(before: OpenLoop, during: OpenLoop) -> Iterator[str]:
    """What makes a ratio of latencies one of something else: of a backlog, or of the generator's own lag."""
    if not before.reached:
        yield f"before the snapshots the {before.offered_per_s:,.0f} writes/s were not kept: its p99 is of a backlog"
    if before.caught_up:
        yield "before the snapshots a backlog from the warm-up was worked off: its p99 is of that"
    for when, loop in (("before the snapshots", before), ("during the leader's snapshot", during)):
        if loop.generator_late:
            lag = "nothing was sent" if loop.lag_us is None else f"by {loop.lag_us.p99 / 1e3:,.2f} ms at p99"
            yield f"the load generator was late {when}: {lag}"


def _p99_ms(latencies_ns: NDArray[np.int64]) -> float:
    if not len(latencies_ns):
        raise TargetError("no write was acknowledged in the time that was to be looked at")
    return quantile(sorted((latencies_ns / 1e6).tolist()), 0.99)


if __name__ == "__main__":
    run_job(measure, "what many znodes cost")
