from itertools import pairwise

import msgspec
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from lab.report.figures import FIGURES
from lab.report.saving import save_figure, save_rows
from lab.report.style import COLOURS, SERIES, THEME, duration, interval, si, spread, styled


def drawn(kind, run):
    with styled():
        figure = kind.draw(kind.rows(run))
        figure.canvas.draw()
    return figure


def texts(figure):
    return [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.name)
def test_every_profile_draws_every_figure_with_title_axes_and_n(kind, profile, loaded):
    figure = drawn(kind, loaded[profile])
    everything = "\n".join(text.get_text() for text in texts(figure))
    assert kind.title in everything
    assert "closed loop" in everything or kind.name == "election-phases"
    assert "n = " in everything
    assert all(ax.get_xlabel() or ax.get_shared_x_axes() for ax in figure.axes)
    assert figure.axes[-1].get_xlabel()
    if profile == "smoke" and kind.suite != "election":
        assert "n = 1, no interval" in everything


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.name)
def test_no_text_is_cut_by_the_figure_s_edge(kind, profile, loaded):
    figure = drawn(kind, loaded[profile])
    with styled():
        page = figure.bbox
        renderer = figure.canvas.get_renderer()
        hidden = undrawn(figure)
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts(figure) if id(t) not in hidden]
    cut = [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1]
    assert cut == []


def undrawn(figure):
    """Tick labels beyond the limits exist, but are not drawn."""
    hidden = set()
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.majorTicks, *axis.minorTicks]
        hidden |= {id(tick.label1) for tick in ticks if not low <= tick.get_loc() <= high}
    return hidden


def test_the_same_rows_give_the_same_bytes(loaded, tmp_path):
    kind = FIGURES[0]
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        with styled():
            figure = kind.draw(kind.rows(loaded["quick"]))
        files.append([path.read_bytes() for path in save_figure(figure, folder, kind.name)])
    assert files[0] == files[1]
    assert b"<dc:date>" not in files[0][0]


def test_the_csv_has_every_row_and_empty_cells_for_no_interval(loaded, tmp_path):
    rows = FIGURES[0].rows(loaded["smoke"])
    lines = save_rows(rows, tmp_path, "x").read_text().splitlines()
    assert lines[0].split(",")[:3] == ["panel", "growth", "shape"]
    assert len(lines) == 1 + len(rows)
    assert ",," in lines[1]


def test_where_the_load_generator_was_the_limit_marks_are_hollow(run_of):
    world = synthetic.World()
    trials = [msgspec.structs.replace(world.write_throughput(3, o, 0), client_limited=o == 2) for o in (0, 2)]
    figure = drawn(FIGURES[0], run_of(trials))
    assert any("Hollow: the load generator was the limit." in t.get_text() for t in texts(figure))


def test_colours_mean_one_thing_each():
    tints = [light for light, _ in [*COLOURS.values(), *SERIES]]
    assert len({*tints, *THEME}) == len(tints) + len(THEME)


@given(st.lists(st.floats(-1e3, 1e3), max_size=9), st.floats(0.5, 50))
def test_labels_moved_apart_keep_their_gap_and_order(positions, gap):
    placed = spread(positions, gap)
    ordered = sorted(range(len(positions)), key=lambda i: positions[i])
    steps = [placed[b] - placed[a] for a, b in pairwise(ordered)]
    assert all(step >= gap * (1 - 1e-6) for step in steps)


def test_labels_that_do_not_collide_stay_where_they_are():
    assert spread([0, 30, 10], 5) == [0, 30, 10]
    assert spread([0, 100], 10, highest=50) == [0, 50]


@pytest.mark.parametrize(("value", "text"), [(999.6, "1 k"), (45_600, "45.6 k"), (1_234_000, "1.23 M"), (12, "12")])
def test_numbers_have_three_digits(value, text):
    assert si(value) == text


def test_durations_have_the_unit_that_reads_best():
    assert [duration(us) for us in (85.2, 1_500, 2_000_000)] == ["85.2 µs", "1.5 ms", "2 s"]
    assert interval(900, 1_200) == " (900 µs–1.2 ms)"
    assert interval(30_800, 35_500) == " (30.8–35.5 ms)"
    assert interval(None, None) == ""
