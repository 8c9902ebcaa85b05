"""A record in a few readable lines."""

import statistics
from collections.abc import Sequence

from lab.bench.record import PHASES, Anatomy, FailoverRecord, OpenLoop, Percentiles, Record, Settings, TrialRecord
from lab.bench.record_long import SoakRecord, TortureRecord
from lab.networks import NONE


def summary(record: Record) -> str:
    return "\n".join(_trial(record) if isinstance(record, TrialRecord) else _failover(record))


def _trial(record: TrialRecord) -> list[str]:
    settings = record.settings
    lines = [
        *([record.target_version] if record.target_version else []),
        f"{_ensemble(settings)}: {_loop(settings)}, {settings.reads:.0%} reads, at {settings.attach}",
        f"  {record.ops_per_s:,.0f} operations/s over {record.seconds:.2f} s "
        f"({record.reads_per_s:,.0f} reads/s, {record.writes_per_s:,.0f} writes/s)",
    ]
    for kind, use in sorted(record.latency_us.items()):
        lines.append(
            f"  {kind:5} latency us: p50 {use.p50:,.0f}  p90 {use.p90:,.0f}  p99 {use.p99:,.0f}  "
            f"p99.9 {use.p999:,.0f}  max {use.max:,.0f}"
        )
    sites = record.sites if len(set(record.sites.values())) > 1 else {}
    for server in record.servers:
        site = sites.get(f"server {server.id}", "")
        throttled = f", throttled {server.throttled_s:.2f} s" if server.throttled_s else ""
        lines.append(
            f"  server {server.id} {server.role:9} cpu {server.cpu_s:.2f} s, sent {server.bytes_sent / 1e6:,.1f} MB, "
            f"rss {server.rss_mb:.0f} MB{throttled}{f', at {site}' if site else ''}"
        )
    where = sorted({site for process, site in sites.items() if process.startswith("client")})
    lines.append(f"  clients cpu {record.client_cpu_s:.2f} s{' at ' if where else ''}{', '.join(where)}")
    lines += _hosts(record)
    if record.cpus:
        lines.append("  " + ", ".join(f"{name} on CPU {_cpus(held)}" for name, held in record.cpus.items()))
    if record.anatomy is not None:
        lines += _anatomy(record.anatomy)
    if settings.cpu_share is not None:
        given = f"{settings.cpu_share:g} of a CPU for each server ({record.budget})"
        missing = "WITHOUT the CPU budget asked for: none can be set here"
        lines.append(f"  {missing if record.budget == 'none' else given}")
    if record.open_loop is not None:
        lines += [f"  {line}" for line in open_loop_lines(record.open_loop, record.ops_per_s)]
    if record.client_limited:
        lines.append("  the load processes were the limit: this is not the servers' capacity")
    if record.errors or record.unknown:
        lines.append(f"  {record.errors} errors, {record.unknown} operations whose outcome nobody knows")
    return [*lines, *_verdict(record)]


def _anatomy(anatomy: Anatomy) -> list[str]:
    """Where the time of sampled writes went, the longest hop first."""
    lines = []
    for band, total in (("median", anatomy.median_us), ("slowest", anatomy.slowest_us)):
        if anatomy.samples:
            hops = sorted(((getattr(times, band), hop) for hop, times in anatomy.hops.items()), reverse=True)
            parts = ", ".join(f"{hop} {us:,.0f}" for us, hop in hops if round(us))
            name = "around the median" if band == "median" else "slowest 1 %"
            lines.append(f"  {name}: {total:,.0f} us: {parts}")
    closers = ", ".join(f"{who} {count:,}" for who, count in anatomy.closers.items())
    lines.append(f"  {anatomy.samples:,} sampled writes followed; quorum closed by server: {closers or 'nobody'}")
    lost = {"of unknown way": anatomy.incomplete, "out of order": anatomy.disordered, "markers": anatomy.dropped}
    if any(lost.values()):
        lines.append("  left out: " + ", ".join(f"{count:,} {what}" for what, count in lost.items() if count))
    return lines


def _cpus(held: Sequence[int]) -> str:
    return " or ".join(map(str, held))


def _failover(record: FailoverRecord) -> list[str]:
    lines = [
        *([record.target_version] if record.target_version else []),
        f"{_ensemble(record.settings)}: {len(record.outage_ms)} x {record.settings.fault} of the leader",
    ]
    rows = {"outage": record.outage_ms}
    rows |= {phase: record.phases_ms[phase] for phase in PHASES if phase in record.phases_ms}
    if record.observer_rejoin_ms:
        rows["observers rejoin"] = record.observer_rejoin_ms
    for name, values in rows.items():
        middle = statistics.median(values)
        lines.append(f"  {name:16} ms: median {middle:8.1f}  least {min(values):8.1f}  most {max(values):8.1f}")
    lines += _hosts(record)
    lines.append(f"  {record.acknowledged:,} writes acknowledged, {record.unknown} whose outcome nobody knows")
    return [*lines, *_verdict(record)]


def _hosts(record: Record) -> list[str]:
    """Who ran where, and how exactly times of different machines compare."""
    if not record.hosts:
        return []
    doubt_ms = max(part.clock_doubt_ns for part in record.hosts.values()) / 1e6
    where = "; ".join(f"{name}: {', '.join(part.runs)}" for name, part in record.hosts.items())
    return [f"  on {where}", f"  times of different hosts compare to {doubt_ms:.2f} ms"]


