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
from lab.client.history import History, Kind, Outcome, ReplicaState, Znode
from lab.faults import Heal, Restart, Thaw
from lab.targets.target import Connector, PhaseMark, ServerInfo, TargetError, Usage
from workloads.kinds.read_mix import path_of
from workloads.values import value_of

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


class FakeTarget:
    """A target that remembers what was asked of it.  `fail_at` names the call that raises."""

    name = "own"
    version = ""
    tells_phases = True

    def __init__(self, *, voters=3, observers=0, fail_at=None):
        self.calls, self.fail_at = [], fail_at
        self.members = list(range(1, voters + observers + 1))
        self.observers = self.members[voters:]
        self.leader, self.epoch, self.lost = voters, 1, None
        self.reported = [self._entered(0, self.leader, "leading", "broadcast")]
        self.now_ns, self.cpu_s, self.states = 1_000, 0.0, []

    def _call(self, name, *arguments):
        self.calls.append((name, *arguments))
        if self.fail_at == name:
            raise TargetError(f"fake: {name} failed")

    def _entered(self, at_ns, server, state, phase):
        return PhaseMark(server, at_ns, "entered", state, phase, self.epoch, self.leader)

    def start(self):
        self._call("start")

    def stop(self):
        self.calls.append(("stop",))

    def servers(self):
        self._call("servers")
        return [ServerInfo(server, self._role(server)) for server in self.members]

    def _role(self, server):
        if server == self.lost:
            return "looking"
        if server == self.leader:
            return "leader"
        return "observer" if server in self.observers else "follower"

    def connector(self, client, servers):
        self._call("connector", client, tuple(servers))
        return Connector(f"{client}", ())

    def usage(self):
        self._call("usage")
        self.now_ns += 2_000_000_000
        self.cpu_s += 1.0
        return [Usage(s, self.cpu_s * s, int(self.cpu_s * 1000), 20.0, self.now_ns, 0.5 * self.cpu_s)
                for s in self.members]  # fmt: skip

    def pids(self):
        self._call("pids")
        return {}

    def limit_cpu(self, share):
        self._call("limit_cpu", share)
        return "cgroup-v1"

    def replicas(self, unknown):
        self._call("replicas", tuple(unknown))
        return self.states

    def marks(self):
        self._call("marks")
        reported, self.reported = self.reported, []
        return reported

    def inject(self, fault):
        """A fault costs the leader; the others elect the next one at once, in steps of 10 ns."""
        self._call("inject", fault)
        self.now_ns += 1_000
        at_ns = self.now_ns
        if isinstance(fault, Restart | Thaw | Heal):
            self.reported.append(self._entered(at_ns, self.lost, "following", "broadcast"))
            self.lost = None
            return at_ns
        self.lost = self.leader
        self.leader = next(server for server in self.members if server not in (self.lost, *self.observers))
        self.epoch += 1
        self.reported += [
            self._entered(at_ns + 10, self.leader, "looking", "election"),
            self._entered(at_ns + 20, self.leader, "leading", "discovery"),
            self._entered(at_ns + 30, self.leader, "leading", "synchronization"),
            self._entered(at_ns + 40, self.leader, "leading", "broadcast"),
            *(self._entered(at_ns + 45, observer, "observing", "broadcast") for observer in self.observers),
            PhaseMark(self.leader, at_ns + 50, "first_commit", "leading", "broadcast", self.epoch, self.leader),
        ]
        return at_ns


class FakeWindow:
    def __init__(self, start_ns, end_ns, cpu_s=0.5, waited_s=0.0):
        self.start_ns, self.end_ns, self.cpu_s, self.waited_s = start_ns, end_ns, cpu_s, waited_s


class FakeAck:
    def __init__(self, at_ns, epoch):
        self.at_ns, self.epoch = at_ns, epoch


class FakeLoad:
    """Load processes that wrote one key some times; a watch of failovers, too."""

    asked = asked_until_end = 0

    def __init__(self, target, writes=10, window=None, fail_at=None):
        self.target, self.calls, self.fail_at = target, [], fail_at
        self.window = window or FakeWindow(1_000, 1_000_001_000)
        self.history = a_history(writes)
        target.states = replicas_of(self.history, target.members)

    def __call__(self, connectors):
        self.connectors = connectors
        return self

    def _call(self, name, *arguments):
        self.calls.append((name, *arguments))
        if self.fail_at == name:
            raise TargetError(f"fake load: {name} failed")

    def start(self):
        self._call("start")

    def setup(self):
        self._call("setup")

    def pids(self):
        self._call("pids")
        return []

    def warm(self, seconds):
        self._call("warm", seconds)

    def run(self, seconds):
        self._call("run", seconds)
        return self.window

    def begin(self):
        self._call("begin")

    def first_ack(self, after_epoch, timeout_s):
        self._call("first_ack", after_epoch)
        assert self.target.epoch == after_epoch + 1
        return FakeAck(self.target.now_ns + 60, self.target.epoch)

    def finish(self):
        self._call("finish")
        return [self.history]

    def close(self):
        self.calls.append(("close",))


SESSION = 77


def a_history(writes, unknown=()):
    """Client 0 overwrote key 0 `writes` times, 1 ms each; those of `unknown` cxids got no answer."""
    history = History(0, [SESSION])
    for cxid in range(1, writes + 1):
        lost = cxid in unknown
        row = {
            "kind": Kind.WRITE, "session": 0, "cxid": cxid, "key": 0, "sent_ns": cxid * 1_000_000,
            "done_ns": 0 if lost else (cxid + 1) * 1_000_000,
            "outcome": Outcome.UNKNOWN if lost else Outcome.ACKNOWLEDGED,
            "zxid": -1 if lost else (1 << 32) + 1 + cxid, "mzxid": -1, "writer": -1, "writer_cxid": -1,
            "version": -1 if lost else cxid, "intact": -1,
        }  # fmt: skip
        for name, value in row.items():
            history.columns[name].append(value)
    return history


def replicas_of(history, members, seed=1):
    """Replicas that hold what the history wrote to `/bench/00000`, created as its version 0."""
    cxid, zxid = history.columns["cxid"][-1], history.columns["zxid"][-1]
    created = (1 << 32) + 1
    nodes = {path_of(0): Znode(czxid=created, mzxid=zxid, version=len(history), data=value_of(seed, 0, cxid, 100))}
    return [
        ReplicaState(
            server=server, role="follower", applied_zxid=zxid, digest=4711, nodes=nodes, log=[(created, zxid)],
            took_effect={},
        )
        for server in members
    ]  # fmt: skip
