"""One trial, against a target and a load that only remember."""

import io
from array import array

import pytest
from bench_fakes import SESSION, FakeLoad, FakeTarget, FakeWindow, a_history, replicas_of

from lab.bench.ledger import in_words
from lab.bench.progress import Lines
from lab.bench.record import Settings
from lab.bench.summary import summary
from lab.bench.tally import acknowledged, completed, outcomes, unknown_writes, used
from lab.bench.trial import attached, run_trial
from lab.client.history import Kind, Outcome
from lab.networks import Layout, load_network
from lab.targets.target import ServerInfo, TargetError, Usage

SETTINGS = Settings(outstanding=1, seconds=1.0, warmup=0.25)
MS = 1_000_000


def names(fake):
    return [name for name, *_ in fake.calls]


def measure(settings=SETTINGS, *, target=None, **load):
    target = target or FakeTarget(voters=settings.voters, observers=settings.observers)
    fake = FakeLoad(target, **load)
    return run_trial(settings, target, fake), target, fake


def test_the_parts_come_in_their_order_and_everything_is_ended():
    record, target, load = measure()
    assert names(load) == ["start", "setup", "warm", "run", "finish", "close"]
    assert names(target) == ["start", "servers", "connector", "usage", "usage", "servers", "replicas", "stop"]
    assert ("warm", 0.25) in load.calls
    assert ("run", 1.0) in load.calls
    assert ("connector", 0, (3,)) in target.calls  # the leader
    assert record.verified, record.checks.findings


def test_anatomy_of_a_target_that_marks_nothing_is_refused_before_it_is_started():
    target = FakeTarget()
    with pytest.raises(TargetError, match="--anatomy: the servers of own mark no hops"):
        measure(Settings(anatomy=True), target=target)
    assert names(target) == []


class MarkingTarget(FakeTarget):
    def forget_hops(self):
        self._call("forget_hops")

    def hops(self):
        self._call("hops")
        return []


def test_what_servers_use_to_hand_out_their_markers_is_not_counted():
    settings = Settings(outstanding=1, seconds=1.0, warmup=0.25, anatomy=True)
    record, target, _ = measure(settings, target=MarkingTarget())
    assert [name for name in names(target) if name in ("forget_hops", "hops", "usage")] == [
        "forget_hops", "usage", "usage", "hops"
    ]  # fmt: skip
    assert record.anatomy is not None


def test_the_record_counts_what_was_acknowledged_within_the_window():
    record, *_ = measure(window=FakeWindow(3 * MS, 8 * MS))  # replies at 2, 3, ... 11 ms
    assert (record.writes, record.reads, record.seconds) == (5, 0, 0.005)
    assert (record.ops_per_s, record.writes_per_s, record.reads_per_s) == (1000.0, 1000.0, 0.0)
    assert record.latency_us["write"].count == 5
    assert record.latency_us["write"].p50 == pytest.approx(1000, rel=0.01)
    assert set(record.histogram) == set(record.series) == set(record.latency_us) == {"write"}
    assert record.checks.writes == 10  # the warm-up is verified, too


def test_servers_are_told_by_their_roles_and_by_what_they_used_in_the_window():
    record, *_ = measure(Settings(voters=3, observers=1), window=FakeWindow(1_000, 1_000_001_000))
    assert [(use.id, use.role) for use in record.servers] == [
        (1, "follower"), (2, "follower"), (3, "leader"), (4, "observer")
    ]  # fmt: skip
    assert [use.cpu_s for use in record.servers] == [0.5, 1.0, 1.5, 2.0]  # read 2 s apart, around a window of 1 s
    assert [use.bytes_sent for use in record.servers] == [500] * 4
    assert [use.throttled_s for use in record.servers] == [0.25] * 4


def test_a_budget_begins_with_the_load_and_is_lifted_before_the_verification():
    record, target, _ = measure(Settings(cpu_share=0.1))
    calls = names(target)
    assert [call for call in target.calls if call[0] == "limit_cpu"] == [("limit_cpu", 0.1), ("limit_cpu", None)]
    assert calls.index("start") < calls.index("limit_cpu") < calls.index("usage")
    assert calls[::-1].index("replicas") < calls[::-1].index("limit_cpu")
    assert record.budget == "cgroup-v1"
    assert measure()[0].budget == "none"


def test_a_budget_that_cannot_be_set_is_told(monkeypatch):
    target, told = FakeTarget(), io.StringIO()
    monkeypatch.setattr(target, "limit_cpu", lambda _: "none")
    settings = Settings(cpu_share=0.25)
    record = run_trial(settings, target, FakeLoad(target), shown=Lines(told))
    assert record.budget == "none"
    assert "\n--cpu-share 0.25: no CPU budget can be set here" in told.getvalue()
    assert "WITHOUT the CPU budget" in summary(record)
    assert "WITHOUT its CPU budget" in in_words(record)


@pytest.mark.parametrize(
    ("cpu_s", "waited_s", "clients", "limited"),
    [
        (0.95, 0.0, 1, True),
        (0.85, 0.0, 1, False),
        (1.7, 0.0, 2, False),
        (1.9, 0.0, 2, True),
        (0.99, 0.05, 1, True),
        (0.99, 0.6, 1, False),
        (1.9, 0.3, 2, False),  # waiting without sleep takes CPU
    ],
)
def test_a_load_at_its_limit_is_told(cpu_s, waited_s, clients, limited):
    window = FakeWindow(1_000, 1_000_001_000, cpu_s=cpu_s, waited_s=waited_s)
    record, target, _ = measure(Settings(clients=clients), window=window)
    assert (record.client_limited, record.client_cpu_s, record.client_lag_us) == (limited, cpu_s, 0.0)
    assert names(target).count("connector") == clients


