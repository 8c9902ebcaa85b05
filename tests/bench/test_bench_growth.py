"""What counts as growth, and in how much room a long run is kept."""

import math
import os
import random
from typing import Any

import pytest

from lab.bench import holdings
from lab.bench.growth import BOUNDS, growth, growths, settle_s, stretches
from lab.bench.holdings import Place, Samples, folder_mb, look
from lab.bench.pace_series import PaceSeries, step_s
from lab.client.history import History, Kind, Outcome

HOUR = [float(second) for second in range(3600)]


def of(values: list[float | None], what: str = "anonymous_mb"):
    return growth("server 1", what, HOUR, values, 3600.0)


def test_what_stays_is_steady_and_what_grows_grows_by_its_slope() -> None:
    rng = random.Random(1)
    noise = [rng.gauss(0.0, 0.3) for _ in HOUR]
    still = of([30.0 + n for n in noise])
    assert still.verdict == "steady"
    assert still.level == pytest.approx(30.0, abs=0.1)
    leak = of([30.0 + 5.0 * at / 3600 + n for at, n in zip(HOUR, noise, strict=True)])
    assert leak.verdict == "grows"
    assert leak.per_hour == pytest.approx(5.0, rel=0.1)
    assert leak.low < 5.0 < leak.high
    assert of([17.0] * 3600, "fds").verdict == "steady"
    assert of([17.0 + (at > 1800) + (at > 2400) + (at > 3000) for at in HOUR], "fds").verdict == "grows"


def test_what_rises_and_is_purged_again_does_not_grow() -> None:
    assert of([100.0 + at % 55.0 for at in HOUR], "log_mb").verdict == "steady"


def test_what_grew_only_in_the_beginning_is_steady() -> None:
    assert of([min(40.0, 20.0 + at / 20.0) for at in HOUR]).verdict == "steady"


def test_noise_that_hides_the_bound_leaves_it_undecided() -> None:
    rng = random.Random(3)
    assert of([30.0 + rng.gauss(0.0, 80.0) for _ in HOUR]).verdict == "undecided"


def test_a_short_run_says_nothing_about_an_hour() -> None:
    short = growth("server 1", "fds", HOUR[:300], [17.0] * 300, 300.0)
    assert short.verdict == "too short"
    assert short.per_hour == 0.0
    nothing = growth("server 1", "fds", [], [], 3.0)
    assert (nothing.verdict, nothing.level, nothing.per_hour) == ("too short", None, None)


def test_a_process_that_was_not_there_is_left_out_of_its_stretches() -> None:
    times, medians = stretches([0.0, 1.0, 2.0, 3.0], [None, 5.0, None, 7.0], 0.5)
    assert list(times) == [1.0, 3.0]
    assert list(medians) == [5.0, 7.0]


def test_ten_minutes_settle_unless_the_run_is_short() -> None:
    assert settle_s(3600.0) == 600.0
    assert settle_s(60.0) == 10.0


def test_samples_get_coarser_instead_of_more() -> None:
    samples = Samples(0, samples_max=10)
    now = 0
    for _ in range(200):
        now += int(samples.wait_s(now) * 1e9)
        samples.take([Place("harness", "harness", os.getpid())], now)
    assert len(samples.at_s) <= 10
    gaps = {round(b - a) for a, b in zip(samples.at_s, samples.at_s[1:], strict=False)}
    assert len(gaps) == 1, "evenly spaced, whenever they became fewer"
    (track,) = samples.tracks()
    assert all(len(series) == len(samples.at_s) for series in track.series.values())
    assert all(value is not None for value in track.series["rss_mb"])


class _Torn(dict[str, float]):
    """What a process holds, with an interrupt in the middle of it."""

    def items(self) -> Any:
        yield "fds", 7.0
        raise KeyboardInterrupt


@pytest.mark.parametrize("while_", ["looking", "keeping"])
def test_an_interrupt_within_a_sample_costs_that_sample_only(while_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a soak that somebody ends: what there was before is still judged."""
    samples, places = Samples(0), [Place("server 1", "leader", 1), Place("harness", "harness", 2)]
    monkeypatch.setattr(holdings, "look", lambda place: {"fds": float(place.pid)})
    for second in range(3):
        samples.take(places, second * 10**9)

    def interrupted(place: Place) -> dict[str, float]:
        if place.pid == 1:
            return {"fds": 9.0}
        if while_ == "looking":
            raise KeyboardInterrupt
        return _Torn()

    monkeypatch.setattr(holdings, "look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        samples.take(places, 3 * 10**9)
    tracks = samples.tracks()
    assert samples.at_s == [0.0, 1.0, 2.0]
    assert [track.series for track in tracks] == [{"fds": [1.0] * 3}, {"fds": [2.0] * 3}]
    assert {found.verdict for found in growths(samples.at_s, tracks, 3.0)} == {"too short"}


def test_what_was_not_there_is_none_before_and_after() -> None:
    samples, me = Samples(0), Place("harness", "harness", os.getpid())
    for second, places in enumerate(([me], [me, Place("load 0", "load", os.getpid())], [me], [me])):
        samples.take(places, second * 10**9)
    harness, load = samples.tracks()
    assert all(value is not None for value in harness.series["fds"])
    assert [value is None for value in load.series["fds"]] == [True, False, True, True]


def test_a_process_holds_what_the_system_says_and_nothing_once_it_is_gone(tmp_path) -> None:
    (tmp_path / "generation.1").mkdir()
    (tmp_path / "generation.1" / "log.100000001").write_bytes(b"x" * 100_000)
    (tmp_path / "generation.1" / "snapshot.100000005").write_bytes(b"x" * 50_000)
    here = Place("server 1", "leader", os.getpid(), tmp_path, 7)
    before = look(here)
    with open(tmp_path / "another", "wb"):
        assert look(here)["fds"] == before["fds"] + 1
    assert before.keys() >= BOUNDS.keys()
    assert before["applied_zxid"] == 7.0
    assert before["anonymous_mb"] < before["rss_mb"]
    room = folder_mb(tmp_path)
    assert room["log_mb"] >= 0.1
    assert room["snapshots_mb"] >= 0.05
    assert look(Place("server 2", "follower", 2**22 + 1)) == {}


def written(history: History, done_ns: int, latency_ns: int) -> None:
    row = {"kind": Kind.WRITE, "outcome": Outcome.ACKNOWLEDGED, "sent_ns": done_ns - latency_ns, "done_ns": done_ns}
    for name, column in history.columns.items():
        column.append(row.get(name, 0))


def test_throughput_and_p99_of_each_step_whatever_the_slices() -> None:
    pace = PaceSeries(0, int(60e9))
    assert pace.step_s == 10.0
    for step in range(6):
        history = History(0, [1])
        for i in range(200):
            written(history, int(step * 10e9 + i), 5_000_000 if i < 3 else 1_000_000 * (step + 1))
        pace.take(history)
    late = History(0, [1])
    written(late, int(61e9), 1)
    pace.take(late)
    assert pace.writes_per_s() == [20.0] * 6
    for step, p99 in enumerate(pace.p99_us()):
        assert p99 == pytest.approx(max(5_000, 1_000 * (step + 1)), rel=0.025)


def test_steps_of_ten_seconds_that_a_short_or_a_very_long_run_changes() -> None:
    assert step_s(3.0) == 1.0
    assert step_s(3600.0) == 10.0
    assert step_s(86_400.0) == math.ceil(86_400 / 4_000)
    assert PaceSeries(0, int(2.5e9)).p99_us() == [None, None]
