"""What relaying saves the leader: rows, words and the figure."""

import msgspec
import pytest
import synthetic
from matplotlib.text import Text

from lab.bench.record import ServerUse, TrialRecord
from lab.bench.relay_grid import RELAYS, relay_points
from lab.report.build import build_report
from lab.report.figures import relays as figure
from lab.report.reading import Run, load_run
from lab.report.rows.relays import copies, relay_effects, relay_rows
from lab.report.sections.relays import section
from lab.report.style import styled

COPY_BYTES, CPU_S = 130, 0.2


def measured(profile: str = "quick", rounds: int = 4) -> list[TrialRecord]:
    """Relays cost 10 % of throughput; every server sends its copies and nothing else."""
    world, records = synthetic.World(), []
    for round_ in range(rounds):
        for point in relay_points(profile):
            ops = (90_000.0 if point.settings.relays else 100_000.0) * world._noise()
            trial = world.trial("speed", point.settings, point.id, round_, ops, 2_000.0)
            records.append(msgspec.structs.replace(trial, servers=[_use(server, trial) for server in trial.servers]))
    return records


def _use(server: ServerUse, trial: TrialRecord) -> ServerUse:
    settings, sent = trial.settings, 0
    if server.role == "leader":
        sent = copies(settings)
    elif server.role == "follower" and settings.relays and server.id <= settings.relays + 1:  # server 1 leads
        sent = -(-settings.observers // settings.relays)
    cpu_s = CPU_S if server.role == "leader" else CPU_S / 2
    return msgspec.structs.replace(server, bytes_sent=sent * COPY_BYTES * trial.writes, cpu_s=cpu_s)


def run_of(tmp_path, records) -> Run:
    return load_run(synthetic.write_run(tmp_path / "r", records))


def test_a_row_says_what_the_records_say(tmp_path):
    rows = relay_rows(run_of(tmp_path, measured()))
    assert [(row.shape, row.relays, row.leader_copies) for row in rows] == [("3+4", 0, 6), ("3+4", 1, 2), ("3+4", 2, 2)]
    assert [row.leader_bytes for row in rows] == pytest.approx([6 * COPY_BYTES, 2 * COPY_BYTES, 2 * COPY_BYTES])
    assert [row.leader_bytes_expected for row in rows] == pytest.approx([row.leader_bytes for row in rows])
    assert [row.follower_bytes for row in rows] == pytest.approx([0, 4 * COPY_BYTES, 2 * COPY_BYTES])
    assert [row.writes_per_s for row in rows] == pytest.approx([100_000, 90_000, 90_000], rel=0.1)
    assert all(row.leader_cpu_us == pytest.approx(2 * row.follower_cpu_us) for row in rows)
    assert [row.n for row in rows] == [4, 4, 4]


def test_relays_are_held_against_none_of_the_same_ensemble(tmp_path):
    run = run_of(tmp_path, measured("full", rounds=2))
    found = [(effect.row.shape, effect.row.relays, effect.without.relays) for effect in relay_effects(run)]
    assert found == [(f"{v}+{o}", n, 0) for (v, o), several in RELAYS["full"].items() for n in several if n]
    assert all(effect.without.shape == effect.row.shape for effect in relay_effects(run))


@pytest.mark.parametrize("changes", [{"verified": False}, {"pyperf": None}])
def test_what_was_not_verified_or_is_no_point_is_not_shown(tmp_path, changes):
    records = [msgspec.structs.replace(record, **changes) for record in measured(rounds=1)]
    assert section(run_of(tmp_path, records)) is None


@pytest.mark.parametrize("missing", [lambda n: n == 0, lambda n: n > 0])
def test_without_both_sides_there_is_nothing_to_say(tmp_path, missing):
    records = [record for record in measured(rounds=1) if not missing(record.settings.relays)]
    assert section(run_of(tmp_path, records)) is None


def test_the_sentence_holds_the_arithmetic_against_what_was_measured(tmp_path):
    said = section(run_of(tmp_path, measured())).sentences[-1]
    assert said.startswith(
        "3+4: behind two relays the leader sends 260 instead of 780 bytes for a write (2 instead of 6 copies would be "
        "260), the busiest follower 260; CPU of the leader for a write 2."
    )
    assert "Relaying cost " in said
    assert said.endswith("n = 4).")


@pytest.mark.parametrize(("profile", "rounds"), [("smoke", 1), ("quick", 4), ("full", 3)])
def test_the_figure_has_axes_loads_and_n_and_no_text_is_cut(tmp_path, profile, rounds):
    rows = relay_rows(run_of(tmp_path, measured(profile, rounds)))
    with styled():
        drawn = figure.draw(rows)
        drawn.canvas.draw()
        page, renderer = drawn.bbox, drawn.canvas.get_renderer()
        texts = [text for text in drawn.findobj(Text) if text.get_text().strip() and text.get_visible()]
        hidden = {id(tick.label1) for ax in drawn.axes for axis in (ax.xaxis, ax.yaxis)
                  for tick in (*axis.majorTicks, *axis.minorTicks)
                  if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())}  # fmt: skip
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if id(text) not in hidden]
    said = "\n".join(text.get_text() for text in texts)
    for wanted in (figure.TITLE, "bytes sent", "CPU", "writes/s", "3+4, no relay", "3+4, 2 relays", "256 outstanding"):
        assert wanted in said
    assert ("n = 1, no interval" if rounds == 1 else "Bars: 95 % intervals") in said
    assert [text for text, box in boxes
            if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1] == []  # fmt: skip


def test_the_section_is_in_the_report_and_only_where_relays_were_measured(tmp_path, loaded):
    assert section(loaded["quick"]) is None
    folder = synthetic.write_run(tmp_path / "relayed", measured(rounds=2))
    markdown = build_report(folder, tmp_path / "reports").paths[1].read_text()
    assert "Who serves the observers" in markdown
    assert (tmp_path / "reports" / "relayed" / "figures" / "relays.svg").exists()
