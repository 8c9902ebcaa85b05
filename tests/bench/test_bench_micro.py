"""The micro benchmarks at their smallest: one round each, and the answer checked."""

import subprocess
import sys

import orjson
import pytest
from bench_fakes import ENVIRONMENT

from lab.bench.micro.__main__ import PARTS
from lab.bench.micro.part import Part, Timed, WrongAnswerError, expect
from lab.service.tree import Tree


@pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])
def test_each_part_does_what_it_is_timed_for(part):
    work = part.build()
    assert work.run(1) >= 0.0
    work.check()
    work.run(2)
    work.check()


def test_names_are_told_apart_by_pyperf():
    assert len({part.name for part in PARTS}) == len(PARTS)
    assert all(part.operations > 0 and part.rounds > 0 and part.per and part.what for part in PARTS)


class Work:
    """Counts what is asked of it; wrong from the start."""

    def __init__(self):
        self.rounds = []

    def run(self, rounds):
        self.rounds.append(rounds)
        return 1.0

    def check(self):
        expect(self.rounds, [], "rounds")


def test_an_answer_is_checked_before_any_number_leaves():
    timed = Timed(Part("part/1", "a thing", "write", 1, 10, Work))
    with pytest.raises(WrongAnswerError, match=r"^part/1: rounds: \[20\] instead of \[\]$"):
        timed(2)


def test_a_broken_part_has_no_numbers(monkeypatch):
    part = next(part for part in PARTS if part.name == "tree/set/256")
    work = part.build()
    work.run(1)
    monkeypatch.setattr(Tree, "set_data", lambda *_: None)
    with pytest.raises(WrongAnswerError, match="digest"):
        work.check()


def run_micro(*options):
    return subprocess.run(
        [sys.executable, "-m", "lab.bench.micro", *options],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.process
def test_pyperf_measures_each_part_in_processes_of_its_own(tmp_path):
    out = tmp_path / "micro.json"
    done = run_micro("--only", "codec/encode-sets", "--processes", "2", "--values", "1", "--quiet", "-o", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    suite = orjson.loads(out.read_bytes())
    assert [one["metadata"]["name"] for one in suite["benchmarks"]] == ["codec/encode-sets/1", "codec/encode-sets/256"]
    assert [len(one["runs"]) for one in suite["benchmarks"]] == [2, 2]
    assert suite["metadata"]["lab_per"] == "write"  # what all have in common stands at the top
    assert len(suite["metadata"]["lab_machine"]) == 12


@pytest.mark.process
def test_a_part_that_is_not_there_is_one_line():
    done = run_micro("--only", "nothing")
    assert done.returncode == 2
    assert done.stderr.startswith("lab: micro: --only: no part begins with 'nothing'; there are turn/direct/1, ")
    assert done.stderr.count("\n") == 1
