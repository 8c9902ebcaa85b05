"""What a report says of knobs: rows and figures for each that was turned, and where it helps to turn it."""

import msgspec
import pytest
import synthetic
from matplotlib.text import Text

from lab.bench.knob_grid import knob_points
from lab.bench.limits import PLACEMENTS, WAITS
from lab.report.build import build_report
from lab.report.figures import knobs as figure
from lab.report.reading import load_run
from lab.report.rows import knobs as rows_of
from lab.report.rows.knobs import KNOBS, KnobEffect, knob_effects, knob_rows
from lab.report.sections.knobs import TOPICS, section, turned
from lab.report.statistics import Effect
from lab.report.style import styled

NONE = Effect(1.0, 0.99, 1.01, 3, 0.9)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("knobs")
    world = synthetic.World(spread=0.01)
    return {
        name: load_run(synthetic.write_run(folder / name, synthetic.knobs(world, name, rounds), name))
        for name, rounds in (("smoke", 1), ("quick", 4), ("full", 2))
    }


def an_effect(panel="1 outstanding", ratio=1.0, low=0.99, high=1.01, **changes):
    effect = KnobEffect(
        panel=panel, value="spin", usual="adaptive", throughput=Effect(ratio, low, high, 3, 0.01), p99=NONE,
        p99_us=(100.0, 100.0), cpu=NONE, cpu_us=(5.0, 5.0),
    )  # fmt: skip
    return msgspec.structs.replace(effect, **changes)


def test_every_knob_of_the_grid_is_a_knob_of_the_report_and_its_values_are_known():
    families = {point.id.split("/")[1] for name in ("smoke", "quick", "full") for point in knob_points(name)}
    assert families - {rows_of.USUAL} == set(KNOBS) == set(TOPICS) == set(figure.TITLES)
    assert set(rows_of.PLACEMENTS) == set(PLACEMENTS)
    assert set(rows_of.WAITS) == set(WAITS)


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("name", KNOBS)
def test_every_value_of_the_grid_has_its_row_and_each_panel_its_usual_value(measured, profile, name):
    rows = knob_rows(measured[profile], KNOBS[name])
    points = [point for point in knob_points(profile) if point.id.split("/")[1] == name]
    not_usual = [point for point in points if not KNOBS[name].is_usual(point.settings)]
    # durability's grid has memory only: the two others are usual points
    beside = len({row.panel for row in rows}) if name == "durability" else 0
    assert len([row for row in rows if not row.is_usual]) == len(not_usual) + beside
    for panel in {row.panel for row in rows}:
        assert len([row for row in rows if row.panel == panel and row.is_usual]) == 1


def test_a_row_says_what_the_records_say(measured):
    rows = knob_rows(measured["quick"], KNOBS["placement"])
    assert [(row.panel, row.value) for row in rows] == [
        (panel, value) for panel in ("1 outstanding", "256 outstanding") for value in rows_of.PLACEMENTS
    ]
    together = next(row for row in rows if row.value == "together" and row.panel == "256 outstanding")
    trials = [
        trial for trial in measured["quick"].trials
        if trial.pyperf.benchmark == "knob/placement/together/buffered/256"
    ]  # fmt: skip
    assert together.n == len(trials) == 4
    assert together.ops_per_s == pytest.approx(sum(trial.ops_per_s for trial in trials) / 4, rel=0.01)
    cpu_s = [trial.client_cpu_s + sum(server.cpu_s for server in trial.servers) for trial in trials]
    done = [trial.writes + trial.reads for trial in trials]
    assert together.cpu_us == pytest.approx(1e6 * sum(cpu_s) / sum(done), rel=0.01)
    assert together.operations == sum(done)
    assert together.relative == pytest.approx(2.0, rel=0.05)


def test_batches_are_lines_over_how_many_are_under_way(measured):
    rows = knob_rows(measured["full"], KNOBS["pipeline"])
    buffered = [row for row in rows if row.panel == "64 outstanding, buffered"]
    values, lines = 4, 3
    assert len({(row.value, row.line) for row in buffered}) == len(buffered) == values * lines
    assert [row.line for row in buffered if row.is_usual] == ["up to 4,096 writes a batch"]


@pytest.mark.parametrize("changes", [{"verified": False}, {"pyperf": None}])
def test_what_was_not_verified_or_is_no_point_is_not_shown(tmp_path, changes):
    records = [msgspec.structs.replace(record, **changes) for record in synthetic.knobs(rounds=1)]
    assert section(load_run(synthetic.write_run(tmp_path / "r", records))) is None


def test_a_knob_without_its_usual_value_is_left_out_and_the_others_stay(tmp_path):
    records = [
        record for record in synthetic.knobs(rounds=2) if not record.pyperf.benchmark.startswith("knob/usual/fsync")
    ]
    found = section(load_run(synthetic.write_run(tmp_path / "r", records)))
    assert {figure.name for figure in found.figures} == {f"knob-{name}" for name in KNOBS} - {"knob-durability"}


