"""A whole results folder from a simple model, seeded: what the report is tested on without measuring anything."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import orjson
from hdrh.histogram import HdrHistogram

from lab.bench.knob_grid import knob_points
from lab.bench.network_grid import network_points
from lab.bench.networks import sites_of
from lab.bench.point import Point
from lab.bench.record import (
    Checks,
    FailoverRecord,
    Machine,
    Percentiles,
    PyperfLink,
    Record,
    RunInfo,
    ServerUse,
    Settings,
    TrialRecord,
)
from lab.report.rows.distance import layout_of

MACHINE = Machine(
    id="5f0c1d2e", cpu="Example CPU @ 3.0 GHz", cores=2, memory_gb=8.0, kernel="Linux 6.1.0", python="3.11.2",
    filesystem="ext4 (ssd)", governor="performance", cgroup="v2", load_1m=0.1,
    versions={"msgspec": "0.19.0", "numpy": "2.0.0", "pyperf": "2.9.0"},
)  # fmt: skip

FIVE = ((3, 0), (3, 2), (5, 0), (3, 4), (7, 0))
WRITE_US = {"memory": 4.0, "buffered": 5.0, "fsync": 9.0}  # microseconds a write at 3 voters
VOTER_US, OBSERVER_US = 1.2, 0.7  # what each added server costs a write


KNOB_US = {"memory": 4.0, "buffered": 5.0, "fsync": 10.0}
KNOB_FACTORS = {
    ("pipeline", "1x1"): 10.0, ("pipeline", "0x1"): 3.0, ("pipeline", "4x1"): 4.0, ("pipeline", "1x4096"): 1.6,
    ("leader-serves", "no"): 1.4, ("placement", "together"): 0.5, ("placement", "leader-alone"): 1.3,
}  # fmt: skip


LINK_FACTORS = {"shm": 1.0, "udp": 1.6}


class World:
    """Makes records; `spread` is the relative standard deviation between processes."""

    def __init__(self, seed: int = 1, spread: float = 0.04, slowdown: float = 1.0, machine: Machine = MACHINE) -> None:
        self.rng = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.spread = spread
        self.slowdown = slowdown
        self.machine = machine

    def _noise(self, spread: float | None = None) -> float:
        return self.rng.lognormvariate(0, self.spread if spread is None else spread)

    def write_throughput(self, voters: int, observers: int, round_: int, durability: str = "buffered") -> TrialRecord:
        us = WRITE_US[durability] + VOTER_US * (voters - 3) + OBSERVER_US * observers
        settings = Settings(voters=voters, observers=observers, durability=durability, outstanding=256, seconds=1.0)
        ops = 1e6 / us / self.slowdown * self._noise()
        benchmark = f"write-throughput/{voters}+{observers}/{durability}"
        return self.trial("write-latency", settings, benchmark, round_, ops, 256 / ops * 1e6)

    def write_latency(self, voters: int, observers: int, durability: str, attach: str, round_: int) -> TrialRecord:
        us = 120.0 + 12 * (voters - 3) + {"leader": 0, "followers": 60, "observers": 75}[attach]
        us += 400.0 if durability == "fsync" else 0.0
        settings = Settings(voters=voters, observers=observers, durability=durability, outstanding=1, attach=attach,
                            seconds=1.0)  # fmt: skip
        us *= self._noise(0.1) * self.slowdown
        benchmark = f"write-latency/{voters}+{observers}/{durability}/{attach}"
        return self.trial("write-latency", settings, benchmark, round_, 1e6 / us / 1.1, us)

    def read_mix(self, voters: int, observers: int, reads: float, round_: int, name: str = "mix") -> TrialRecord:
        servers = voters + observers
        write_us = 50 + VOTER_US * 10 * (voters - 3) + OBSERVER_US * 10 * observers
        us = (1 - reads) * write_us + reads * 20 / servers
        settings = Settings(voters=voters, observers=observers, durability="buffered", outstanding=64 * servers,
                            reads=reads, attach="all", cpu_share=0.1, seconds=1.0)  # fmt: skip
        ops = 1e6 / us / self.slowdown * self._noise()
        benchmark = f"{name}/{voters}+{observers}" + (f"/{reads:g}" if name == "mix" else "")
        return self.trial("read-scaling", settings, benchmark, round_, ops, 64 * servers / ops * 1e6)

    def knob(self, point: Point, round_: int) -> TrialRecord:
        """A usual point takes `KNOB_US` a write; a knob multiplies that by its entry of KNOB_FACTORS."""
        settings, (_, name, value, *_) = point.settings, point.id.split("/")
        load = settings.outstanding
        us = KNOB_US[settings.durability] * (1 + 20 / load) * (1 - 0.8 * settings.reads)
        us *= KNOB_FACTORS.get((name, value), 1.0) * self._noise() * self.slowdown
        return self.trial("speed", settings, point.id, round_, 1e6 / us, us * load)

    def linked(self, point: Point, round_: int) -> Record:
        """A point of `network`: UDP takes half as much again, a network its round trips, loss its share."""
        settings = point.settings
        if settings.fault is not None:
            return self.distant_failover(point, round_)
        load = settings.clients * settings.outstanding
        us = (5.0 + 100 / load) * (1 - 0.7 * settings.reads) * LINK_FACTORS[settings.transport] * self._noise()
        us *= (1.15 if settings.sealed else 1.0) * (0.8 if settings.udp_mtu > 1400 else 1.0)
        us = max(us, (self._round_trips_us(settings) + us * load) / load) * (1 + 6 * settings.loss)
        trial = self.trial("network", settings, point.id, round_, 1e6 / us, us * load)
        if settings.transport != "udp":
            return trial
        trial = msgspec.structs.replace(trial, sites=sites_of(settings))
        leads = [msgspec.structs.replace(server, role=_role(server.id, settings)) for server in trial.servers]
        stats = {"datagrams_sent": 10 * trial.writes, "retransmitted": round(10.5 * trial.writes * settings.loss)}
        return msgspec.structs.replace(trial, servers=leads, network_stats=stats)

    def _round_trips_us(self, settings: Settings) -> float:
        """What the network alone takes; the last voter leads."""
        layout = layout_of(settings)
        if layout is None:
            return 0.0
        leader = server = settings.voters
        if settings.attach == "nearest":
            [server] = layout.nearest(0, range(1, settings.voters + settings.observers + 1))
        return 1_000 * (layout.read_ms(0, server) if settings.reads else layout.write_ms(0, server, leader))

    def distant_failover(self, point: Point, round_: int) -> FailoverRecord:
        """As on one host, and each phase a round trip or two."""
        settings = point.settings
        record = self.failover(3, 0, settings.fault or "", round_, point.values_in(round_))
        layout = layout_of(settings)
        round_trip_ms = 0.0 if layout is None else layout.quorum_ms(settings.voters)
        phases = {phase: [ms + (round_trip_ms if phase != "detection" else 0.0) for ms in values]
                  for phase, values in record.phases_ms.items()}  # fmt: skip
        return msgspec.structs.replace(
            record, suite="network", phases_ms=phases,
            settings=msgspec.structs.replace(settings, repeats=point.values_in(round_), seed=round_),
            outage_ms=[sum(values) for values in zip(*phases.values(), strict=True)],
            pyperf=PyperfLink(benchmark=point.id, round=round_, value=0),
        )  # fmt: skip

    def trial(self, suite: str, settings: Settings, benchmark: str, round_: int, ops: float, us: float) -> TrialRecord:
        seconds = settings.seconds
        shares = {"read": settings.reads, "write": 1 - settings.reads}
        populations = {kind: self._population(us) for kind, share in shares.items() if share}
        servers = [
            ServerUse(
                id=i, role="leader" if i == 1 else "follower" if i <= settings.voters else "observer",
                cpu_s=0.08 * seconds, bytes_sent=int(ops * (110 if i > 1 else 240 * settings.voters)), rss_mb=31.5,
            )
            for i in range(1, settings.voters + settings.observers + 1)
        ]  # fmt: skip
        reads, writes = round(ops * seconds * settings.reads), round(ops * seconds * (1 - settings.reads))
        return TrialRecord(
            suite=suite, target="own", voters=settings.voters, observers=settings.observers, verified=True,
            checks=Checks(writes=writes, reads=reads, reads_total=reads, replicas=len(servers)),
            settings=msgspec.structs.replace(settings, seed=1000 + round_), started_at="2026-01-02T03:04:05.678Z",
            seconds=seconds, ops_per_s=ops, reads_per_s=ops * settings.reads, writes_per_s=ops * (1 - settings.reads),
            reads=reads, writes=writes, errors=0, unknown=0,
            latency_us={kind: _percentiles(values) for kind, values in populations.items()},
            histogram={kind: _histogram(values) for kind, values in populations.items()},
            series={kind: [int(ops * share / 10)] * 10 for kind, share in shares.items() if share}, servers=servers,
            client_cpu_s=0.3 * seconds, client_lag_us=0.0, client_limited=False,
            budget="cgroup-v2" if settings.cpu_share else "none", digest="c0ffee", machine=self.machine,
            commit="0123456789abcdef", pyperf=PyperfLink(benchmark=benchmark, round=round_, value=0),
        )  # fmt: skip

    def failover(self, voters: int, observers: int, fault: str, round_: int, repeats: int) -> FailoverRecord:
        phases: dict[str, list[float]] = {}
        for _ in range(repeats):
            detection = 1.5 if fault == "crash" else 480.0
            means = {"detection": detection, "election": 9 + voters, "discovery": 6.0, "synchronization": 8.0,
                     "first_commit": 4.0, "first_ack": 2.0}  # fmt: skip
            for phase, mean in means.items():
                phases.setdefault(phase, []).append(mean * self._noise(0.25) * self.slowdown)
        outages = [sum(values) for values in zip(*phases.values(), strict=True)]
        settings = Settings(voters=voters, observers=observers, outstanding=1, fault=fault, repeats=repeats)
        return FailoverRecord(
            target="own", voters=voters, observers=observers, verified=True,
            checks=Checks(writes=400, reads=0, reads_total=0, replicas=voters + observers), settings=settings,
            started_at="2026-01-02T03:05:00.000Z", outage_ms=outages, phases_ms=phases,
            observer_rejoin_ms=[30 * self._noise(0.2) for _ in range(observers * repeats)], acknowledged=400, unknown=1,
            machine=self.machine, commit="0123456789abcdef",
            pyperf=PyperfLink(benchmark=f"election/{voters}+{observers}/{fault}", round=round_, value=0),
        )  # fmt: skip

    def _population(self, us: float) -> np.ndarray:
        body = us * self.numbers.lognormal(0, 0.2, 3_000)
        slow = self.numbers.random(3_000) < 0.01
        return np.where(slow, body * self.numbers.uniform(3, 12, 3_000), body)


def _role(server: int, settings: Settings) -> str:
    return "leader" if server == settings.voters else "follower" if server < settings.voters else "observer"


class Numbers(msgspec.Struct, frozen=True):
    """A row of a figure's."""

    x: int
    y: float


