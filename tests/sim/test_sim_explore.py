"""`python -m lab sim`: a seed that shows a fault is named with what clashed, and replays to the byte."""

import os
from functools import partial

import pytest

from lab.bench.lifeline import die_with_parent
from lab.cli import main
from lab.sim.explore import examine, examine_many, trace
from lab.zab.quorum import Majority


def commit_on_any_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Majority, "frontier", lambda _, acked: max(acked.values()))


def test_a_planted_bug_is_found_and_its_finding_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch):
    commit_on_any_ack(monkeypatch)
    finding = next(filter(None, map(examine, range(40))))
    first, *servers, again = finding.lines()
    assert first.startswith(f"seed {finding.seed}, step {finding.step}, ")
    assert "INV-" in first
    assert servers
    assert again == f"again: python -m lab sim --seed {finding.seed} --trace"
    assert examine(finding.seed) == finding


def test_a_trace_is_the_same_every_time():
    def lines() -> list[str]:
        written: list[str] = []
        assert trace(3, written.append) is None
        return written

    once = lines()
    assert len(once) > 100
    assert once == lines()


@pytest.mark.process
def test_many_seeds_are_shared_out_to_processes():
    outcomes = list(examine_many(range(100, 120), 2, partial(die_with_parent, os.getpid())))
    assert outcomes == [None] * 20


def test_one_seed_by_the_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["sim", "--seed", "5"])
    assert end.value.code == 0
    assert capsys.readouterr().out == "seed 5: nothing found\n"


def test_the_command_ends_with_status_1_and_says_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    commit_on_any_ack(monkeypatch)
    seed = next(seed for seed in range(40) if examine(seed) is not None)
    with pytest.raises(SystemExit) as end:
        main(["sim", "--seed", str(seed)])
    assert end.value.code == 1
    assert f"again: python -m lab sim --seed {seed} --trace" in capsys.readouterr().err


def test_a_trace_is_of_one_seed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["sim", "--trace"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("lab: --trace needs --seed")
