"""One trial: bring a target up, load it, measure a window, verify what happened, tear everything down (DESIGN 4)."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lab.bench.anatomy import EVERY, dissect
from lab.bench.latency import encode_histogram, percentiles, series
from lab.bench.limits import check_settings, workload_of_settings
from lab.bench.load_protocol import Load, MakeLoad, Window
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.networks import layout_of_settings, sites_of
from lab.bench.open_loop import open_loop
from lab.bench.placement import Placed, available_cpus, check_placement
from lab.bench.progress import Reporter, Silent
from lab.bench.record import Anatomy, Checks, OpenLoop, PyperfLink, Settings, TrialRecord
from lab.bench.results import now_text
from lab.bench.tally import Nanoseconds, common_digest, completed, network_stats, outcomes, unknown_writes, used
from lab.bench.trace_file import check_writable, write_trace
from lab.client.history import History, Kind, Outcome, ReplicaState
from lab.networks import Layout
from lab.targets.hops import HopMarks, Marking
from lab.targets.target import Connector, ServerInfo, Target, TargetError, Usage
from workloads import Verdict

CLIENT_LIMIT = 0.9  # of a CPU: a load process above it may be what was measured
NO_BUDGET = "no CPU budget can be set here (`python -m lab doctor` says why), so measured without one"
DEFAULT_DATA_DIR = Path("/var/tmp")
SILENT = Silent()

L = TypeVar("L", bound=Load)


def trial(
    settings: Settings,
    *,
    suite: str = "trial",
    data_dir: Path | None = None,
    link: PyperfLink | None = None,
    trace: Path | None = None,
    shown: Reporter = SILENT,
) -> TrialRecord:
    """Measure `settings` on a fresh target; the record says whether it was verified.

    `trace`: write sampled writes there, for a trace viewer; only with `settings.anatomy`.
    """
    from lab.bench.systems import LoadMaker, make_target

    check_settings(settings)
    target = make_target(settings, data_dir)
    return run_trial(
        settings,
        target,
        LoadMaker(settings, target),
        suite=suite,
        data_dir=data_dir,
        link=link,
        trace=trace,
        shown=shown,
    )


def run_trial(
    settings: Settings,
    target: Target,
    make_load: MakeLoad,
    *,
    suite: str = "trial",
    data_dir: Path | None = None,
    link: PyperfLink | None = None,
    trace: Path | None = None,
    shown: Reporter = SILENT,
) -> TrialRecord:
    """As `trial`, on a target that is handed in and not started yet; it is stopped when this returns or raises."""
    check_placement(settings, len(available_cpus()))
    _marking(settings, target)
    if trace is not None:
        check_writable(trace)
    machine = describe_machine(data_dir or DEFAULT_DATA_DIR)  # before the load: its load average is about others
    commit, dirty = describe_commit()
    shown.doing("starting", 0.0, settings.warmup + settings.seconds)
    with running(target), loading(target, settings, make_load) as load:
        seen = _observe(settings, target, load, shown)
    verified, checks = verify(settings, seen.histories, seen.replicas)
    anatomy = _dissected(settings, seen, trace)
    return TrialRecord(
        suite=suite,
        target=settings.target,
        target_version=target.version,
        voters=settings.voters,
        observers=settings.observers,
        verified=verified,
        checks=checks,
        settings=settings,
        **_measured(settings, seen),
        anatomy=anatomy,
        sites=sites_of(settings),
        machine=machine,
        commit=commit,
        dirty=dirty,
        pyperf=link,
    )


class _Seen(msgspec.Struct, frozen=True):
    """What a trial leaves once its processes are gone."""

    started_at: str
    budget: str
    cpus: dict[str, list[int]]
    window: Window
    before: list[Usage]
    after: list[Usage]
    roles: dict[int, str]
    histories: list[History]
    asked: tuple[int, int]
    replicas: list[ReplicaState]
    hops: list[HopMarks]  # empty without anatomy


def _observe(settings: Settings, target: Target, load: Load, shown: Reporter) -> _Seen:
    """Warm up, measure under the CPU budget if there is one, and collect what clients and replicas hold."""
    warmup, seconds = settings.warmup, settings.seconds
    budget = "none"
    if settings.cpu_share is not None:
        budget = target.limit_cpu(settings.cpu_share)
        if budget == "none":
            shown.note(f"--cpu-share {settings.cpu_share:g}: {NO_BUDGET}")
    placed = Placed(settings, target, load)
    shown.doing(f"warming up for {warmup:g} s", 0.0, warmup + seconds)
    load.warm(warmup)
    shown.doing(f"measuring for {seconds:g} s", warmup / (warmup + seconds), seconds)
    marking = _marking(settings, target)
    if marking is not None:
        marking.forget_hops()
    started_at, before = now_text(), target.usage()
    window = load.run(seconds)
    after, roles = target.usage(), {server.id: server.role for server in target.servers()}
    hops = [] if marking is None else marking.hops()  # after the usage: to write them down costs the servers CPU
    placed.check(roles)
    cpus = placed.cpus()
    placed.lift()
    if settings.cpu_share is not None:
        target.limit_cpu(None)
    shown.doing("verifying", 1.0, 0.0)
    histories = load.finish()
    replicas = target.replicas(unknown_writes(histories))
    asked = load.asked, load.asked_until_end
    return _Seen(started_at, budget, cpus, window, before, after, roles, histories, asked, replicas, hops)


def _marking(settings: Settings, target: Target) -> Marking | None:
    """The target as one whose servers mark hops; None if nobody asked for them."""
    if not settings.anatomy:
        return None
    if not isinstance(target, Marking):
        raise TargetError(f"--anatomy: the servers of {target.name} mark no hops")
    return target


def _dissected(settings: Settings, seen: _Seen, trace: Path | None) -> Anatomy | None:
    if not settings.anatomy:
        assert trace is None, "nothing was marked that a trace could show"
        return None
    window = seen.window
    ways, anatomy = dissect(seen.histories, seen.hops, seen.roles, EVERY, window.start_ns, window.end_ns)
    if trace is not None:
        write_trace(trace, ways, seen.hops, seen.roles, window.start_ns)
    return anatomy


def _measured(settings: Settings, seen: _Seen) -> dict[str, Any]:
    """The record's fields that say what happened within the window."""
    start_ns, end_ns = seen.window.start_ns, seen.window.end_ns
    seconds = (end_ns - start_ns) / 1e9
    done = completed(seen.histories, start_ns, end_ns)
    reads, writes = (len(done[kind][0]) for kind in (Kind.READ, Kind.WRITE))
    populations = _populations(done, start_ns, end_ns)
    scheduled: OpenLoop | None = None
    if settings.rate is not None:
        cpu_s = seen.window.cpu_s
        latency_us = populations["latency_us"]
        scheduled = open_loop(settings, seen.histories, start_ns, end_ns, *seen.asked, latency_us, cpu_s)
    lag_us = scheduled.lag_us if scheduled is not None else None
    return {
        "started_at": seen.started_at,
        "seconds": seconds,
        "ops_per_s": (reads + writes) / seconds,
        "reads_per_s": reads / seconds,
        "writes_per_s": writes / seconds,
        "reads": reads,
        "writes": writes,
        "errors": outcomes(seen.histories, Outcome.FAILED, start_ns, end_ns),
        "unknown": outcomes(seen.histories, Outcome.UNKNOWN, start_ns, end_ns),
        **populations,
        "servers": used(seen.before, seen.after, seen.roles, end_ns - start_ns),
        "client_cpu_s": seen.window.cpu_s,
        "client_lag_us": 0.0 if lag_us is None else lag_us.p99,
        "open_loop": scheduled,
        "client_limited": _is_limit(seen.window, seconds * settings.clients),
        "budget": seen.budget,
        "cpus": seen.cpus,
        "digest": common_digest(seen.replicas),
        "network_stats": network_stats(seen.before, seen.after),
    }


