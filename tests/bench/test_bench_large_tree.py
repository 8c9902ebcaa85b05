"""Large trees: the measurement itself on few znodes, and what it makes of latencies."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from bench_fakes import ENVIRONMENT, a_history

from lab.bench.large_tree import Load, Spell, effect, size_text
from lab.bench.point import PROFILES
from lab.bench.speed_grid import large_trees
from lab.targets.target import TargetError


def spell(server: int, start_ms: int, end_ms: int) -> Spell:
    role = "leader" if server == 1 else "follower"
    return Spell(server, role, start_ms * 1_000_000, end_ms * 1_000_000, 1_000)


def test_the_effect_of_a_snapshot_is_the_p99_during_it_over_the_p99_without_any() -> None:
    history = a_history(300)  # a write a millisecond, each of 1 ms
    for row in (120, 121, 220):  # two writes during the leader's snapshot waited, and one during the follower's
        history.columns["sent_ns"][row] -= 4_000_000
    probe = effect(
        "bar/snapshot/1", 1_000.0, Load(0, 10**9, [spell(1, 110, 130), spell(2, 210, 230)], [history]), ["a flaw"]
    )
    assert probe.samples == [pytest.approx(5.0)], "the leader's, for which every write waits"
    assert probe.facts["p99_without_ms"] == pytest.approx(1.0)
    assert probe.facts["max_during_ms"] == pytest.approx(5.0)
    assert probe.facts["seconds_a_snapshot"] == pytest.approx(0.02)
    assert probe.findings == ["a flaw"], "what was not verified counts for nothing"


def test_only_what_came_before_all_snapshots_is_without_one() -> None:
    history = a_history(300)
    for row in (*range(131, 208), *range(231, 299)):  # what had piled up during the snapshots
        history.columns["sent_ns"][row] -= 9_000_000
    seen = Load(0, 10**9, [spell(1, 110, 130), spell(2, 210, 230)], [history])
    probe = effect("bar/snapshot/1", 1_000.0, seen, [])
    assert probe.facts["p99_without_ms"] == pytest.approx(1.0)
    assert probe.samples == [pytest.approx(1.0)]


def test_a_snapshot_during_which_nothing_was_written_says_nothing() -> None:
    with pytest.raises(TargetError, match="no write was acknowledged"):
        effect("bar/snapshot/1", 1.0, Load(0, 10**9, [spell(1, 110, 130), spell(2, 700, 800)], [a_history(300)]), [])


def test_numbers_of_znodes_are_named_shortly() -> None:
    assert [size_text(count) for count in (1_000_000, 100_000, 10_000, 1_500)] == ["1m", "100k", "10k", "1500"]


def test_every_profile_measures_large_trees_and_but_smoke_a_million() -> None:
    most = {name: max(int(job.arguments[0]) for job in large_trees(name)) for name in PROFILES}
    assert most == {"smoke": 10_000, "quick": 1_000_000, "full": 1_000_000}
    assert all(job.rounds >= 3 for name in ("quick", "full") for job in large_trees(name) if job.id == "tree/1m")


@pytest.mark.process
def test_a_few_znodes_are_filled_snapshotted_recovered_and_verified(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.large_tree", "2000", "500", "0.3", "--folder", tmp_path, "--round", "1",
         "--data-dir", tmp_path / "data"],
        capture_output=True, text=True, check=False, timeout=120, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    records = {record["probe"]: record for line in (tmp_path / "probes.jsonl").read_bytes().splitlines()
               for record in [orjson.loads(line)]}  # fmt: skip
    assert set(records) == {
        "bar/start/empty", "bar/start/2k", "tree/heap/2k", "tree/snapshot/2k", "bar/snapshot/2k"
    }  # fmt: skip
    assert all(record["verified"] and record["round"] == 1 for record in records.values())
    assert records["tree/heap/2k"]["n"] == records["tree/snapshot/2k"]["n"] == 3
    assert 100 < records["tree/snapshot/2k"]["value"] < 300, "a znode is its path, 100 bytes, and little more"
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_what_it_cannot_make_sense_of_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.large_tree", "many"], capture_output=True, text=True, check=False,
        timeout=60, env=ENVIRONMENT, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "lab: many: allowed: a number of znodes, of writes/s and of seconds\n"