def knobs(world: World | None = None, profile: str = "quick", rounds: int = 3) -> list[Record]:
    """What the suite `speed` measures of knobs."""
    world = world or World()
    return [world.knob(point, round_) for round_ in range(rounds) for point in knob_points(profile)]


def networks(world: World | None = None, profile: str = "quick", rounds: int = 3) -> list[Record]:
    """What the suite `network` measures."""
    world = world or World()
    return [world.linked(point, round_) for round_ in range(rounds) for point in network_points(profile)
            if round_ < point.rounds]  # fmt: skip


def smoke(world: World | None = None) -> list[Record]:
    world = world or World()
    return [
        *(world.write_throughput(3, observers, 0) for observers in (0, 1)),
        world.write_latency(3, 0, "buffered", "leader", 0),
        *(world.read_mix(3, observers, reads, 0) for observers in (0, 1) for reads in (0.5, 1.0)),
        world.failover(3, 0, "crash", 0, 3),
    ]


def quick(world: World | None = None, rounds: int = 6) -> list[Record]:
    world = world or World()
    latency = (("fsync", "leader", 3, 0), ("buffered", "leader", 3, 0), ("buffered", "followers", 3, 0),
               ("buffered", "observers", 3, 2), ("buffered", "leader", 5, 0))  # fmt: skip
    records: list[Record] = []
    for round_ in range(rounds):
        records += [world.write_throughput(*shape, round_) for shape in FIVE]
        records += [world.write_latency(v, o, kind, attach, round_) for kind, attach, v, o in latency]
        records += [world.read_mix(*shape, 1.0, round_, "reads") for shape in FIVE]
        records += [world.read_mix(3, o, reads, round_) for o in (0, 2) for reads in (0.5, 0.9, 1.0)]
        records += [world.failover(*shape, "crash", round_, 4) for shape in ((3, 0), (5, 0), (3, 2))]
        records += [world.failover(3, 0, "freeze", round_, 2)]
    return records


