import msgspec
import pytest
import synthetic

from lab.report.about import method, threats
from lab.report.statistics import Effect
from lab.report.tables import tables
from lab.report.verdicts import findings, sentences
from lab.report.wording import change, compared, cost_in_time, count, percent


@pytest.mark.parametrize(("effect", "says"), [
    (Effect(0.88, 0.85, 0.91, 6), "cost 12 % of it (9 to 15 %, n = 6)"),
    (Effect(1.10, 1.06, 1.14, 6), "raised it by 10 % (6 to 14 %, n = 6)"),
    (Effect(0.99, 0.97, 1.01, 6), "left it within 5 % (−1 %, −3 to +1 %, n = 6)"),
    (Effect(0.86, None, None, 1), "showed −14 % of it (n = 1: no interval, a hint and not a finding)"),
])  # fmt: skip
def test_a_change_is_worded_as_its_interval_allows(effect, says):
    assert change(effect, "it") == says


def test_an_undecided_change_claims_nothing():
    text = change(Effect(0.97, 0.88, 1.07, 6), "write throughput")
    assert text.startswith("did not change write throughput for sure (−3 %, −12 to +7 %, n = 6; about ")
    assert text.endswith("more rounds would tell)")


@pytest.mark.parametrize(("effect", "says"), [
    (Effect(1.21, 1.15, 1.28, 6), "21 % more (15 to 28 %, n = 6) than"),
    (Effect(0.80, 0.75, 0.85, 6), "20 % less (15 to 25 %, n = 6) than"),
    (Effect(1.00, 0.97, 1.03, 6), "as much, within 5 % (−3 to +3 %, n = 6), as"),
    (Effect(1.30, None, None, 1), "30 % more (n = 1, a hint) than"),
])  # fmt: skip
def test_a_comparison_is_worded_as_its_interval_allows(effect, says):
    assert compared(effect) == says


def test_more_time_is_worse():
    assert cost_in_time(Effect(1.47, 1.27, 1.71, 6)) == "+47 % (+27 to +71 %, n = 6: worse)"
    assert cost_in_time(Effect(0.80, 0.75, 0.85, 6)) == "−20 % (−25 to −15 %, n = 6: better)"


@pytest.mark.parametrize(("share", "text"), [(0.094, "9.4 %"), (0.12, "12 %"), (-0.0001, "0 %"), (-0.05, "−5 %")])
def test_percentages_have_the_digits_that_count(share, text):
    assert percent(share) == text


def test_small_counts_are_words():
    assert (count(2, "observer"), count(1, "core"), count(12, "core")) == ("two observers", "one core", "12 cores")


def test_a_quick_run_answers_what_observers_did(loaded):
    text = " ".join(sentences(loaded["quick"]))
    assert "Two observers beside 3 voters (3+2) cost " in text
    assert "growing to 5 voters instead cost " in text
    assert "At equal totals 3+2 wrote " in text
    assert "each added voter 1.2 µs (" in text
    assert "four observers beside 3 voters (3+4) took reads from " in text
    assert "so it begins to pay off between 50 % and 90 % reads" in text
    assert "via observers" in text
    assert "After a crash of the leader 3+0 acknowledged writes again in " in text
    assert text.count("Not shown:") == 1


def test_every_difference_of_a_smoke_run_says_that_it_proves_nothing(loaded):
    for finding in findings(loaded["smoke"])[:2]:
        for sentence in finding.sentences:
            assert "n = 1" in sentence or "Bytes that the leader sent" in sentence
    assert "(n = 1, no interval)" in " ".join(sentences(loaded["smoke"]))


def test_a_run_that_compares_nothing_says_so(run_of):
    said = sentences(run_of([synthetic.World().write_throughput(3, 0, 0)]))
    assert said[0].startswith("This run compares no two ensembles")


def test_a_budget_that_could_not_be_set_is_claimed_nowhere(run_of):
    world = synthetic.World()
    trials = [world.read_mix(*shape, 1.0, 0) for shape in ((3, 0), (3, 2))]
    run = run_of([msgspec.structs.replace(trial, budget="none") for trial in trials])
    said = " ".join(sentences(run))
    assert "held to" not in said
    assert "without a CPU budget the servers share the host's cores" in said
    assert not any("held to" in text for text in method(run))
    assert any("2 trials were to run with each server held to a share of a CPU, but" in text for text in threats(run))
    assert not any("% CPU each" in cell for table in tables(run) for row in table.rows for cell in row)


def test_excluded_interrupted_and_limited_are_said(run_of):
    world = synthetic.World()
    bad = msgspec.structs.replace(world.write_throughput(3, 0, 0), verified=False)
    limited = msgspec.structs.replace(world.write_throughput(3, 2, 0), client_limited=True)
    text = " ".join(sentences(run_of([bad, limited, world.write_throughput(3, 0, 1)], finished=False)))
    assert "One record did not pass verification and is in no figure; the first because it was not verified." in text
    assert "In 1 of 2 trials the load generator was the limit" in text
    assert "The run was interrupted" in text
