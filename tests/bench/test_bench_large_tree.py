"""Large trees: the measurement itself on few znodes, and what it makes of latencies."""

import subprocess
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import orjson
import pytest
from bench_fakes import ENVIRONMENT, a_history

from lab.bench import large_tree
from lab.bench.large_tree import Load, Spell, effect, measure, size_text
from lab.bench.point import PROFILES
from lab.bench.probe import Probe, run_job
from lab.bench.record import Settings
from lab.bench.speed_grid import large_trees
from lab.client.history import History
from lab.targets.target import TargetError


def spell(server: int, start_ms: int, end_ms: int) -> Spell:
    role = "leader" if server == 1 else "follower"
    return Spell(server, role, start_ms * 1_000_000, end_ms * 1_000_000, 1_000)


SPELLS = (spell(1, 110, 130), spell(2, 210, 230))


def a_steady_history() -> History:
    """300 writes, one a millisecond, each sent when it was meant to be and done a millisecond later."""
    history = a_history(300)
    history.columns["actual_ns"] = history.columns["sent_ns"][:]
    history.columns["held_ns"] = array("q", [0] * 300)
    return history


def shifted(history: History, name: str, rows: Iterable[int], ms: float) -> History:
    for row in rows:
        history.columns[name][row] += int(ms * 1_000_000)
    return history


def effect_of(history: History, findings: list[str], spells: Sequence[Spell] = SPELLS, start_ms: int = 0) -> Probe:
    seen = Load(start_ms * 1_000_000, 10**9, list(spells), [history])
    return effect("bar/snapshot/1", Settings(rate=1_000.0), seen, findings)


def test_the_effect_of_a_snapshot_is_the_p99_during_it_over_the_p99_without_any() -> None:
    """Two writes during the leader's snapshot waited, and one during the follower's."""
    history = a_steady_history()
    for name in ("sent_ns", "actual_ns"):
        shifted(history, name, (120, 121, 220), -4.0)
    probe = effect_of(history, ["a flaw"])
    assert probe.samples == [pytest.approx(5.0)], "the leader's, for which every write waits"
    assert probe.facts["p99_without_ms"] == pytest.approx(1.0)
    assert probe.facts["max_during_ms"] == pytest.approx(5.0)
    assert probe.facts["seconds_a_snapshot"] == pytest.approx(0.02)
    assert probe.findings == ["a flaw"], "what was not verified counts for nothing"


def test_only_what_came_before_all_snapshots_is_without_one() -> None:
    """What piled up during the snapshots is answered after them."""
    probe = effect_of(shifted(a_steady_history(), "sent_ns", (*range(131, 208), *range(231, 299)), -9.0), [])
    assert probe.facts["p99_without_ms"] == pytest.approx(1.0)
    assert probe.samples == [pytest.approx(1.0)]
    assert probe.findings == []


def test_a_rate_that_was_not_kept_before_the_snapshots_makes_their_effect_count_for_nothing() -> None:
    """From the ninth write on they take 20 ms longer, and the last are done during the leader's snapshot."""
    probe = effect_of(shifted(a_steady_history(), "done_ns", range(8, 108), 20.0), [])
    assert probe.facts["done_per_s_without"] == pytest.approx(800.0)
    assert probe.findings == ["before the snapshots the 1,000 writes/s were not kept: its p99 is of a backlog"]


def test_a_backlog_that_was_worked_off_before_the_snapshots_makes_their_effect_count_for_nothing() -> None:
    """Writes of the time before are done in it."""
    probe = effect_of(shifted(a_steady_history(), "done_ns", range(30, 48), 25.0), [], start_ms=50)
    assert probe.findings == ["before the snapshots a backlog from the warm-up was worked off: its p99 is of that"]


@pytest.mark.parametrize(
    ("rows", "when"), [(range(50, 60), "before the snapshots"), (range(112, 122), "during the leader's snapshot")]
)
def test_a_generator_that_was_late_makes_the_effect_count_for_nothing(rows: range, when: str) -> None:
    probe = effect_of(shifted(a_steady_history(), "actual_ns", rows, 0.8), [])
    assert probe.findings == [f"the load generator was late {when}: by 0.80 ms at p99"]


def test_a_generator_that_sent_nothing_during_the_snapshot_was_late() -> None:
    history = a_steady_history()
    for name in ("actual_ns", "done_ns"):
        shifted(history, name, range(109, 129), 30.0)
    probe = effect_of(history, [])
    assert probe.findings == ["the load generator was late during the leader's snapshot: nothing was sent"]


def test_a_snapshot_during_which_nothing_was_written_says_nothing() -> None:
    with pytest.raises(TargetError, match="no write was acknowledged"):
        effect_of(a_steady_history(), [], [spell(1, 110, 130), spell(2, 700, 800)])


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
    records = {record["probe"]: record for line in (tmp_path / "probes.jsonl").read_bytes().splitlines()
               for record in [orjson.loads(line)]}  # fmt: skip
    assert set(records) == {
        "bar/start/empty", "bar/start/2k", "tree/heap/2k", "tree/snapshot/2k", "bar/snapshot/2k"
    }  # fmt: skip
    assert all(record["round"] == 1 for record in records.values())
    findings = {name: record["findings"] for name, record in records.items() if not record["verified"]}
    off_schedule = findings.pop("bar/snapshot/2k", [])  # a machine busy with something else may not keep the rate
    assert not findings
    assert all("before the snapshots" in found or "load generator" in found for found in off_schedule)
    assert done.returncode == bool(off_schedule), done.stderr
    assert records["tree/heap/2k"]["n"] == records["tree/snapshot/2k"]["n"] == 3
    assert 100 < records["tree/snapshot/2k"]["value"] < 300, "a znode is its path, 100 bytes, and little more"
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize("typed", [None, "/data"])
def test_run_folders_lie_where_everybodys_do_unless_another_place_is_asked_for(
    typed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who starts next clears away there what a killed run left behind."""
    asked: list[Path | None] = []

    def refuse(settings: Settings, data_dir: Path | None) -> NoReturn:
        asked.append(data_dir)
        raise TargetError("enough")

    monkeypatch.setattr(large_tree, "make_target", refuse)
    monkeypatch.setattr(sys, "argv", ["large_tree", "10", "10", "1", *(["--data-dir", typed] if typed else [])])
    with pytest.raises(SystemExit):
        run_job(measure, "")
    assert asked == [Path(typed) if typed else None]


def test_what_it_cannot_make_sense_of_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.large_tree", "many"], capture_output=True, text=True, check=False,
        timeout=60, env=ENVIRONMENT, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "lab: many: allowed: a number of znodes, of writes/s and of seconds\n"