def _is_limit(window: Window, available_s: float) -> bool:
    """Whether the load processes were busy all the time: looking again while there is nothing to do is not work."""
    return window.cpu_s > CLIENT_LIMIT * available_s and window.waited_s < (1 - CLIENT_LIMIT) * available_s


@contextlib.contextmanager
def running(target: Target) -> Iterator[None]:
    """The target is up inside; it is stopped on every way out, that of a failed start included."""
    try:
        target.start()
        yield
    finally:
        target.stop()


@contextlib.contextmanager
def loading(target: Target, settings: Settings, make_load: Callable[[list[Connector]], L]) -> Iterator[L]:
    """Load processes attached as the settings say, the workload's nodes made; they are ended on every way out."""
    servers, layout = target.servers(), layout_of_settings(settings)
    connectors: list[Connector] = []
    try:
        for client in range(settings.clients):
            to = attached(servers, settings.attach, client, layout, leader_serves=settings.leader_serves)
            connectors.append(target.connector(client, to))
        load = make_load(connectors)
    except BaseException:
        for connector in connectors:  # from here on they are the load's
            for descriptor in connector.fds:
                os.close(descriptor)
        raise
    try:
        load.start()
        load.setup()
        yield load
    except TargetError as error:
        _blame_servers(target, error)
        raise
    finally:
        load.close()