def test_the_section_is_in_the_report_and_only_where_knobs_were_turned(tmp_path, loaded):
    assert section(loaded["quick"]) is None
    folder = synthetic.write_run(tmp_path / "turned", synthetic.knobs(rounds=2))
    markdown = build_report(folder, tmp_path / "reports").paths[1].read_text()
    assert "Knobs worth turning" in markdown
    there = {path.name for path in (tmp_path / "reports" / "turned" / "figures").glob("knob-*.svg")}
    assert there == {f"knob-{name}.svg" for name in KNOBS}


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("name", KNOBS)
def test_a_figure_has_title_axes_loads_and_n_and_no_text_is_cut(measured, profile, name):
    with styled():
        drawn = figure.draw(knob_rows(measured[profile], KNOBS[name]))
        drawn.canvas.draw()
        page, renderer = drawn.bbox, drawn.canvas.get_renderer()
        texts = [text for text in drawn.findobj(Text) if text.get_text().strip() and text.get_visible()]
        hidden = {id(tick.label1) for ax in drawn.axes for axis in (ax.xaxis, ax.yaxis)
                  for tick in (*axis.majorTicks, *axis.minorTicks)
                  if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())}  # fmt: skip
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if id(text) not in hidden]
    said = "\n".join(text.get_text() for text in texts)
    for wanted in (figure.TITLES[name], "operations/s", "latency", "CPU per operation", "outstanding", "closed loop"):
        assert wanted in said
    assert ("n = 1, no interval" if profile == "smoke" else "Bars: 95 % intervals") in said
    cut = [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1]
    assert cut == []


# -- words


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        (
            [an_effect(ratio=1.3, low=1.2, high=1.4), an_effect("256 outstanding", 0.5, 0.45, 0.55)],
            "Waiting, spin instead of adaptive: at 1 outstanding it raised throughput by 30 % (20 to 40 %, n = 3); "
            "at 256 outstanding it cost 50 % of throughput (45 to 55 %, n = 3). "
            "So it helps at 1 outstanding and hurts at 256 outstanding.",
        ),
        (
            [an_effect(), an_effect("256 outstanding", 1.01, 0.98, 1.03)],
            "Waiting, spin instead of adaptive: at 1 outstanding it left throughput within 5 % (+0 %, −1 to +1 %, "
            "n = 3); at 256 outstanding it left throughput within 5 % (+1 %, −2 to +3 %, n = 3). "
            "So it makes no difference here.",
        ),
        (
            [an_effect(ratio=1.1, low=0.8, high=1.5)],
            "Waiting, spin instead of adaptive: at 1 outstanding it did not change throughput for sure (+10 %, "
            "−20 to +50 %, n = 3; about 30 more rounds would tell).",
        ),
        (
            [an_effect(ratio=1.3, low=1.2, high=1.4), an_effect("256 outstanding", 1.2, 1.1, 1.3)],
            "So it helps at every load here.",
        ),
        (
            [an_effect(ratio=0.7, low=0.6, high=0.8), an_effect("256 outstanding"),
             an_effect("64 outstanding", 0.5, 0.4, 0.6)],
            "So it hurts at 1 outstanding and 64 outstanding.",
        ),
        (
            [an_effect(ratio=1.3, low=None, high=None), an_effect("256 outstanding", 0.5, None, None)],
            "Waiting, spin instead of adaptive: +30 % throughput at 1 outstanding; −50 % throughput at 256 outstanding "
            "(n = 3, no intervals: hints and not findings).",
        ),
    ],
    ids=["crossing", "none", "undecided", "everywhere", "two of three", "one round"],
)  # fmt: skip
def test_where_it_helps_is_said_in_the_words_that_the_intervals_allow(effects, said):
    (sentence,) = turned(effects, "Waiting")
    assert sentence.endswith(said)


def test_where_many_loads_were_tried_one_of_them_proves_nothing():
    """The interval is told, but what may be chance among so many comparisons is no reason to turn a knob."""
    narrow = an_effect(ratio=1.1, low=1.01, high=1.2)  # p = 0.01
    others = [an_effect(f"{n} outstanding") for n in range(2, 8)]
    (sentence,) = turned([narrow, *others], "Waiting")
    assert "at 1 outstanding it raised throughput by 10 % (1 to 20 %, n = 3)" in sentence
    assert "So it" not in sentence
    (alone,) = turned([narrow, an_effect("2 outstanding")], "Waiting")
    assert alone.endswith("So it helps at 1 outstanding.")


def test_tail_and_cpu_are_told_where_they_changed_for_sure():
    dearer = Effect(2.0, 1.8, 2.2, 3, 0.001)
    faster = Effect(0.5, 0.4, 0.6, 3, 0.001)
    (sentence,) = turned([an_effect(cpu=dearer, cpu_us=(10.0, 5.0), p99=faster, p99_us=(50.0, 100.0))], "Waiting")
    assert "(p99 50 µs instead of 100 µs, CPU per operation 10 µs instead of 5 µs)" in sentence
    (plain,) = turned([an_effect(cpu=Effect(2.0, 0.5, 8.0, 3, 0.3), cpu_us=(10.0, 5.0))], "Waiting")
    assert "CPU" not in plain
    assert "p99" not in plain


def test_each_value_has_its_sentence_and_modes_are_called_by_their_names(measured):
    effects = knob_effects(measured["quick"], KNOBS["pipeline"])
    said = turned(effects, "Batches")
    assert len(said) == len({effect.value for effect in effects}) == 5
    (textbook,) = (text for text in said if "the textbook's blocking mode" in text)
    assert textbook.startswith(
        "Batches, 1 batch at a time, one write a batch (the textbook's blocking mode) instead of"
    )
    assert "at 64 outstanding, buffered it cost 9" in textbook
    assert textbook.endswith("So it hurts at every load here.")
    assert any("ZooKeeper's pipeline" in text for text in said)