def torture_summary(record: TortureRecord) -> str:
    return "\n".join(torture_lines(record))


def torture_lines(record: TortureRecord) -> list[str]:
    settings, faults = record.settings, sum(record.faults.values())
    pace = "" if settings.rate is None else f", at most {settings.rate:,.0f} operations/s"
    by_kind = ", ".join(f"{count} x {kind}" for kind, count in sorted(record.faults.items(), key=lambda item: -item[1]))
    lost = "nobody could look for lost ones" if record.lost is None else f"{record.lost:,} lost"
    lines = [
        f"torture, seed {settings.seed}: {_ensemble(settings)}; {_loop_of(settings)}, {settings.reads:.0%} reads{pace}",
        f"  {faults} faults in {record.seconds:.1f} s: {by_kind}",
        f"  {record.leader_crashes} leaders crashed, {max(0, len(record.reigns) - 1)} changes of leader, "
        f"at most {record.silence_s:.1f} s without an acknowledged write",
        f"  {record.acknowledged:,} writes acknowledged, {lost}, {record.unknown:,} whose outcome nobody knows; "
        f"{record.reads:,} reads; {record.clients} clients",
    ]
    if record.out_of_room:
        lines.append(f"  {record.out_of_room} servers ended of a full disk, as they must ({record.disk_full_by})")
    if not record.disk_full_by:
        lines.append("  no disk was filled: there is no way to do that here")
    return [*lines, *_verdict(record)]


def soak_summary(record: SoakRecord) -> str:
    settings = record.settings
    lost = "nobody could look for lost ones" if record.lost is None else f"{record.lost:,} lost"
    early = ", interrupted" if record.interrupted else ""
    lines = [
        f"soak: {_ensemble(settings)}; {_loop_of(settings)}, at most {settings.rate:,.0f} writes/s, "
        f"a snapshot every {settings.snap_count:,} writes",
        f"  {record.seconds:,.0f} s{early}; {record.acknowledged:,} writes acknowledged, {lost}, "
        f"{record.unknown:,} whose outcome nobody knows",
        f"  growth per hour after the first {record.settle_s:,.0f} s (95 % interval; bound):",
    ]
    for found in record.growth:
        name = f"{found.process:9} {found.what:13}"
        if found.per_hour is None:
            lines.append(f"    {name} {found.verdict}")
            continue
        lines.append(
            f"    {name} {found.level:9,.1f} {found.unit:2} {found.per_hour:+8.2f} "
            f"({found.low:+.2f} to {found.high:+.2f}; {found.bound:.2f})  {found.verdict}"
        )
    return "\n".join([*lines, *_verdict(record)])


def _loop_of(settings: Settings) -> str:
    return f"{settings.clients} clients x {settings.outstanding} outstanding"


def _ensemble(settings: Settings) -> str:
    relays = f" behind {settings.relays} relay{'s' if settings.relays > 1 else ''}" if settings.relays else ""
    ensemble = f"{settings.voters} voters + {settings.observers} observers{relays}"
    return f"{ensemble}, {settings.transport}{_network(settings)}, {settings.durability}"


def _network(settings: Settings) -> str:
    if settings.network != NONE:
        return f", network {settings.network}"
    loss = f", {settings.loss:.3g} of datagrams lost" if settings.loss else ""
    return f"{loss}, {settings.delay_ms:g} ms each way" if settings.delay_ms else loss


def _loop(settings: Settings) -> str:
    if settings.rate is None:
        return f"{settings.clients} x {settings.outstanding} outstanding"
    clients = f"{settings.clients} client{'s' if settings.clients > 1 else ''}"
    return f"open loop, {settings.arrivals} arrivals of {settings.rate:,.6g}/s from {clients}"


def _verdict(record: Record | TortureRecord | SoakRecord) -> list[str]:
    checks = record.checks
    checked = f"{checks.writes:,} writes, {checks.reads:,} of {checks.reads_total:,} reads, {checks.replicas} replicas"
    if record.verified:
        return [f"  verified: {checked}"]
    return [f"  NOT VERIFIED: {checked}", *(f"    {finding}" for finding in checks.findings)]


def open_loop_lines(record: OpenLoop, achieved_per_s: float) -> list[str]:
    """What a reader of these latencies must know; lines."""
    lag = "nothing was sent" if record.lag_us is None else _lag_text(record.lag_us)
    lines = [
        f"offered {record.offered_per_s:,.0f}/s, achieved {achieved_per_s:,.0f}/s, "
        f"{record.backlog:,} unanswered at the window's end; {lag}"
    ]
    if not record.reached:
        lines.append("the rate asked for was not reached: these latencies are those of a growing backlog")
    if record.caught_up:
        lines.append("a backlog from before the window was worked off: these latencies are those of its wait")
    if record.held:
        lines.append(f"{record.held:,} operations had to wait for others in flight, or for a server")
    if record.generator_late:
        lines.append(
            "the load generator was late: more than half of the slowest latencies is its own, not the servers'"
        )
    return lines


def _lag_text(lag: Percentiles) -> str:
    return f"sent late by p50 {lag.p50:,.0f}  p99 {lag.p99:,.0f}  max {lag.max:,.0f} us"
