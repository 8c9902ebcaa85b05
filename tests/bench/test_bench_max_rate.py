"""The search for the highest rate that holds: on systems whose limit is known, without a process."""

import io
import math
import random

import msgspec
import pytest
from bench_fakes import a_trial

from lab.bench.limits import SettingsError
from lab.bench.max_rate import STEPS_MAX, MaxRateRecord, find_max_rate, max_rate_lines, search_fields
from lab.bench.progress import Lines, Silent
from lab.bench.rate_search import RateSearch
from lab.bench.record import Checks, OpenLoop, Settings
from lab.bench.slo import Bound, SloError, missed, parse_slo

SETTINGS = Settings(rate=10_000.0, arrivals="poisson", seconds=2.0)


def searched(limit, blur, seed, first=10_000.0, steps=24):
    """A search on a system that holds at a rate with the probability of a logistic curve around its limit."""
    rng, search, asked = random.Random(seed), RateSearch(first, 1.0, 1e7), 0
    while asked < steps and (rate := search.next_rate()) is not None:
        above = math.log(rate / limit) / blur
        search.add(rate, held=rng.random() < 1 / (1 + math.exp(min(above, 500))))
        asked += 1
    return search, asked


@pytest.mark.parametrize(("first", "width"), [(100.0, 1.25), (10_000.0, 1.06), (1e6, 1.25)])
@pytest.mark.parametrize("limit", [1_234.0, 54_321.0, 777_777.0])
def test_a_sharp_limit_is_found_closely_wherever_the_search_begins(limit, first, width):
    """What the doubling takes is missing from the windows near the limit."""
    search, asked = searched(limit, 1e-3, 1, first)
    low, high = search.interval
    assert low <= limit <= high <= width * low
    assert search.limit == pytest.approx(limit, rel=0.04)
    assert asked <= 24


@pytest.mark.parametrize(("blur", "width"), [(0.02, 1.2), (0.05, 1.25), (0.1, 1.35)])
def test_a_blurred_limit_lies_in_its_interval_as_often_as_the_interval_says(blur, width):
    """40 searches of fixed seeds, of which two may miss."""
    found = [searched(80_000.0, blur, seed)[0] for seed in range(40)]
    within = sum(search.interval[0] <= 80_000.0 <= search.interval[1] for search in found)
    assert within >= 37
    widths = sorted(search.interval[1] / search.interval[0] for search in found)
    assert widths[20] < width
    assert sorted(search.limit for search in found)[20] == pytest.approx(80_000.0, rel=blur)


def test_a_blurred_limit_has_a_wider_interval_than_a_sharp_one():
    sharp, blurred = searched(50_000.0, 0.001, 3)[0], searched(50_000.0, 0.15, 3)[0]
    assert sharp.interval[1] / sharp.interval[0] < blurred.interval[1] / blurred.interval[0]


def test_one_answer_that_has_nothing_to_do_with_the_rate_does_not_mislead_the_search():
    search = RateSearch(10_000.0, 1.0, 1e7)
    search.add(10_000.0, held=False)  # a hiccup: the limit is at 60,000
    while (rate := search.next_rate()) is not None and len(search._held + search._missed) < 30:
        search.add(rate, held=rate < 60_000)
    search.add(50_000.0, held=True)
    for _ in range(20):
        search.add(search.limit, held=search.limit < 60_000)
    assert search.limit == pytest.approx(60_000, rel=0.2)


def test_the_rate_is_doubled_until_it_does_not_hold_and_halved_until_it_does():
    search = RateSearch(1_000.0, 1.0, 1e7)
    tried = []
    while not search.is_bracketed:
        tried.append(search.next_rate())
        search.add(tried[-1], held=tried[-1] < 10_000)
    assert tried == [1_000, 2_000, 4_000, 8_000, 16_000]
    search = RateSearch(1_000.0, 1.0, 1e7)
    search.add(search.next_rate(), held=False)
    assert search.next_rate() == 500


@pytest.mark.parametrize(("held", "edge"), [(True, 5_000.0), (False, 300.0)])
def test_a_search_ends_where_nothing_more_may_be_tried(held, edge):
    search, tried = RateSearch(1_000.0, 300.0, 5_000.0), []
    while (rate := search.next_rate()) is not None:
        tried.append(rate)
        search.add(rate, held=held)
    assert tried[-1] == edge
    assert not search.is_bracketed


