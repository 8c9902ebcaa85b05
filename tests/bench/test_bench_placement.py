"""Where the processes of a trial may run, and that they do."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from bench_fakes import FakeLoad, FakeTarget

from lab.bench.limits import PLACEMENTS, SettingsError
from lab.bench.placement import CPUS_NEEDED, CpuMap, Placed, available_cpus, check_placement, cpu_map
from lab.bench.record import Settings
from lab.bench.summary import summary
from lab.bench.trial import run_trial, trial
from lab.targets.target import TargetError

ROLES = {1: "follower", 2: "leader", 3: "follower", 4: "observer"}
CPUS = available_cpus()
two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="this placement needs two CPUs")


@pytest.mark.parametrize(
    ("placement", "cpus", "servers", "clients"),
    [
        ("free", (0, 1), {1: (0, 1), 2: (0, 1), 3: (0, 1), 4: (0, 1)}, ((0, 1), (0, 1))),
        ("together", (2, 5), {1: (2,), 2: (2,), 3: (2,), 4: (2,)}, ((2,), (2,))),
        # in turn: the leader, followers, observers, load processes
        ("spread", (0, 1), {2: (0,), 1: (1,), 3: (0,), 4: (1,)}, ((0,), (1,))),
        ("spread", (0, 1, 2, 3, 4, 5), {2: (0,), 1: (1,), 3: (2,), 4: (3,)}, ((4,), (5,))),
        ("leader-client", (0, 1), {2: (0,), 1: (1,), 3: (1,), 4: (1,)}, ((0,), (0,))),
        ("leader-client", (0, 1, 2), {2: (0,), 1: (1, 2), 3: (1, 2), 4: (1, 2)}, ((0,), (0,))),
        ("leader-alone", (0, 1), {2: (0,), 1: (1,), 3: (1,), 4: (1,)}, ((1,), (1,))),
        ("leader-alone", (0, 1, 2), {2: (0,), 1: (1, 2), 3: (1, 2), 4: (1, 2)}, ((1, 2), (1, 2))),
    ],
)
def test_who_may_run_where(placement, cpus, servers, clients):
    assert cpu_map(placement, ROLES, 2, cpus) == CpuMap(servers, clients)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_placement_places_everybody(placement):
    found = cpu_map(placement, ROLES, 3, tuple(range(CPUS_NEEDED[placement])))
    assert found.servers.keys() == ROLES.keys()
    assert len(found.clients) == 3
    assert all([*found.servers.values(), *found.clients])


@pytest.mark.parametrize("placement", [name for name, needed in CPUS_NEEDED.items() if needed == 2])
def test_a_machine_with_too_few_cpus_is_told_in_one_line(placement):
    check_placement(Settings(placement=placement), 2)
    with pytest.raises(SettingsError) as refused:
        check_placement(Settings(placement=placement), 1)
    assert str(refused.value) == (
        f"--placement: '{placement}' needs 2 CPUs, this process may use 1, allowed: free or together"
    )


@dataclass
class Sleepers:
    """Processes that do nothing, as servers and as clients."""

    running: list

    def add(self, count):
        new = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(count)]
        self.running += new
        return [each.pid for each in new]


@pytest.fixture
def sleepers():
    found = Sleepers([])
    yield found
    for each in found.running:
        each.kill()
        each.communicate()


@pytest.fixture
def pair(sleepers, monkeypatch):
    """A target of three servers and a load of two clients whose processes exist."""
    target = FakeTarget(voters=3)
    load = FakeLoad(target)
    servers, clients = dict(enumerate(sleepers.add(3), 1)), sleepers.add(2)
    monkeypatch.setattr(target, "pids", lambda: servers)
    monkeypatch.setattr(load, "pids", lambda: clients)
    return target, load


@pytest.mark.process
@two_cpus
def test_a_trial_holds_its_processes_in_their_places_and_the_record_says_what_the_kernel_says(pair):
    target, load = pair
    seen = {}
    measure = load.run

    def run(seconds):
        seen.update({pid: os.sched_getaffinity(pid) for pid in (*target.pids().values(), *load.pids())})
        return measure(seconds)

    load.run = run
    record = run_trial(Settings(clients=2, placement="leader-client"), target, load)
    first, others = CPUS[0], set(CPUS[1:])
    assert target.leader == 3
    assert [seen[target.pids()[server]] for server in (1, 2, 3)] == [others, others, {first}]
    assert [seen[pid] for pid in load.pids()] == [{first}, {first}]
    assert record.cpus == {
        "server 1": sorted(others), "server 2": sorted(others), "server 3": [first], "client 0": [first],
        "client 1": [first],
    }  # fmt: skip
    assert f"server 3 on CPU {first}, client 0 on CPU {first}" in summary(record)
    for pid in (*target.pids().values(), *load.pids()):  # verification has the whole machine
        assert os.sched_getaffinity(pid) == set(CPUS)


@pytest.mark.process
def test_threads_are_placed_with_their_process(sleepers):
    code = (
        "import threading, os\n"
        "thread = threading.Thread(target=input)\n"
        "thread.start()\n"
        "print(thread.native_id, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    sleepers.running.append(child)
    thread = int(child.stdout.readline())
    target = FakeTarget(voters=1)
    load = FakeLoad(target)
    target.pids, load.pids = lambda: {1: child.pid}, list
    Placed(Settings(placement="together"), target, load)
    assert os.sched_getaffinity(thread) == {CPUS[0]}


def test_without_a_placement_nobody_is_touched():
    target = FakeTarget()
    load = FakeLoad(target)
    record = run_trial(Settings(), target, load)
    assert record.cpus == {}
    assert ("pids",) not in [*target.calls, *load.calls]


@pytest.mark.process
def test_a_change_of_leader_ends_a_placed_trial(pair):
    target, load = pair
    measure = load.run

    def run(seconds):
        target.leader = 1
        return measure(seconds)

    load.run = run
    with pytest.raises(TargetError, match=r"the leader changed from \[3\] to \[1\].*--placement together"):
        run_trial(Settings(clients=2, placement="together"), target, load)


@pytest.mark.process
def test_a_process_that_has_ended_cannot_be_placed(sleepers):
    (gone,) = sleepers.add(1)
    sleepers.running[0].kill()
    sleepers.running[0].wait()
    target = FakeTarget(voters=1)
    load = FakeLoad(target)
    target.pids, load.pids = lambda: {1: gone}, list
    with pytest.raises(TargetError, match=f"process {gone} has ended"):
        Placed(Settings(placement="together"), target, load)


@pytest.mark.process
@two_cpus
def test_an_ensemble_is_measured_where_it_was_put():
    settings = Settings(
        durability="memory", clients=2, outstanding=4, seconds=0.2, warmup=0.1, keys=10, placement="leader-alone"
    )
    record = trial(settings)
    assert record.verified, record.checks.findings
    leader = next(server.id for server in record.servers if server.role == "leader")
    assert record.cpus == {
        name: [CPUS[0]] if name == f"server {leader}" else list(CPUS[1:])
        for name in ("server 1", "server 2", "server 3", "client 0", "client 1")
    }


@pytest.mark.process
def test_a_leader_that_serves_nobody_still_leads_those_who_do():
    settings = Settings(
        durability="memory", outstanding=4, seconds=0.2, warmup=0.1, keys=10, leader_serves=False, attach="all"
    )
    record = trial(settings)
    assert record.verified, record.checks.findings
    assert record.writes > 0
