"""Arrival processes and the schedule that a load process sends by.  Samples are seeded: no chance is left."""

import random
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lab.bench.arrivals import (
    PROCESSES,
    ArrivalsError,
    allowed_text,
    has_profile,
    parse_arrivals,
    profiled,
    stationary,
)
from lab.bench.schedule import Schedule

SECOND = 1_000_000_000
START = 7 * SECOND
PROFILES = ["step", "ramp", "sine"]


def times_of(text, rate=10_000.0, seconds=10, clients=1, seed=1):
    """What all clients together are to send within a window of so many seconds, ascending."""
    end, found = START + seconds * SECOND, []
    for client in range(clients):
        schedule = Schedule(parse_arrivals(text), rate, seed, client, clients, START)
        schedule.measure(START, end)
        schedule.issue(schedule.due(end - 1, 1 << 40), 0)
        found += schedule.intended_ns
    return np.sort(np.array(found)) - START


def dispersion(times, seconds, slots_per_s=1000):
    """Variance of the number of arrivals in a slot over its mean: 1 for Poisson."""
    numbers = np.bincount(times * slots_per_s // SECOND, minlength=seconds * slots_per_s)
    return numbers.var() / numbers.mean()


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("process", PROCESSES)
def test_the_mean_rate_is_the_rate(process, clients):
    times = times_of(process, clients=clients)
    assert len(times) == pytest.approx(100_000, rel=0.01)
    assert times.min() >= 0
    assert times.max() < 10 * SECOND


@pytest.mark.parametrize("clients", [1, 4])
def test_several_poisson_clients_together_are_poisson(clients):
    times = times_of("poisson", rate=4_321.0, clients=clients)
    assert dispersion(times, 10) == pytest.approx(1, abs=0.05)
    assert stats.kstest(np.diff(times), "expon", args=(0, SECOND / 4_321)).pvalue > 0.01


@pytest.mark.parametrize("clients", [1, 4])
@pytest.mark.parametrize(("process", "size"), [("constant", 1), ("burst:size=10", 10)])
def test_several_clients_take_turns_at_what_comes_at_equal_distances(process, size, clients):
    instants, sizes = np.unique(times_of(process, rate=4_321.0, clients=clients), return_counts=True)
    assert set(sizes) == {size}
    period = size * SECOND / 4_321
    assert set(np.diff(instants)) <= {int(period), int(period) + 1}


def test_a_step_has_less_before_it_and_more_after():
    times = times_of("step:low=0.2,at=0.75")
    assert np.count_nonzero(times < 7.5 * SECOND) == pytest.approx(0.2 * 75_000, rel=0.02)
    late = times[times >= 7.5 * SECOND] - 7.5 * SECOND
    assert len(late) == pytest.approx(100_000 - 0.2 * 75_000, rel=0.02)
    assert np.bincount((late // (SECOND // 2)).astype(int)).std() < 0.02 * len(late), "level after the step"


def test_a_ramp_grows_in_proportion_to_time():
    counts = np.bincount(times_of("ramp") // SECOND)
    assert counts == pytest.approx([2_000 * (second + 0.5) for second in range(10)], abs=4 * 140)
    level = np.bincount(times_of("ramp:low=0.9") // SECOND)
    assert level[0] == pytest.approx(9_100, abs=400)
    assert level[-1] == pytest.approx(10_900, abs=400)


def test_a_sine_goes_up_and_down_so_many_times():
    counts = np.bincount(times_of("sine:depth=1,cycles=5") // (SECOND // 4), minlength=40)
    wave = 2_500 * (1 + np.sin(2 * np.pi * (np.arange(40) + 0.5) / 8))
    assert counts == pytest.approx(wave, abs=4 * 70)


@pytest.mark.parametrize("process", PROFILES)
def test_within_a_profile_arrivals_are_poisson(process):
    """Seen through its own rate: gaps of the expected count are exponential."""
    times = times_of(process, rate=2_000.0) / (10 * SECOND)
    share = {
        "step": np.where(times < 0.5, 0.5 * times, 0.25 + 1.5 * (times - 0.5)),
        "ramp": times**2,
        "sine": times + 0.5 * (1 - np.cos(4 * np.pi * times)) / (4 * np.pi),
    }[process]
    assert stats.kstest(np.diff(share) * 20_000, "expon").pvalue > 0.01


@pytest.mark.parametrize("process", PROFILES)
def test_outside_of_the_window_a_profile_is_level(process):
    schedule = Schedule(parse_arrivals(process), 10_000.0, 1, 0, 1, START)
    schedule.issue(schedule.due(START + 5 * SECOND, 1 << 40), 0)
    before = len(schedule.intended_ns)
    schedule.measure(START + 5 * SECOND, START + 7 * SECOND)
    schedule.issue(schedule.due(START + 7 * SECOND, 1 << 40), 0)
    within = len(schedule.intended_ns) - before
    schedule.issue(schedule.due(START + 12 * SECOND, 1 << 40), 0)
    after = len(schedule.intended_ns) - before - within
    assert (before, within, after) == pytest.approx((50_000, 20_000, 50_000), rel=0.03)
    assert list(schedule.intended_ns) == sorted(schedule.intended_ns)


@given(
    st.sampled_from(list(PROCESSES)), st.floats(0.5, 1e6), st.integers(0, 1 << 32), st.integers(0, 3), st.integers(1, 4)
)
def test_seed_and_client_decide_and_times_ascend(process, rate, seed, client, clients):
    arrivals = parse_arrivals(process)

    def first():
        rng = random.Random(seed)
        if has_profile(arrivals):
            chunks = profiled(arrivals, rate, rng, clients, START, START + SECOND)
        else:
            chunks = stationary(arrivals, rate, rng, client, clients, START)
        return [time for chunk in islice(chunks, 1100) for time in chunk][:2000]

    times = first()
    assert times == first()
    assert all(a <= b for a, b in pairwise(times))
    assert times[0] >= START


def test_other_seeds_and_other_clients_send_at_other_times():
    made = {
        tuple(Schedule(parse_arrivals("poisson"), 1e4, seed, client, 2, START)._times)
        for seed in (1, 2)
        for client in (0, 1)
    }
    assert len(made) == 4


@given(st.sampled_from(list(PROCESSES)), st.lists(st.integers(0, 30_000_000), min_size=1, max_size=20), st.data())
def test_what_is_due_is_sent_once_and_in_its_order(process, steps, data):
    schedule, now, sent = Schedule(parse_arrivals(process), 20_000.0, 5, 0, 1, START), START, 0
    whole = Schedule(parse_arrivals(process), 20_000.0, 5, 0, 1, START)
    whole.issue(whole.due(START + 10 * SECOND // 10, 1 << 40), 0)
    for step in steps:
        now += step
        most = data.draw(st.integers(0, 700))
        due = schedule.due(now, most)
        assert due <= most
        assert due == most or schedule._times[schedule.issued + due] > now
        if due:
            schedule.issue(due, now)
            sent += due
    assert list(schedule.intended_ns) == list(whole.intended_ns)[:sent]
    assert len(schedule._times) <= sent + 700 + 512 + 100, "little is made ahead"
    assert schedule.next_ns == schedule._times[sent]


@pytest.mark.parametrize("process", PROCESSES)
def test_what_was_asked_is_known_of_a_client_that_fell_far_behind(process):
    window = (START + SECOND, START + 2 * SECOND)
    prompt, late = (Schedule(parse_arrivals(process), 50_000.0, 3, 0, 2, START) for _ in range(2))
    for schedule in (prompt, late):
        schedule.issue(schedule.due(START + SECOND - 1, 1 << 40), 0)
        schedule.measure(*window)
    prompt.issue(prompt.due(START + 3 * SECOND, 1 << 40), 0)
    intended = np.array(prompt.intended_ns)
    asked = int(np.count_nonzero((intended >= window[0]) & (intended < window[1])))
    assert asked == pytest.approx(25_000, rel=0.03)
    assert late.asked(*window) == prompt.asked(*window) == (asked, int(np.count_nonzero(intended < window[1])))


def test_a_window_that_is_told_of_late_keeps_the_times_ascending():
    schedule = Schedule(parse_arrivals("ramp:low=0.5"), 10_000.0, 3, 0, 1, START)
    schedule.issue(schedule.due(START + SECOND, 1 << 40), 0)
    schedule.measure(START + SECOND - 50_000_000, START + 2 * SECOND)
    schedule.issue(schedule.due(START + 2 * SECOND, 1 << 40), 0)
    assert list(schedule.intended_ns) == sorted(schedule.intended_ns)


@pytest.mark.parametrize(("text", "line"), [
    ("normal", "'normal', allowed: " + allowed_text()),
    ("", "'', allowed: " + allowed_text()),
    ("poisson:size=3", "'size=3' in 'poisson:size=3', allowed: no parameters"),
    ("burst:", "'' in 'burst:', allowed: size=..."),
    ("burst:size", "'size' in 'burst:size', allowed: a whole number, 1 to 100000"),
    ("burst:size=0", "'size=0' in 'burst:size=0', allowed: a whole number, 1 to 100000"),
    ("burst:size=2.5", "'size=2.5' in 'burst:size=2.5', allowed: a whole number, 1 to 100000"),
    ("burst:size=nan", "'size=nan' in 'burst:size=nan', allowed: a whole number, 1 to 100000"),
    ("burst:length=3", "'length=3' in 'burst:length=3', allowed: size=..."),
    ("step:low=1", "'low=1' in 'step:low=1', allowed: 0 to less than 1"),
    ("step:low=0,at=1", "'at=1' in 'step:low=0,at=1', allowed: more than 0 to less than 1"),
    ("ramp:low=x", "'low=x' in 'ramp:low=x', allowed: 0 to less than 1"),
    ("sine:depth=0", "'depth=0' in 'sine:depth=0', allowed: more than 0 to 1"),
    ("sine:cycles=inf", "'cycles=inf' in 'sine:cycles=inf', allowed: a whole number, 1 to 1000"),
])  # fmt: skip
def test_what_is_no_process_is_refused_in_one_line(text, line):
    with pytest.raises(ArrivalsError) as caught:
        parse_arrivals(text)
    assert str(caught.value) == line


def test_processes_have_defaults_and_take_parameters():
    assert parse_arrivals("step").params == {"low": 0.5, "at": 0.5}
    assert parse_arrivals("sine:cycles=3").params == {"depth": 0.5, "cycles": 3}
    assert (parse_arrivals("burst:size=7").at_once, parse_arrivals("ramp").at_once) == (7, 1)
