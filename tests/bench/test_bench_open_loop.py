"""What an open loop says about its window, on histories whose numbers are known."""

import msgspec
import pytest
from bench_fakes import SESSION, FakeLoad, FakeTarget, FakeWindow, replicas_of

from lab.bench.ledger import in_words
from lab.bench.record import Settings
from lab.bench.summary import summary
from lab.bench.trial import run_trial
from lab.client.history import History, Kind, Outcome

MS = 1_000_000
WINDOW = FakeWindow(100 * MS, 200 * MS, cpu_s=0.02)
SETTINGS = Settings(outstanding=1, rate=1000.0, arrivals="poisson")


def history_of(operations):
    """(intended, held until, sent, done) in ms, one write each of key 0."""
    history = History(0, [SESSION], open_loop=True)
    for cxid, (intended, held, actual, done) in enumerate(operations, 1):
        row = {
            "kind": Kind.WRITE, "session": 0, "cxid": cxid, "key": 0, "sent_ns": int(intended * MS),
            "done_ns": int(done * MS), "outcome": Outcome.ACKNOWLEDGED, "zxid": (1 << 32) + 1 + cxid, "mzxid": -1,
            "writer": -1, "writer_cxid": -1, "version": cxid, "intact": -1, "actual_ns": int(actual * MS),
            "held_ns": int(held * MS),
        }  # fmt: skip
        for name, value in row.items():
            history.columns[name].append(value)
    return history


def measure(operations, *, asked, asked_until_end, settings=SETTINGS):
    target = FakeTarget()
    load = FakeLoad(target, window=WINDOW)
    load.history, load.asked, load.asked_until_end = history_of(operations), asked, asked_until_end
    target.states = replicas_of(load.history, target.members)
    record = run_trial(settings, target, load)
    assert record.verified, record.checks.findings
    return record


def steady(latency_ms=3.0, lag_ms=0.1):
    """An operation a millisecond, from 50 ms before the window to 50 ms after it."""
    return [(t, 0, t + lag_ms, t + latency_ms) for t in range(50, 250)]


def test_a_generator_that_keeps_its_schedule_is_told_with_both_clocks():
    record = measure(steady(), asked=100, asked_until_end=150)
    loop = record.open_loop
    assert (loop.offered, loop.offered_per_s, record.ops_per_s) == (100, 1000.0, 1000.0)
    assert (loop.reached, loop.generator_late, loop.unsent, loop.held) == (True, False, 0, 0)
    assert loop.backlog == 3, "those of the last 3 ms"
    assert record.latency_us["write"].p50 == 3000.0
    assert loop.service_us["write"].p50 == 2900.0
    assert (loop.lag_us.p50, loop.lag_us.count, record.client_lag_us) == (100.0, 100, 100.0)
    assert loop.generator_cpu == pytest.approx(0.2)
    text = summary(record)
    assert "offered 1,000/s, achieved 1,000/s, 3 unanswered at the window's end" in text
    assert "late:" not in text
    assert "not reached" not in text


def test_a_generator_that_is_late_is_blamed_and_not_the_servers():
    record = measure(steady(latency_ms=3.0, lag_ms=1.6), asked=100, asked_until_end=150)
    assert record.open_loop.generator_late
    assert "the load generator was late" in summary(record)
    assert "the generator was late" in in_words(record)


def test_a_system_that_falls_behind_is_told_with_its_backlog():
    """At half the rate: what is not answered piles up, also outside of the system."""
    operations = [(t, 0, t + 0.1, 50 + 2 * (t - 49)) for t in range(50, 190)]
    record = measure(operations, asked=100, asked_until_end=150)
    loop = record.open_loop
    assert (loop.reached, loop.generator_late) == (False, False)
    assert loop.unsent == 10
    assert loop.backlog == 150 - 74
    text = summary(record)
    assert "offered 1,000/s, achieved 500/s, 76 unanswered at the window's end" in text
    assert "the rate asked for was not reached" in text
    assert "rate not kept" in in_words(record)


def test_a_system_that_works_off_what_had_piled_up_is_told_too():
    operations = [(t, 0, t + 0.1, max(100.5 + t / 2, t + 3)) for t in range(50, 250)]
    record = measure(operations, asked=100, asked_until_end=150)
    assert (record.open_loop.reached, record.open_loop.caught_up) == (True, True)
    assert record.ops_per_s > 1000
    assert "a backlog from before the window was worked off" in summary(record)


def test_waiting_for_others_in_flight_is_no_lag_of_the_generator():
    held = [(t, 0 if t < 100 else t + 40, t + (0.1 if t < 100 else 40.2), t + 60) for t in range(50, 200)]
    record = measure(held, asked=100, asked_until_end=150)
    loop = record.open_loop
    assert loop.held == 60, "those of the window's operations that were sent in it"
    assert loop.lag_us.max == pytest.approx(200.0)
    assert not loop.generator_late
    assert record.latency_us["write"].p50 == 60_000.0, "the waiting counts"
    assert "60 operations had to wait" in summary(record)


def test_a_generator_that_sent_nothing_was_late():
    record = measure([(50, 0, 50, 51)], asked=100, asked_until_end=101)
    assert (record.open_loop.lag_us, record.open_loop.generator_late) == (None, True)
    assert "nothing was sent" in summary(record)


@pytest.mark.parametrize(("arrivals", "reached"), [("constant", False), ("burst:size=20", True)])
def test_a_burst_that_is_cut_by_the_windows_end_is_no_failure_to_reach_the_rate(arrivals, reached):
    settings = msgspec.structs.replace(SETTINGS, arrivals=arrivals)
    record = measure(steady(), asked=115, asked_until_end=165, settings=settings)
    assert record.open_loop.reached == reached


def test_a_closed_loop_offers_nothing():
    target = FakeTarget()
    record = run_trial(Settings(outstanding=1), target, FakeLoad(target))
    assert record.open_loop is None
    assert "offered" not in summary(record)