# -- with trials


class System:
    """Serves up to `limit` operations/s within 2 ms at p99; its windows differ by `spread`.

    Above `failing_above` a window has three operations of the outcome `failing`: errors or unknown.
    """

    def __init__(
        self, limit, *, spread=0.0, late_above=math.inf, unverified_at=0, failing="errors", failing_above=math.inf
    ):
        self.limit, self.late_above, self.unverified_at = limit, late_above, unverified_at
        self.asked, self.rng, self.spread = [], random.Random(5), spread
        self.failing, self.failing_above = failing, failing_above

    def __call__(self, settings):
        self.asked.append(settings)
        limit = self.limit * self.rng.lognormvariate(0, self.spread)
        verified = len(self.asked) != self.unverified_at
        fits, late = settings.rate <= limit, settings.rate > self.late_above
        base = a_trial(settings=settings, verified=verified)
        write = msgspec.structs.replace(base.latency_us["write"], p50=300.0, p99=2_000.0 if fits else 400_000.0)
        loop = OpenLoop(
            offered=int(settings.rate * 2), offered_per_s=settings.rate, reached=fits or settings.rate < 1.05 * limit,
            caught_up=False, backlog=0, unsent=0, held=0, lag_us=write, service_us={"write": write}, generator_cpu=0.4,
            generator_late=late,
        )  # fmt: skip
        checks = base.checks if verified else Checks(writes=1, reads=0, reads_total=0, replicas=3, findings=["lost 7"])
        return msgspec.structs.replace(
            base, latency_us={"write": write}, open_loop=loop, ops_per_s=min(settings.rate, limit), checks=checks,
            client_lag_us=9e3 if late else 50.0, client_limited=False,
            **{self.failing: 3 if settings.rate > self.failing_above else 0},
        )  # fmt: skip


def test_the_limit_of_a_system_is_found_within_its_interval():
    system = System(123_456.0, spread=0.03)
    record = find_max_rate(SETTINGS, "p99=10ms", system, Silent())
    low, high = record.max_rate_interval
    assert low <= 123_456 <= high
    assert record.max_rate == pytest.approx(123_456, rel=0.05)
    assert (record.verified, record.limited_by) == (True, "system")
    assert [step.offered for step in record.steps][:5] == [10_000, 20_000, 40_000, 80_000, 160_000]
    assert record.at_least == max(step.offered for step in record.steps if step.ok)
    assert len({settings.seed for settings in system.asked}) == len(record.steps) <= 24
    assert msgspec.convert(msgspec.to_builtins(record), MaxRateRecord) == record


def test_each_step_is_told_and_says_why_it_did_not_hold():
    told = io.StringIO()
    record = find_max_rate(SETTINGS, "p99=10ms", System(30_000.0), Lines(told))
    assert "10,000/s holds; achieved" in told.getvalue()
    assert "step 1 of at most 24: 10,000/s" in told.getvalue()
    assert "40,000/s does not hold: 75.0% of what was offered was done" in told.getvalue()
    whys = {step.why for step in record.steps}
    assert "write p99 400 ms" in whys, "close above the limit the rate is kept, and the objective is not"
    text = "\n".join(max_rate_lines(record))
    assert "highest rate that holds: 30," in text
    assert "95 %" in text
    assert "verified: every step" in text


def test_where_the_generator_is_the_limit_none_is_claimed_for_the_system():
    record = find_max_rate(SETTINGS, "p99=10ms", System(90_000.0, late_above=80_000.0), Silent())
    assert (record.max_rate, record.max_rate_interval, record.limited_by) == (None, None, "generator")
    assert 70_000 < record.at_least < 90_000
    text = "\n".join(max_rate_lines(record))
    assert "the load generator was the limit, not the system" in text
    assert "highest rate that holds" not in text


def test_a_generator_that_is_late_far_above_the_limit_only_does_not_matter():
    record = find_max_rate(SETTINGS, "p99=10ms", System(90_000.0, late_above=150_000.0), Silent())
    assert record.limited_by == "system"


