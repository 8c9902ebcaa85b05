"""Torture itself: on a target that only remembers, and for some seconds on real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest
from bench_fakes import ENVIRONMENT, FakeTarget, a_history, replicas_of

from lab.bench.limits import SettingsError, torture_settings
from lab.bench.progress import Silent
from lab.bench.record import Settings
from lab.bench.record_long import TortureRecord
from lab.bench.torture import Ordeal, run_torture
from lab.bench.torture_run import torture_into
from lab.bench.watch import Watch
from lab.faults import Crash, Cut, FillDisk, FreeDisk, Freeze, Heal, Partition, Reshape, Restart, Thaw
from lab.targets.target import PhaseMark, TargetError

DEADLINE_S = 90.0
SEED = 3


@pytest.fixture(autouse=True)
def _no_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.bench.torture.CALM_S", 0.0)


class Patient(FakeTarget):
    """A target that reports as an ensemble would, whatever befalls it, and elects at once."""

    disk_full_by = "a fake"

    def __init__(self, *, voters=3, observers=2, writes=10, loses=False, breaks_at=0):
        super().__init__(voters=voters, observers=observers)
        self.down, self.frozen, self.groups, self.full = set(), set(), None, {}
        self.breaks_at, self.faults = breaks_at, []
        self.cuts, self.shaped = set(), set()
        self.history = a_history(writes)
        self.states = replicas_of(self.history if not loses else a_history(writes - 1), self.members, SEED)
        self.reported = []
        self._elect()

    def inject(self, fault):
        self.faults.append(fault)
        if len(self.faults) == self.breaks_at:
            raise TargetError("own: server 2 ended: exit status 1: AssertionError: our bug")
        match fault:
            case Crash(server):
                assert server not in self.down
                self.down.add(server)
            case FillDisk(server):
                self.full[server] = f"exit status 1: lab.node {server}: /data/log: cannot write: File too large"
                self.down.add(server)
            case Restart(server):
                assert server in self.down
                self.down.discard(server)
                self.full.pop(server, None)
            case Freeze(server):
                self.frozen.add(server)
            case Thaw(server):
                self.frozen.discard(server)
            case Partition(groups):
                self.groups = groups
            case Cut(source, target):
                self.cuts.add((source, target))
            case Reshape(source, target, shape):
                assert ((source, target) in self.shaped) == (shape is None)
                self.shaped ^= {(source, target)}
            case Heal():
                self.groups = None
                self.cuts.clear()
        self._elect()
        return 0

    def out_of_room(self):
        return dict(self.full)

    def _elect(self):
        """The highest voter that lives leads, and everybody who lives follows it: partitions are ignored here."""
        self.epoch += 1
        alive = [server for server in self.members if server not in self.down | self.frozen]
        voters = [server for server in alive if server not in self.observers]
        for server in alive if len(voters) > 1 else ():
            self.leader = max(voters)
            state = "leading" if server == self.leader else "following"
            self.reported.append(self._entered(time.monotonic_ns(), server, state, "broadcast"))


class Crew:
    """Clients that did what the target's history says."""

    def __init__(self, target):
        self.target, self.killed, self.closed, self.started = target, 0, False, 2

    def start(self):
        pass

    def kill(self, place):
        self.killed += 1
        self.started += 1

    def tend(self):
        pass

    def finish(self):
        return [self.target.history]

    def histories(self):
        return [self.target.history]

    def close(self):
        self.closed = True


def tortured(target: Patient, **settings: object) -> TortureRecord:
    crew = Crew(target)
    given = Settings(observers=2, clients=2, seed=SEED, keys=1, **{"seconds": 0.6, **settings})
    kept = []
    record = run_torture(given, target, lambda: crew, keep=lambda: kept.append(crew.closed))
    assert crew.closed
    assert kept == ([False] if record.lost != 0 else []), "what is kept is kept while it is there"
    assert target.calls[-1] == ("stop",)
    return record


