"""Latency against throughput: what stands in rows, sentences and the figure, on records of a simple queue."""

import msgspec
import pytest
import synthetic
from matplotlib.text import Text

from lab.bench.curve_grid import CURVES, curve_points
from lab.bench.grid import find_point, profile
from lab.bench.limits import check_settings
from lab.bench.record import OpenLoop, Settings
from lab.report.rows.curves import curve_rows
from lab.report.sections.curves import section
from lab.report.style import styled

CAPACITY = 100_000.0


def trial(world, rate=None, outstanding=64, round_=0, late=False, **more):
    """At `rate`, or with so many outstanding, of a queue that serves 100,000 writes/s."""
    settings = Settings(rate=rate, outstanding=outstanding, durability="buffered", seconds=1.0, **more)
    if rate is not None:
        settings = msgspec.structs.replace(settings, arrivals="poisson")
    ops = CAPACITY if rate is None else min(rate, CAPACITY)
    us = 200.0 if rate is None else 100 / (1 - rate / CAPACITY) if rate < CAPACITY else 500_000.0
    record = world.trial("speed", settings, f"curve/{rate}", round_, ops, us)
    if rate is None:
        return record
    latency = record.latency_us["write"]
    loop = OpenLoop(
        offered=int(rate), offered_per_s=rate, reached=rate < CAPACITY, caught_up=False, backlog=3, unsent=0, held=0,
        lag_us=latency if late else None, service_us={"write": latency}, generator_cpu=0.3, generator_late=late,
    )  # fmt: skip
    return msgspec.structs.replace(record, open_loop=loop)


@pytest.fixture
def run(run_of):
    world = synthetic.World()
    rates = (10_000.0, 50_000.0, 120_000.0)
    trials = [trial(world, rate, round_=r) for rate in rates for r in range(3)]
    trials += [trial(world, 90_000.0, round_=r, late=r > 0) for r in range(3)]
    trials += [trial(world, outstanding=n, round_=r) for n in (1, 256) for r in range(3)]
    trials += [trial(world, 20_000.0, voters=5)]
    return run_of(trials)


def test_rates_ascend_and_the_closed_loop_follows(run):
    rows = [row for row in curve_rows(run) if row.configuration == "3+0, buffered"]
    assert [(row.offered_per_s, row.outstanding) for row in rows] == [
        (10_000.0, None), (50_000.0, None), (90_000.0, None), (120_000.0, None), (None, 1), (None, 256)
    ]  # fmt: skip
    assert [row.steady for row in rows] == [True, True, False, False, True, True]
    assert [(row.not_kept, row.late, row.n) for row in rows[2:4]] == [(0, 2, 3), (3, 0, 3)]
    assert rows[0].p50 < rows[1].p50 < rows[2].p50 < rows[3].p50
    assert rows[1].p50_low < rows[1].p50 < rows[1].p50_high
    assert rows[1].service_p99 is not None
    assert rows[-1].service_p99 is None
    assert {row.configuration for row in curve_rows(run)} == {"3+0, buffered", "5+0, buffered"}


def test_what_is_no_measurement_of_the_system_is_said_in_words(run):
    said = "\n".join(section(run).sentences)
    assert "3+0, buffered: p99 was" in said
    assert "at 50 k/s, the highest rate on the curve that was kept." in said
    assert "3+0, buffered: 120 k/s offered was not kept; achieved 100 k/s." in said
    assert "3+0, buffered: at 90 k/s the load generator was late" in said


def test_the_figure_marks_it_too_and_says_what_the_marks_are(run):
    found = section(run)
    [kind] = found.figures
    with styled():
        figure = kind.draw(kind.rows)
        figure.canvas.draw()
    text = "\n".join(text.get_text() for text in figure.findobj(Text))
    for part in ("3+0, buffered", "5+0, buffered", "Poisson", "Hollow", "Crosses", "n = 1 to 3", "writes/s achieved"):
        assert part in text
    assert ["not kept in 3" in row[-1] for row in found.tables[0].rows].count(True) == 1


def test_one_process_at_one_rate_can_be_drawn(run_of):
    found = section(run_of([trial(synthetic.World(), 10_000.0)]))
    with styled():
        figure = found.figures[0].draw(found.figures[0].rows)
        figure.canvas.draw()
    text = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "n = 1, no interval" in text
    assert "Crosses" not in text
    assert "Hollow" not in text


def test_a_run_without_rates_has_no_such_section(run_of):
    assert section(run_of([trial(synthetic.World(), outstanding=256)])) is None


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_the_points_of_the_curves_are_of_the_suite_and_can_be_measured(name):
    points = curve_points(name)
    assert {point.id for point in points} <= {point.id for point in profile(name, ("speed",)).points}
    for point in points:
        assert find_point(point.id).settings.rate == point.settings.rate
        assert check_settings(point.settings).arrivals == "poisson"
    if name != "smoke":
        assert len(points) == sum(len(rates) for rates in CURVES.values())
