import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.report.statistics import (
    BOOTSTRAP_FROM,
    MARGIN,
    Effect,
    Sample,
    estimate,
    holm,
    judge,
    mean_interval,
    median_estimate,
    median_ratio,
    process_means,
    ratio,
    slope,
)

positive = st.floats(min_value=1e-3, max_value=1e6)


def in_rounds(*values: float) -> Sample:
    return Sample(tuple(values), tuple(range(len(values))))


def alone(*values: float) -> Sample:
    return Sample(tuple(values), (None,) * len(values))


def test_values_of_one_process_are_averaged_and_count_once():
    sample = process_means([(0, 1.0), (1, 10.0), (0, 3.0), (None, 7.0), (None, 8.0)])
    assert sample == Sample((7.0, 8.0, 2.0, 10.0), (None, None, 0, 1))


def test_a_single_value_has_no_interval():
    assert estimate(alone(5.0)).low is None
    assert ratio(alone(5.0), alone(4.0)).low is None
    assert judge(ratio(alone(5.0), alone(1.0)), higher_is_better=True).word == "undecided"


def test_t_interval_of_a_textbook_sample():
    low, high = mean_interval(np.array([9.0, 10.0, 11.0]))
    assert (low, high) == pytest.approx((10 - 4.302653 / math.sqrt(3), 10 + 4.302653 / math.sqrt(3)))


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval(np.full(4, 3.0)) == (3.0, 3.0)
    assert mean_interval(np.full(BOOTSTRAP_FROM, 3.0)) == (3.0, 3.0)


@pytest.mark.parametrize("n", [3, 6, 9, BOOTSTRAP_FROM, 15])
@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_95_percent_intervals_hold_the_truth_about_95_times_in_100(n, spread):
    rng, trials = np.random.default_rng(n), 300
    held = 0
    for _ in range(trials):
        found = estimate(in_rounds(*rng.lognormal(math.log(100), spread, n)))
        held += found.low <= 100 <= found.high
    assert 0.915 <= held / trials <= 0.98  # 3 standard errors of 300 trials, and the bootstrap's own error


def test_paired_ratios_do_not_see_what_a_round_does_to_both():
    rng = np.random.default_rng(3)
    weather = rng.lognormal(0, 0.5, 6)
    a, b = weather * 100, weather * 90 * rng.lognormal(0, 0.01, 6)
    paired = ratio(in_rounds(*b), in_rounds(*a))
    unpaired = ratio(in_rounds(*b), in_rounds(*a), paired=False)
    assert 0.85 < paired.low < paired.high < 0.95
    assert unpaired.low < 0.6 < 1.4 < unpaired.high


def test_only_common_rounds_are_paired():
    effect = ratio(Sample((2.0, 4.0, 9.0), (0, 1, 5)), Sample((1.0, 2.0, 1.0), (0, 1, 2)))
    assert (effect.n, effect.ratio) == (2, pytest.approx(2.0))


@given(st.floats(0.2, 5.0), st.floats(0.0, 2.0), st.integers(2, 40), st.booleans())
def test_equivalence_is_never_claimed_with_a_wide_interval(centre, half, n, higher):
    effect = Effect(centre, centre * math.exp(-half), centre * math.exp(half), n, 0.5)
    verdict = judge(effect, higher_is_better=higher)
    if verdict.word == "equivalent":
        assert effect.high / effect.low <= (1 + MARGIN) ** 2 * (1 + 1e-12)
        assert 1 / (1 + MARGIN) <= effect.low <= effect.high <= 1 + MARGIN
    if verdict.word in ("better", "worse"):
        assert not effect.low <= 1 <= effect.high
    assert (verdict.more is not None) == (verdict.word == "undecided")
    assert verdict.more is None or verdict.more >= 1


@given(st.lists(positive, min_size=2, max_size=12), st.lists(positive, min_size=2, max_size=12))
def test_better_one_way_is_worse_the_other_way(a, b):
    forth, back = ratio(in_rounds(*a), in_rounds(*b)), ratio(in_rounds(*b), in_rounds(*a))
    assert forth.ratio * back.ratio == pytest.approx(1)
    mirror = {"better": "worse", "worse": "better", "equivalent": "equivalent", "undecided": "undecided"}
    if min(len(a), len(b)) < BOOTSTRAP_FROM:  # resampling is seeded, not mirrored
        assert judge(back, higher_is_better=True).word == mirror[judge(forth, higher_is_better=True).word]