def test_what_was_done_is_recorded_undone_and_verified() -> None:
    target = Patient()
    record = tortured(target)
    assert record.verified, record.checks.findings
    assert (target.down, target.frozen, target.groups) == (set(), set(), None)
    assert record.leader_crashes >= 1
    assert sum(record.faults.values()) == len(record.events) > 1
    assert all(0 <= event.start_s <= event.end_s <= record.seconds for event in record.events)
    assert record.reigns[0].at_s == 0.0
    assert [reign.epoch for reign in record.reigns] == sorted(reign.epoch for reign in record.reigns)
    assert (record.acknowledged, record.lost, record.unknown) == (10, 0, 0)
    assert record.seconds >= 0.6


def test_links_suffer_where_they_carry_datagrams_and_only_there() -> None:
    for loss, befalls in ((0.01, {Cut, Reshape}), (0.0, set())):
        target = Patient()
        record = tortured(target, seconds=3.0, loss=loss)
        assert record.verified, record.checks.findings
        assert {type(fault) for fault in target.faults} & {Cut, Reshape} == befalls
        assert (target.cuts, target.shaped) == (set(), set())


def test_an_acknowledged_write_that_is_gone_is_counted_and_fails_the_run() -> None:
    record = tortured(Patient(loses=True))
    assert not record.verified
    assert record.lost == 1


def test_a_server_that_ends_by_itself_fails_the_run_with_its_last_words() -> None:
    record = tortured(Patient(breaks_at=2))
    assert not record.verified
    assert record.lost is None, "no replica could be looked at"
    assert record.checks.findings[0] == "own: server 2 ended: exit status 1: AssertionError: our bug"
    assert record.checks.replicas == 0
    assert sum(record.faults.values()) == len(record.events) >= 1


def test_a_server_out_of_room_is_started_again_once_there_is_room() -> None:
    target = Patient()
    record = tortured(target, seconds=3.0)
    filled = next(fault.server for fault in target.faults if isinstance(fault, FillDisk))
    after = target.faults[target.faults.index(FillDisk(filled)) :]
    assert after.index(FreeDisk(filled)) < after.index(Restart(filled))
    assert record.out_of_room == record.faults["full disk"]
    assert record.disk_full_by == "a fake"


def test_where_no_disk_can_be_filled_it_goes_on_without_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    from lab.bench.progress import Lines

    target = Patient()
    target.disk_full_by = ""
    crew = Crew(target)
    record = run_torture(Settings(observers=2, clients=2, keys=1, seconds=0.5), target, lambda: crew, shown=Lines())
    assert "no disk can be filled here" in capsys.readouterr().err
    assert record.disk_full_by == ""
    assert not any(isinstance(fault, FillDisk) for fault in target.faults)


def test_a_run_of_half_a_minute_must_have_shown_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.bench.torture.LONG_S", 0.5)
    record = tortured(Patient())
    assert not record.verified
    assert record.checks.findings == ["10 writes were acknowledged, more than 1,000 are needed"]
    monkeypatch.setattr(Ordeal, "_strike", lambda self, stroke: self._open.append((stroke, 0.0)))
    monkeypatch.setattr(Ordeal, "_repair", Ordeal._note_end)
    assert "no leader was crashed: the run says nothing about that" in tortured(Patient()).checks.findings


def mark(server: int, state: str, phase: str, epoch: int, leader: int, at_ns: int = 1) -> PhaseMark:
    return PhaseMark(server, at_ns, "entered", state, phase, epoch, leader)


def test_who_leads_is_who_says_so_in_the_newest_epoch() -> None:
    watch = Watch(Settings(voters=3))
    assert watch.leader(()) is None
    watch.take([mark(1, "leading", "broadcast", 1, 1), mark(2, "leading", "synchronization", 2, 2)])
    assert watch.leader(()) == 1
    watch.take([mark(2, "leading", "broadcast", 2, 2)])
    assert watch.leader(()) == 2, "1 may not have noticed yet"
    assert watch.leader({2}) == 1
    assert watch.leader({1, 2}) is None