def _blame_servers(target: Target, error: TargetError) -> None:
    """A load process in trouble knows no more than that nobody answers; a target that lost a server says why."""
    try:
        target.servers()
    except TargetError as cause:
        raise cause from error


def attached(
    servers: Sequence[ServerInfo],
    attach: str,
    client: int = 0,
    layout: Layout | None = None,
    *,
    leader_serves: bool = True,
) -> list[int]:
    """The servers that the client gets a session to; `all` are those that serve, of which `nearest` chooses."""
    role = {"leader": "leader", "followers": "follower", "observers": "observer"}.get(attach)
    serving = [server for server in servers if leader_serves or server.role != "leader"]
    chosen = sorted(server.id for server in serving if role in (None, server.role))
    if not chosen:
        found = ", ".join(f"{server.id} {server.role}" for server in servers)
        raise TargetError(f"--attach {attach}: no such server serves (there are {found})")
    if attach == "nearest":
        assert layout is not None, "check_settings asks for a network"
        return layout.nearest(client, chosen)
    return chosen


def verify(settings: Settings, histories: Sequence[History], replicas: Sequence[ReplicaState]) -> tuple[bool, Checks]:
    """Whether clients and replicas tell one story, and how much of it was looked at."""
    verdict = judge(settings, histories, replicas)
    return verdict.ok, checks_of(verdict)


def judge(settings: Settings, histories: Sequence[History], replicas: Sequence[ReplicaState]) -> Verdict:
    workload, params = workload_of_settings(settings)
    histories = [history.in_doubt() for history in histories]
    return workload.check(histories, replicas, seed=settings.seed, params=params, voters=settings.voters)


def checks_of(verdict: Verdict) -> Checks:
    return Checks(
        writes=verdict.writes,
        reads=verdict.reads,
        reads_total=verdict.reads_total,
        replicas=verdict.replicas,
        findings=verdict.findings,
    )


def _populations(done: dict[Kind, tuple[Nanoseconds, Nanoseconds]], start_ns: int, end_ns: int) -> dict[str, Any]:
    """The record's three views of the latencies, for the kinds that occurred."""
    kinds = {kind.name.lower(): columns for kind, columns in done.items() if len(columns[0])}
    return {
        "latency_us": {kind: percentiles(latencies) for kind, (latencies, _) in kinds.items()},
        "histogram": {kind: encode_histogram(latencies) for kind, (latencies, _) in kinds.items()},
        "series": {kind: series(ends, start_ns, end_ns) for kind, (_, ends) in kinds.items()},
    }