def test_an_interval_beyond_all_numbers_is_told_as_none():
    """Resamples of nearly equal values without the wild one have next to no error: exp of such a t overflowed once."""
    wild, tame = in_rounds(*[1.0] * 8, 1.0 + 1e-9, 1e6), in_rounds(*[1.0] * 10)
    effect = ratio(wild, tame)
    assert (effect.low, effect.high, effect.p) == (None, None, None)
    assert judge(effect, higher_is_better=True).word == "undecided"
    assert estimate(wild).low is None


@given(st.lists(positive, min_size=1, max_size=30))
def test_estimates_lie_within_their_interval_and_their_values(values):
    found = estimate(alone(*values))
    assert min(values) * (1 - 1e-9) <= found.value <= max(values) * (1 + 1e-9)
    if found.low is not None:
        assert found.low <= found.value * (1 + 1e-9)
        assert found.value <= found.high * (1 + 1e-9)


@pytest.mark.parametrize(("effect", "word"), [
    (Effect(1.20, 1.10, 1.30, 6), "better"),
    (Effect(0.80, 0.70, 0.90, 6), "worse"),
    (Effect(1.01, 0.98, 1.04, 6), "equivalent"),
    (Effect(1.03, 1.01, 1.04, 6), "equivalent"),  # surely a difference, and surely a small one
    (Effect(1.10, 0.95, 1.25, 6), "undecided"),
    (Effect(1.00, 0.90, 1.10, 6), "undecided"),
])  # fmt: skip
def test_verdicts(effect, word):
    assert judge(effect, higher_is_better=True).word == word


def test_undecided_says_how_many_more_would_do():
    wide, narrow = Effect(1.02, 0.80, 1.30, 6), Effect(1.02, 0.96, 1.08, 6)
    assert judge(wide, higher_is_better=True).more > judge(narrow, higher_is_better=True).more


def test_running_as_many_more_as_asked_usually_decides():
    rng = np.random.default_rng(5)
    few = rng.lognormal(math.log(1.06), 0.06, 5)
    more = judge(ratio(in_rounds(*few), in_rounds(*np.ones(5))), higher_is_better=True).more
    many = np.concatenate([few, rng.lognormal(math.log(1.06), 0.06, 2 * more)])
    assert judge(ratio(in_rounds(*many), in_rounds(*np.ones(len(many)))), higher_is_better=True).word == "better"


def test_the_slope_is_found_despite_drift_between_rounds():
    rng = np.random.default_rng(2)
    drift = rng.normal(0, 20, 8)
    points = [(x, in_rounds(*(50 + 3.0 * x + drift + rng.normal(0, 0.2, 8)))) for x in (3, 5, 7)]
    found = slope(points)
    assert found.low < 3.0 < found.high
    assert found.high - found.low < 0.5


def test_a_slope_needs_two_places_and_one_round_has_no_interval():
    assert slope([(3, in_rounds(1.0, 2.0))]) is None
    assert slope([(3, in_rounds(1.0)), (5, in_rounds(5.0))]).value == pytest.approx(2.0)
    assert slope([(3, in_rounds(1.0)), (5, in_rounds(5.0))]).low is None


def test_medians_have_no_interval_below_six_values_and_the_extremes_at_six():
    assert median_estimate([1, 2, 3, 4, 5]).low is None
    assert (median_estimate([6, 1, 2, 3, 4, 5]).low, median_estimate([6, 1, 2, 3, 4, 5]).high) == (1, 6)


@pytest.mark.parametrize("n", [6, 20, 60])
def test_median_intervals_hold_the_truth_at_least_as_often_as_they_say(n):
    rng, trials = np.random.default_rng(n), 400
    found = [median_estimate(rng.exponential(1.0, n)) for _ in range(trials)]
    assert sum(f.low <= math.log(2) <= f.high for f in found) / trials >= 0.93


def test_a_ratio_of_medians_finds_a_difference_and_its_size():
    rng = np.random.default_rng(1)
    effect = median_ratio(rng.lognormal(math.log(60), 0.2, 40), rng.lognormal(math.log(40), 0.2, 40))
    assert effect.low < 1.5 < effect.high
    assert effect.p < 0.01


def test_holm_against_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_same_numbers_give_the_same_interval():
    values = in_rounds(*np.random.default_rng(0).lognormal(0, 0.1, 12))
    assert estimate(values) == estimate(values)
