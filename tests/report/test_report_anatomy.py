"""Where a write's time goes, in the report: parts that add up, who closed the quorum, what marking costs."""

import msgspec
import pytest
import synthetic

from lab.bench.anatomy import HOPS
from lab.bench.record import Anatomy, HopTimes, Settings
from lab.report.figures import anatomy as figure
from lab.report.rows.anatomy import PARTS, anatomy_rows, closer_rows
from lab.report.sections.anatomy import section
from lab.report.style import COLOURS, styled


def an_anatomy(scale=1.0, closers=None, **changes):
    """Hop number i takes i us of the median write and 10 i of the slowest."""
    hops = {hop: HopTimes(100, place, place, place, place, place * scale, 10 * place * scale)
            for place, hop in enumerate(HOPS)}  # fmt: skip
    total = scale * sum(range(len(HOPS)))
    anatomy = Anatomy(
        every=4, samples=100, incomplete=0, disordered=0, dropped=0, median_us=total, slowest_us=10 * total,
        batch_txns=2.0, hops=hops, closers=closers or {"1 follower": 7},
    )  # fmt: skip
    return msgspec.structs.replace(anatomy, **changes)


def a_trial(round_, anatomy, *, outstanding=1, ops=1000.0):
    settings = Settings(outstanding=outstanding, durability="buffered", anatomy=anatomy is not None)
    record = synthetic.World().trial("speed", settings, f"anatomy/{outstanding}", round_, ops, 100.0)
    return msgspec.structs.replace(record, anatomy=anatomy)


def test_every_hop_belongs_to_one_part_and_has_a_colour():
    assert [hop for hops in PARTS.values() for hop in hops] == list(HOPS)
    assert PARTS.keys() <= COLOURS.keys()


@pytest.mark.parametrize("band", ["median", "slowest"])
def test_the_parts_of_a_bar_add_up_to_its_total(run_of, band):
    run = run_of([a_trial(0, an_anatomy(1.0)), a_trial(1, an_anatomy(2.0)), a_trial(2, an_anatomy(4.0))])
    rows = [row for row in anatomy_rows(run) if row.band == band]
    assert [row.part for row in rows] == list(PARTS)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.us for row in rows) == pytest.approx(rows[0].total_us)
    assert rows[0].total_us == pytest.approx(2 * 153 * (1 if band == "median" else 10))  # the geometric mean of 1, 2, 4
    assert rows[0].total_low < rows[0].total_us < rows[0].total_high
    assert (rows[0].n, rows[0].samples) == (3, 300)


def test_followers_are_told_apart_by_how_often_they_closed_the_quorum(run_of):
    one = an_anatomy(closers={"1 follower": 60, "2 follower": 30, "3 leader": 10})
    other = an_anatomy(closers={"1 leader": 0, "2 follower": 20, "3 follower": 80})  # another server leads
    (row,) = closer_rows(run_of([a_trial(0, one), a_trial(1, other)]))
    assert (row.leader, row.quickest, row.others) == pytest.approx((0.05, 0.7, 0.25))
    assert (row.n, row.batches, row.batch_txns) == (2, 200, 2.0)


def test_trials_without_samples_are_no_bars(run_of):
    empty = Anatomy(every=4, samples=0, incomplete=3, disordered=0, dropped=9)
    assert anatomy_rows(run_of([a_trial(0, empty), a_trial(0, None, outstanding=2)])) == []


def test_a_run_that_followed_no_writes_has_no_section(loaded):
    assert section(loaded["quick"]) is None


def test_the_section_says_what_takes_longest_what_was_lost_and_what_marking_costs(run_of):
    marked = [a_trial(r, an_anatomy(incomplete=2, disordered=1), ops=900.0 + r) for r in range(4)]
    plain = [a_trial(r, None, ops=1000.0 + r) for r in range(4)]
    found = section(run_of([*marked, *plain]))
    assert found is not None
    name = "buffered, via the leader, 1 outstanding each"
    assert found.sentences == [
        f"{name}: the median write takes 153 µs: acknowledgement 22 %; apply, answer 20 %; commit 18 %.",
        f"{name}: the slowest 1 % takes 1.53 ms: acknowledgement 22 %; apply, answer 20 %; commit 18 %.",
        f"{name}: 12 sampled writes could not be followed.",
        f"{name}: with markers 90 % (90 % to 90 %) of the throughput without.",
    ]
    assert found.tables[0].rows == [[name, "4", "28", "2.0", "0.0 %", "100.0 %", "0.0 %"]]


def test_what_marking_costs_is_undecided_where_the_interval_says_so(run_of):
    marked = [a_trial(r, an_anatomy(), ops=900.0 + 100 * r) for r in range(3)]
    found = section(run_of([*marked, *[a_trial(r, None, ops=1000.0) for r in range(3)]]))
    assert found is not None
    assert found.sentences[-1].endswith("of the throughput without, which decides nothing.")


@pytest.mark.parametrize("trials", [1, 3])
def test_the_figure_says_what_it_shows(run_of, trials):
    rows = anatomy_rows(run_of([
        a_trial(r, an_anatomy(1.0 + r / 10), outstanding=outstanding) for r in range(trials) for outstanding in (1, 256)
    ]))  # fmt: skip
    with styled():
        drawn = figure.draw(rows)
        drawn.canvas.draw()
        texts = [text for text in drawn.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text().strip()]
        boxes = [text.get_window_extent() for text in texts if text.get_visible()]
    everything = "\n".join(text.get_text() for text in texts)
    for words in (figure.TITLE, "n = 1, no interval" if trials == 1 else "n = 3 trials", "256 outstanding", *PARTS):
        assert words in everything
    assert all(box.x0 > -1 and box.x1 < drawn.bbox.x1 + 1 for box in boxes)
