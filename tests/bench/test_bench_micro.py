"""The micro benchmarks at their smallest: one round each, and the answer checked."""

import subprocess
import sys

import orjson
import pytest
from bench_fakes import ENVIRONMENT

from lab.bench.micro.__main__ import PARTS
from lab.bench.micro.filing import FILE, REFERENCE_FILE, next_round
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
    monkeypatch.setattr(Tree, "set_run", lambda *_: None)
    work.run(1)
    with pytest.raises(WrongAnswerError, match="digest"):
        work.check()


def run_micro(*options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lab.bench.micro", *options],
        capture_output=True, text=True, check=False, timeout=60, env={**ENVIRONMENT, **environment},
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


@pytest.fixture
def run(tmp_path):
    """The folder of a run, beside that of the reference."""
    for name in ("reference", "new"):
        (tmp_path / name / "pyperf").mkdir(parents=True)
    (tmp_path / "reference" / "pyperf" / FILE).write_bytes(b"the last reference")
    return tmp_path / "new"


def test_a_round_is_filed_when_it_is_whole(run):
    with next_round(run) as file:
        file.write_bytes(b"one")
    with next_round(run) as file:
        file.write_bytes(file.read_bytes() + b" two")
        assert (run / "pyperf" / FILE).read_bytes() == b"one"
    with pytest.raises(KeyboardInterrupt):
        be_interrupted(run)
    assert (run / "pyperf" / FILE).read_bytes() == b"one two"
    assert {path.name for path in (run / "pyperf").iterdir()} == {FILE, REFERENCE_FILE}


def be_interrupted(run):
    with next_round(run) as file:
        file.write_bytes(b"half of the thi")
        raise KeyboardInterrupt


def test_a_run_keeps_what_was_the_reference_when_it_began(run):
    for later in (b"the last reference", b"a newer one"):
        (run.parent / "reference" / "pyperf" / FILE).write_bytes(later)
        with next_round(run) as file:
            file.touch()
        assert (run / "pyperf" / REFERENCE_FILE).read_bytes() == b"the last reference"
    with next_round(run.parent / "reference") as file:
        file.touch()
    assert [path.name for path in (run.parent / "reference" / "pyperf").iterdir()] == [FILE]


@pytest.mark.process
def test_bench_has_each_round_appended_to_the_results(run):
    for _ in range(2):
        done = run_micro("--only", "codec/encode-sets/1", "--processes", "1", "--quiet", "--folder", str(run))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "parts measured: 1"
    suite = orjson.loads((run / "pyperf" / FILE).read_bytes())
    assert [len(one["runs"]) for one in suite["benchmarks"]] == [2]


@pytest.mark.process
def test_a_wrong_answer_is_one_line_and_no_number(tmp_path):
    """`sitecustomize` is imported by pyperf's workers, too: the part is broken from outside."""
    broken = "import lab.bench.micro.yardstick as it\nit._turn = lambda: 255\n"
    (tmp_path / "sitecustomize.py").write_text(broken)
    path = f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"
    done = run_micro("--only", "yardstick", "-p", "1", "-o", str(tmp_path / "out.json"), PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr == "lab: micro: yardstick: entries that came back: 255 instead of 256\n"
    assert not (tmp_path / "out.json").exists()
