"""A soak: on a target that only remembers, and for some seconds on real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from bench_fakes import ENVIRONMENT, FakeTarget, a_history, replicas_of

from lab.bench.lifeline import Interrupted
from lab.bench.limits import soak_settings
from lab.bench.record_long import SoakRecord
from lab.bench.soak import run_soak
from lab.targets.target import TargetError

DEADLINE_S = 90.0
SEED = 3


class Placid(FakeTarget):
    """Servers that all live in this process."""

    def __init__(self, folder: Path, *, writes: int = 10, loses: bool = False) -> None:
        super().__init__(voters=3, observers=1)
        self.folder, self.history = folder, a_history(writes)
        self.states = replicas_of(self.history if not loses else a_history(writes - 1), self.members, SEED)
        self.look_out: Callable[[], None] = lambda: None

    def pids(self):
        return dict.fromkeys(self.members, os.getpid())

    def data_folders(self):
        return dict.fromkeys(self.members, self.folder)

    def progress(self):
        return {server: (self._role(server), 7) for server in self.members}


class Crew:
    """Clients that did what the target's history says."""

    def __init__(self, target: Placid) -> None:
        self.target, self.calls = target, []

    def __getattr__(self, name: str):
        return lambda: self.calls.append(name)

    def pids(self):
        return {0: os.getpid()}

    def slices(self, operations_min):
        yield self.target.history


def soaked(target: Placid, seconds: float = 0.3) -> tuple[SoakRecord, int]:
    crew, kept = Crew(target), []
    settings = soak_settings({"observers": 1, "rate": 100.0, "seconds": seconds, "seed": SEED, "keys": 1})
    record = run_soak(settings, target, lambda: crew, keep=lambda: kept.append("stop" in crew.calls))
    assert crew.calls[-1] == "close"
    assert target.calls[-1] == ("stop",)
    return record, len(kept)


def test_every_process_is_sampled_and_what_it_wrote_is_verified(tmp_path: Path) -> None:
    record, kept = soaked(Placid(tmp_path))
    assert record.verified, record.checks.findings
    assert not kept
    assert (record.acknowledged, record.lost, record.unknown, record.checks.replicas) == (10, 0, 0, 4)
    names = [track.process for track in record.tracks]
    assert names == ["server 1", "server 2", "server 3", "server 4", "load 0", "harness"]
    kinds = [track.kind for track in record.tracks]
    assert kinds == ["follower", "follower", "leader", "observer", "load", "harness"]
    assert "log_mb" in record.tracks[0].series
    assert "log_mb" not in record.tracks[-1].series
    assert {found.verdict for found in record.growth} == {"too short"}
    assert [reign.server for reign in record.reigns] == [3]


def test_a_lost_write_fails_it_and_evidence_is_kept(tmp_path: Path) -> None:
    record, kept = soaked(Placid(tmp_path, loses=True))
    assert not record.verified
    assert record.lost == 1
    assert kept == 1


def test_an_interrupt_ends_it_early_and_what_there_is_is_verified(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise Interrupted(signal.SIGINT)

    target = Placid(tmp_path)
    target.look_out = interrupt
    crew, settings = Crew(target), soak_settings({"rate": 100.0, "seconds": 60.0, "seed": SEED, "keys": 1})
    record = run_soak(settings, target, lambda: crew)
    assert record.interrupted
    assert record.verified, record.checks.findings
    assert record.seconds < 60.0


def test_a_server_that_ends_fails_it_with_its_last_words(tmp_path: Path) -> None:
    def ended() -> None:
        raise TargetError("own: server 2 ended: exit status 1: MemoryError")

    target = Placid(tmp_path)
    target.look_out = ended
    crew = Crew(target)
    settings = soak_settings({"observers": 1, "rate": 100.0, "seconds": 60.0, "seed": SEED, "keys": 1})
    record = run_soak(settings, target, lambda: crew)
    assert not record.verified
    assert record.lost is None
    assert record.checks.findings == ["own: server 2 ended: exit status 1: MemoryError"]
    assert "stop" not in crew.calls, "nobody waits for answers of an ensemble that is broken"


# -- real processes


def start(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "lab", "soak", "--data-dir", str(folder / "data"), "--durability", "buffered",
               "--rate", "1500", "--snap-count", "1000", "--json", "--run", "short", *arguments]  # fmt: skip
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.process
def test_three_seconds_on_real_processes(tmp_path: Path) -> None:
    with start(tmp_path, "--seconds", "3") as child:
        out, err = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0, err.decode()
    record = orjson.loads(out)
    assert record["verified"] is True, record["checks"]
    assert record["lost"] == 0
    assert record["acknowledged"] > 2_000
    assert record["checks"]["replicas"] == 4
    tracks = {track["process"]: track for track in record["tracks"]}
    assert {track["kind"] for track in tracks.values()} == {"leader", "follower", "observer", "load", "harness"}
    for server in range(1, 5):
        series = tracks[f"server {server}"]["series"]
        assert series["applied_zxid"] == sorted(series["applied_zxid"])
        assert series["snapshots_mb"][-1] > 0.0, "snapshots are taken meanwhile"
        assert min(series["fds"]) > 5
    assert sum(record["writes_per_s"]) > 1_000
    assert not (tmp_path / "data").exists()
    assert orjson.loads((tmp_path / "results" / "short" / "soak.jsonl").read_bytes()) == record
    assert (tmp_path / "reports" / "short" / "figures" / "soak.png").stat().st_size > 10_000


@pytest.mark.process
def test_ctrl_c_ends_it_early_with_a_report(tmp_path: Path) -> None:
    with start(tmp_path, "--seconds", "600") as child:
        assert child.stderr is not None
        for line in child.stderr:
            if b"memory in MB" in line:
                break
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=DEADLINE_S)
    record = orjson.loads(out)
    assert child.returncode == 0, err.decode()
    assert (record["interrupted"], record["verified"]) == (True, True), record["checks"]
    assert record["seconds"] < 600
    deadline = time.monotonic() + DEADLINE_S
    while (tmp_path / "data").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (tmp_path / "data").exists()