def test_what_replicas_contradict_is_not_verified():
    target = FakeTarget()
    load = FakeLoad(target)
    target.states = replicas_of(a_history(9), target.members)  # the last acknowledged write is nowhere
    record = run_trial(SETTINGS, target, load)
    assert not record.verified
    assert record.checks.findings


def test_unknown_writes_are_looked_up_where_they_were_logged():
    target = FakeTarget()
    load = FakeLoad(target)
    load.history = a_history(10, unknown=(4,))
    record = run_trial(SETTINGS, target, load)
    assert ("replicas", ((SESSION, 4),)) in target.calls
    assert record.unknown == 1


@pytest.mark.parametrize("where", ["start", "servers", "connector", "usage", "limit_cpu", "replicas"])
def test_a_target_that_fails_is_stopped(where):
    target = FakeTarget(fail_at=where)
    load = FakeLoad(target)
    with pytest.raises(TargetError, match=where):
        run_trial(Settings(cpu_share=0.5), target, load)
    assert names(target)[-1] == "stop"
    assert names(target).count("stop") == 1
    assert not load.calls or names(load)[-1] == "close"


@pytest.mark.parametrize("where", ["start", "setup", "warm", "run", "finish"])
def test_a_load_that_fails_is_closed_and_its_target_stopped(where):
    target = FakeTarget()
    load = FakeLoad(target, fail_at=where)
    with pytest.raises(TargetError, match=where):
        run_trial(SETTINGS, target, load)
    assert names(load)[-1] == "close"
    assert names(target)[-1] == "stop"


def test_a_server_that_died_is_blamed_rather_than_the_load_that_misses_it(monkeypatch):
    target = FakeTarget()
    load = FakeLoad(target, fail_at="setup")

    def setup():
        target.fail_at = "servers"
        raise TargetError("load process 0: nobody answers")

    monkeypatch.setattr(load, "setup", setup)
    with pytest.raises(TargetError, match="servers failed"):
        run_trial(SETTINGS, target, load)
    assert names(load)[-1] == "close"
    assert names(target)[-1] == "stop"


SERVERS = [ServerInfo(1, "follower"), ServerInfo(2, "leader"), ServerInfo(3, "follower"), ServerInfo(4, "observer")]


@pytest.mark.parametrize(("attach", "chosen"), [
    ("leader", [2]), ("followers", [1, 3]), ("observers", [4]), ("all", [1, 2, 3, 4]),
])  # fmt: skip
def test_clients_attach_to_roles(attach, chosen):
    assert attached(SERVERS, attach) == chosen


def test_each_client_attaches_to_what_is_nearest_to_it_and_serves():
    network = load_network("outpost").placed({"client": "sydney,dallas-3"})
    layout = Layout(network, voters=3)
    assert [attached(SERVERS, "nearest", client, layout) for client in (0, 1)] == [[4], [3]]
    assert attached(SERVERS[:3], "nearest", 0, layout) == [1, 2, 3], "as far as each other"


def test_a_leader_that_serves_nobody_is_nobody_s_nearest():
    layout = Layout(load_network("zones").placed({"client": "zone-2"}), voters=3)
    assert attached(SERVERS[:3], "nearest", 0, layout) == [2]
    assert attached(SERVERS[:3], "nearest", 0, layout, leader_serves=False) == [1]


def test_a_role_that_nobody_plays_is_named():
    with pytest.raises(TargetError, match=r"--attach observers: .* 1 follower, 2 leader"):
        attached(SERVERS[:2], "observers")


def test_usage_without_a_time_is_taken_as_it_is():
    before, after = [Usage(1, 1.0, 100, 5.0)], [Usage(1, 1.5, 300, 6.0)]
    [use] = used(before, after, {1: "leader"}, 10**9)
    assert (use.cpu_s, use.bytes_sent, use.rss_mb) == (0.5, 200, 6.0)


def test_tallies_over_several_clients():
    one, two = a_history(5, unknown=(2,)), a_history(3)
    two.columns["outcome"] = array("q", [Outcome.FAILED, Outcome.ACKNOWLEDGED, Outcome.ACKNOWLEDGED])
    both = [one, two]
    assert acknowledged(both, Kind.WRITE) == 6
    assert acknowledged(both, Kind.READ) == 0
    assert outcomes(both, Outcome.FAILED, 0, 10 * MS) == outcomes(both, Outcome.UNKNOWN, 2 * MS, 3 * MS) == 1
    assert outcomes(both, Outcome.UNKNOWN, 3 * MS, 10 * MS) == 0
    assert unknown_writes(both) == [(SESSION, 2)]
    latencies, ends = completed(both, 0, 10 * MS)[Kind.WRITE]
    assert list(latencies) == [MS] * 6
    assert sorted(ends) == [2 * MS, 3 * MS, 4 * MS, 4 * MS, 5 * MS, 6 * MS]


def test_nobody_did_anything():
    assert completed([], 0, 1)[Kind.READ][0].size == 0
    assert unknown_writes([]) == []