def test_all_serve_when_everybody_is_in_one_epoch_of_one_leader() -> None:
    watch = Watch(Settings(voters=3, observers=1))
    marks = [mark(1, "leading", "broadcast", 4, 1), *(mark(s, "following", "broadcast", 4, 1) for s in (2, 3))]
    watch.take(marks)
    assert not watch.all_serve()
    assert "server 4 silent" in watch.describe()
    watch.take([mark(4, "observing", "broadcast", 3, 1)])
    assert not watch.all_serve(), "it serves in an older epoch"
    watch.take([mark(4, "observing", "broadcast", 4, 1)])
    assert watch.all_serve()
    watch.take([mark(2, "looking", "election", 0, 0)])
    assert not watch.all_serve()
    watch.take([mark(2, "following", "broadcast", 4, 1)])
    watch.forget(3)
    assert not watch.all_serve()


def test_what_torture_does_by_default_and_what_a_preset_lends() -> None:
    assert torture_settings({}).reads == 0.5
    assert torture_settings({}).snap_count == 10_000, "snapshots and purges are tortured, too"
    assert torture_settings({"snap_count": 0}).snap_count == 0
    assert torture_settings({"workload": "write-only"}).reads == 0.0
    assert torture_settings({"workload": "write-only", "reads": 0.2}).reads == 0.2
    for typed, says in (
        ({"durability": "memory"}, "--durability: memory, allowed for torture: fsync or buffered"),
        ({"voters": 2}, "--voters: 2, allowed for torture: 3 to 13"),
        ({"reads": 1.0}, "--reads: 1, allowed for torture"),
    ):
        with pytest.raises(SettingsError, match=says):
            torture_settings(typed)


# -- real processes


def start(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "lab", "torture", "--data-dir", str(folder / "data"), "--durability", "buffered",
               "--clients", "2", "--observers", "1", "--rate", "2000", *arguments]  # fmt: skip
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.process
def test_a_few_seconds_of_torture_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    with start(tmp_path, "--seconds", "3", "--seed", "1", "--json", "--run", "short") as child:
        out, err = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0, err.decode()
    assert out.count(b"\n") == 1
    record = orjson.loads(out)
    assert record["verified"] is True, record["checks"]
    assert record["lost"] == 0
    assert record["leader_crashes"] >= 1
    assert record["faults"]["leader crash"] >= 1
    assert record["acknowledged"] > 100
    assert record["checks"]["replicas"] == 4
    assert record["unknown"] >= 0
    assert {"settings", "machine", "commit"} <= record.keys()
    assert not (tmp_path / "data").exists()
    assert orjson.loads((tmp_path / "results" / "short" / "torture.jsonl").read_bytes()) == record
    assert (tmp_path / "reports" / "short" / "figures" / "torture.png").stat().st_size > 10_000


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_the_harness_ends_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path, "--seconds", "60") as child:
        assert child.stderr is not None
        for line in child.stderr:
            if b"now: " in line and b"now: calm" not in line:
                break
        family = psutil.Process(child.pid).children(recursive=True)
        assert len(family) > 4
        os.kill(child.pid, number)
        child.stderr.read()
        status = child.wait(DEADLINE_S)
    assert status == (130 if number == signal.SIGINT else -signal.SIGKILL)
    _, alive = psutil.wait_procs(family, DEADLINE_S)
    assert alive == []
    deadline = time.monotonic() + DEADLINE_S
    while (tmp_path / "data").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (tmp_path / "data").exists()
    if number == signal.SIGINT:
        assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.process
def test_evidence_of_what_was_wrong_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ordeal, "_heal", lambda self: os.kill(self._target.cluster.pids()[1], signal.SIGKILL))
    monkeypatch.setattr("lab.bench.nemesis.HEAVY", ("short freeze",))
    monkeypatch.setattr("lab.bench.nemesis.LIGHT", ("client kill",))
    settings = torture_settings({"seconds": 0.5, "clients": 1, "rate": 1_000.0, "durability": "buffered", "keys": 10})
    folder, record = torture_into(tmp_path / "results", "bad", settings, data_dir=tmp_path / "data", shown=Silent())
    assert not record.verified
    assert record.lost is None
    assert "server 1 ended: ended by SIGKILL" in record.checks.findings[0]
    assert not (tmp_path / "data").exists()
    kept = folder / "evidence"
    assert (kept / "server-1.log").exists()
    assert list((kept / "data" / "1").iterdir())
    assert list((kept / "load").glob("history-*"))
