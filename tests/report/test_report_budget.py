"""The budget's section: what was measured against the formula, with its residual, from records alone."""

from pathlib import Path

import msgspec
import pytest
import synthetic
from matplotlib.text import Text

from lab.bench.record import ServerUse, TrialRecord
from lab.report.budget import Write, sent_per_batch
from lab.report.figures.budget import draw
from lab.report.reading import Run, load_run
from lab.report.rows.budget import budget_rows, fitted
from lab.report.sections.budget import section
from lab.report.style import styled

SHAPES = ((3, 0), (3, 2), (3, 4), (5, 0), (7, 0))
BATCH = 64
BASE_US, VOTER_US, OBSERVER_US = 1.0, 0.4, 0.3


def a_trial(world: synthetic.World, voters: int, observers: int, round_: int, excess: float = 1.0) -> TrialRecord:
    """Servers that send what the formula says, times `excess`."""
    trial = world.write_throughput(voters, observers, round_)
    settings, batches = trial.settings, trial.writes / BATCH
    done = settings.keys + settings.warmup * trial.writes_per_s + trial.writes / 2
    write = Write(value_bytes=100, cxid=round(done), version=round(done / settings.keys))
    sent = sent_per_batch(write, BATCH, voters, observers)
    cpu_us = BASE_US + VOTER_US * (voters - 1) + OBSERVER_US * observers

    def use(server: int, role: str) -> ServerUse:
        factor = excess if role == "leader" else 1.0
        return ServerUse(
            id=server, role=role, cpu_s=cpu_us * trial.writes / 1e6, rss_mb=30.0,
            bytes_sent=round(sent[role].bytes * batches * factor),
            frames_sent=round(sent[role].frames * batches * factor),
        )  # fmt: skip

    roles = ["leader", *["follower"] * (voters - 1), *["observer"] * observers]
    return msgspec.structs.replace(trial, suite="speed", servers=[use(n, role) for n, role in enumerate(roles, 1)])


def a_run(folder: Path, excess: float = 1.0, shapes: tuple[tuple[int, int], ...] = SHAPES) -> Run:
    world = synthetic.World()
    trials = [a_trial(world, *shape, round_, excess) for round_ in range(3) for shape in shapes]
    return load_run(synthetic.write_run(folder / "r", trials))


def test_servers_that_keep_to_the_formula_have_no_residual(tmp_path):
    rows = budget_rows(a_run(tmp_path))
    assert [row.shape for row in rows] == ["3+0", "5+0", "3+2", "7+0", "3+4"]
    for row in rows:
        assert row.batch == pytest.approx(BATCH, rel=0.01)
        assert row.frames == pytest.approx(row.frames_predicted, rel=0.01)
        assert row.bytes == pytest.approx(row.bytes_predicted, rel=0.01)
        assert row.n == 3
    costs = fitted(rows)
    assert costs is not None
    assert (costs.base, costs.voter, costs.observer) == pytest.approx((BASE_US, VOTER_US, OBSERVER_US), rel=1e-3)
    assert all(row.cpu_fitted == pytest.approx(row.cpu_us, rel=1e-3) for row in rows)


def test_a_leader_that_sends_more_than_it_should_stands_out(tmp_path):
    made = section(a_run(tmp_path, excess=1.25))
    assert made is not None
    assert "within 25." in made.sentences[0] or "within 24.9" in made.sentences[0]
    (table,) = made.tables
    assert all(cell.startswith("+2") for row in table.rows for cell in (row[5], row[8]))


def test_two_shapes_do_not_split_the_cpu(tmp_path):
    rows = budget_rows(a_run(tmp_path, shapes=((3, 0), (3, 2))))
    assert fitted(rows) is None
    assert all(row.cpu_fitted is None for row in rows)
    assert len(section(a_run(tmp_path / "again", shapes=((3, 0),))).sentences) == 1


def test_records_without_frames_make_no_section(tmp_path):
    world = synthetic.World()
    trial = msgspec.structs.replace(world.write_throughput(3, 0, 0), suite="speed")
    assert section(load_run(synthetic.write_run(tmp_path / "r", [trial]))) is None


def test_the_figure_names_shapes_residuals_load_and_numbers(tmp_path):
    with styled():
        figure = draw(budget_rows(a_run(tmp_path)))
        figure.canvas.draw()
    everything = "\n".join(text.get_text() for text in figure.findobj(Text))
    for wanted in ("3+0", "7+0", "+0.0 %", "256 outstanding", "n = 3 processes", "writes a batch", "CPU of the leader"):
        assert wanted in everything