@pytest.mark.parametrize(("failing", "says"), [
    ("errors", "3 errors and 0 operations of unknown outcome"),
    ("unknown", "0 errors and 3 operations of unknown outcome"),
])  # fmt: skip
def test_a_rate_at_which_operations_fail_does_not_hold_however_fast_the_others_are(failing, says):
    record = find_max_rate(SETTINGS, "p99=10ms", System(90_000.0, failing=failing, failing_above=50_000.0), Silent())
    assert record.max_rate == pytest.approx(50_000, rel=0.05)
    assert {step.why for step in record.steps if step.offered > 50_000} == {says}


def test_a_search_that_was_cut_off_says_so():
    record = find_max_rate(SETTINGS, "p99=10ms", System(123_456.0, spread=0.15), Silent())
    assert (record.cut_off, len(record.steps), record.limited_by) == (True, STEPS_MAX, "system")
    assert "cut off after 24 windows: the interval might have become narrower" in "\n".join(max_rate_lines(record))
    endless = find_max_rate(msgspec.structs.replace(SETTINGS, rate=1.0), "p99=10ms", System(9e6), Silent())
    assert (endless.cut_off, endless.limited_by) == (True, "range")
    assert "cut off after 24 windows: the search had not ended" in "\n".join(max_rate_lines(endless))


def test_a_search_that_came_to_its_end_does_not():
    record = find_max_rate(SETTINGS, "p99=10ms", System(30_000.0), Silent())
    assert not record.cut_off
    assert "cut off" not in "\n".join(max_rate_lines(record))


def test_a_step_that_was_not_verified_ends_the_search():
    record = find_max_rate(SETTINGS, "p99=10ms", System(90_000.0, unverified_at=3), Silent())
    assert (record.verified, record.max_rate, len(record.steps)) == (False, None, 3)
    assert record.limited_by == "verification"
    assert "NOT VERIFIED: verification failed: lost 7" in "\n".join(max_rate_lines(record))


def test_an_objective_that_holds_nowhere_is_told():
    record = find_max_rate(SETTINGS, "p50=1us", System(90_000.0), Silent())
    assert (record.max_rate, record.at_least, record.limited_by) == (None, None, "range")
    assert record.steps[-1].offered == 1.0
    assert "did not hold even at the least rate tried" in "\n".join(max_rate_lines(record))


def test_what_is_not_typed_is_what_suits_a_search():
    fields = {"rate": None, "seconds": 5.0, "arrivals": "constant", "voters": 3}
    assert search_fields(fields, ()) == {"rate": 10_000.0, "seconds": 2.0, "arrivals": "poisson", "voters": 3}
    assert search_fields({**fields, "seconds": 1.0}, ("seconds",))["seconds"] == 1.0


@pytest.mark.parametrize(("text", "bounds"), [
    ("p99=10ms", [("p99", 10_000.0)]), ("p50=250us", [("p50", 250.0)]), ("p999=1.5s", [("p999", 1.5e6)]),
    ("p50=1ms,p90=.5s", [("p50", 1_000.0), ("p90", 500_000.0)]),
])  # fmt: skip
def test_objectives(text, bounds):
    assert parse_slo(text) == tuple(Bound(*bound) for bound in bounds)


@pytest.mark.parametrize("text", ["", "p99", "p99=10", "p98=10ms", "p99=10m", "p99=-1ms", "p99=nanms", "p99=1e3ms",
                                  "p99=10ms,", "mean=1ms"])  # fmt: skip
def test_what_is_no_objective_is_refused(text):
    with pytest.raises(SloError, match=r"allowed: p50, p90, p99, p999"):
        parse_slo(text)
    with pytest.raises(SettingsError, match="--slo"):
        find_max_rate(SETTINGS, text, System(1.0), Silent())


def test_an_objective_that_nothing_can_meet_is_refused():
    with pytest.raises(SloError, match="can never hold"):
        parse_slo("p99=0ms")


def test_every_kind_of_operation_is_held_to_the_objective():
    latency = a_trial().latency_us["write"]
    slow = msgspec.structs.replace(latency, p99=20_000.0)
    assert missed(parse_slo("p99=10ms"), {"write": latency, "read": slow}) == "read p99 20 ms"
    assert missed(parse_slo("p99=10ms"), {"write": latency, "read": latency}) == ""
