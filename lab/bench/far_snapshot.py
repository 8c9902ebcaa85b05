"""A whole tree to a new observer over links that lose datagrams, while writes go on.

    python -m lab.bench.far_snapshot MIB LOSS DELAY_MS WRITES_PER_S    a job of the suite `network` (`lab.bench.probe`)

An ensemble of three voters over UDP is filled with MIB of znodes.  Then an observer comes that has nothing, and gets
the tree by SNAP, while writes at a steady rate go on; at the end every write is verified on every replica, the
observer's digest against the others'.  On links without loss, beside it, the same is what the loss is held against.
"""

import time
from collections.abc import Iterator, Sequence

import msgspec

from lab.bench.healthy import PAUSE_S, pass_time
from lab.bench.latency import percentiles
from lab.bench.limits import SettingsError, check_settings
from lab.bench.probe import Probe, Where, run_job
from lab.bench.record import Settings
from lab.bench.systems import LoadMaker, make_target
from lab.bench.tally import Nanoseconds, completed, unknown_writes
from lab.bench.trial import judge, loading, running
from lab.client.history import Kind
from lab.faults import Crash, Restart
from lab.targets.own import OwnTarget
from lab.targets.target import TargetError

MIB = 1 << 20
VALUE_BYTES = 10_000
OBSERVER = 4  # voters are 1 to 3
WARMUP_S = 0.5  # of writes that nobody looks at
BASELINE_S = 1.0  # of those before the observer comes
ARRIVE_TIMEOUT_S = 300.0
SYNC_LIMIT_TICKS, INIT_LIMIT_TICKS = 100, 3000  # a replica is written out while it serves nobody


class Arrival(msgspec.Struct, frozen=True):
    """The observer's way to serving: nanoseconds of the monotonic clock."""

    before_ns: int  # writes had gone on since then
    start_ns: int  # its process started
    end_ns: int  # it served


def measure(where: Where, arguments: Sequence[str]) -> Iterator[Probe]:
    """The job: how fast the tree came, and what became of the writes meanwhile."""
    mib, loss, delay_ms, rate = _numbers(arguments)
    settings = check_settings(
        Settings(
            transport="udp", observers=1, durability="buffered", loss=loss, delay_ms=delay_ms, rate=rate,
            keys=max(1, int(mib * MIB / VALUE_BYTES)), value_bytes=VALUE_BYTES, seed=where.round + 1,
            sync_limit_ticks=SYNC_LIMIT_TICKS, init_limit_ticks=INIT_LIMIT_TICKS,
        )
    )  # fmt: skip
    target = make_target(settings, where.data_dir)
    assert isinstance(target, OwnTarget), "whose servers can lose their disk"
    with running(target):
        target.inject(Crash(OBSERVER))
        target.wipe(OBSERVER)
        with loading(target, settings, LoadMaker(settings, target)) as load:
            load.begin()
            before, arrival = _network(target), _observer_arrives(target)
            after = _network(target)
            histories = load.finish()
        replicas = target.replicas(unknown_writes(histories))
    verdict = judge(settings, histories, replicas)
    seconds = (arrival.end_ns - arrival.start_ns) / 1e9
    alone = completed(histories, arrival.before_ns, arrival.start_ns)[Kind.WRITE][0]
    meanwhile = completed(histories, arrival.start_ns, arrival.end_ns)[Kind.WRITE][0]
    findings = list(verdict.findings)
    if not len(meanwhile):
        findings.append("no write was acknowledged while the tree was under way")
    if replicas[-1].server != OBSERVER or len(replicas[-1].nodes) < settings.keys:
        findings.append(f"server {replicas[-1].server} holds {len(replicas[-1].nodes)} znodes of {settings.keys}")
    facts = {
        "mib": mib, "loss": loss, "delay_ms": delay_ms, "seconds": seconds, "writes_meanwhile": float(len(meanwhile)),
        "writes_per_s_meanwhile": len(meanwhile) / seconds,
        "sync_limit_ticks": float(SYNC_LIMIT_TICKS), "init_limit_ticks": float(INIT_LIMIT_TICKS),
        "tick_ms": float(settings.tick_ms), **_latency("before", alone), **_latency("meanwhile", meanwhile),
        **{name: float(after.get(name, 0) - before.get(name, 0)) for name in ("datagrams_sent", "retransmitted")},
    }  # fmt: skip
    yield Probe(
        name=f"snapshot/udp/{mib:g}mib/loss-{loss:g}", unit="MiB/s", samples=[mib / seconds], facts=facts,
        findings=findings,
    )  # fmt: skip


def _numbers(arguments: Sequence[str]) -> tuple[float, float, float, float]:
    try:
        mib, loss, delay_ms, rate = map(float, arguments)
    except ValueError:
        found = " ".join(arguments) or "nothing"
        raise SettingsError(f"{found}: allowed: MiB of znodes, loss, milliseconds of delay, writes/s") from None
    return mib, loss, delay_ms, rate


def _observer_arrives(target: OwnTarget) -> Arrival:
    """Start it, and wait until it serves."""
    pass_time(target, WARMUP_S)
    before_ns = time.monotonic_ns()
    pass_time(target, BASELINE_S)
    target.marks()
    start_ns = target.inject(Restart(OBSERVER))
    deadline = time.monotonic() + ARRIVE_TIMEOUT_S
    while time.monotonic() < deadline:
        pass_time(target, PAUSE_S)
        for mark in target.marks():
            if (mark.server, mark.what, mark.phase) == (OBSERVER, "entered", "broadcast"):
                return Arrival(before_ns, start_ns, mark.at_ns)
    raise TargetError(f"observer {OBSERVER} does not serve {ARRIVE_TIMEOUT_S:g} s after its start")


def _network(target: OwnTarget) -> dict[str, int]:
    """Counters of all servers together."""
    total: dict[str, int] = {}
    for use in target.usage():
        for name, value in use.network.items():
            total[name] = total.get(name, 0) + value
    return total


def _latency(when: str, latencies_ns: Nanoseconds) -> dict[str, float]:
    if not len(latencies_ns):
        return {}
    found = percentiles(latencies_ns)
    return {f"p50_{when}_ms": found.p50 / 1e3, f"p99_{when}_ms": found.p99 / 1e3}


if __name__ == "__main__":
    run_job(measure, "a tree to a new observer over UDP")