def full(world: World | None = None, rounds: int = 15) -> list[Record]:
    """As many configurations as the widest profile has: what crowds a figure."""
    world = world or World()
    records = quick(world, rounds)
    for round_ in range(rounds):
        for shape in ((3, 1), (3, 8), (9, 0)):
            records += [world.write_throughput(*shape, round_), world.write_throughput(*shape, round_, "fsync")]
        records += [world.write_throughput(*shape, round_, "fsync") for shape in FIVE]
        records += [world.write_latency(v, 0, kind, "leader", round_)
                    for v, kind in ((1, "buffered"), (7, "buffered"), (3, "memory"))]  # fmt: skip
        records += [world.read_mix(*shape, 1.0, round_, "reads") for shape in ((9, 0), (3, 6))]
        records += [world.read_mix(*shape, reads, round_) for shape in FIVE for reads in (0, 0.25, 0.75, 0.99)]
        records += [world.read_mix(*shape, reads, round_) for shape in FIVE[2:] for reads in (0.5, 0.9)]
        records += [world.failover(7, 0, "crash", round_, 4), world.failover(3, 0, "partition", round_, 4)]
    return records


def write_run(folder: Path, records: Iterable[Record], profile: str = "quick", finished: bool = True) -> Path:
    """A results folder like the harness leaves it, without the pyperf files that a report does not read."""
    folder.mkdir(parents=True)
    records = list(records)
    rounds: dict[str, int] = {}
    for record in records:
        if record.pyperf:
            rounds[record.suite] = max(rounds.get(record.suite, 0), record.pyperf.round + 1)
    info = RunInfo(
        name=folder.name, profile=profile, only=[], argv=["bench", "--profile", profile],
        started_at="2026-01-02T03:04:00.000Z", finished_at="2026-01-02T03:10:00.000Z" if finished else "",
        machine=records[0].machine if records else MACHINE, commit="0123456789abcdef", seed=1, rounds=rounds,
        finished=finished,
    )  # fmt: skip
    (folder / "run.json").write_bytes(orjson.dumps(msgspec.to_builtins(info)))
    (folder / "trials.jsonl").write_bytes(b"".join(orjson.dumps(msgspec.to_builtins(r)) + b"\n" for r in records))
    return folder


def _percentiles(us: np.ndarray) -> Percentiles:
    p50, p90, p99, p999 = (float(x) for x in np.quantile(us, (0.5, 0.9, 0.99, 0.999)))
    return Percentiles(p50, p90, p99, p999, float(us.max()), float(us.mean()), len(us))


def _histogram(us: np.ndarray) -> str:
    histogram = HdrHistogram(1, 60_000_000_000, 3)
    for value, count in zip(*np.unique((us * 1_000).astype(np.int64), return_counts=True), strict=True):
        histogram.record_value(int(value), int(count))
    return histogram.encode().decode()
