"""What a torture's report shows, from its record alone."""

import csv
from pathlib import Path

import msgspec
import orjson
import pytest
from matplotlib.text import Text

from lab.bench.record import Checks, Machine, RecordError, Settings
from lab.bench.record_long import TORTURE_FILE, FaultSpan, Reign, TortureRecord
from lab.report.figures.torture import draw
from lab.report.rows.torture import FAMILIES, STEPS_MAX, fault_rows, throughput_rows
from lab.report.style import COLOURS, styled
from lab.report.torture import build_torture_report, is_torture, load_torture

MACHINE = Machine(
    id="abc", cpu="some cpu", cores=2, memory_gb=8.0, kernel="Linux", python="CPython 3.11", filesystem="ext4 on vda",
    governor="unknown", cgroup="none", load_1m=0.1, versions={"lab": "0"},
)  # fmt: skip


def a_torture(seconds: float = 10.05, **changes: object) -> TortureRecord:
    steps = int(seconds * 10) + 1
    events = [
        FaultSpan("leader crash", [3], 1.0, 2.5), FaultSpan("leader crash", [2], 6.0, 6.5),
        FaultSpan("blackout", [1, 2, 3, 4], 8.0, 8.2), FaultSpan("short freeze", [1], 3.0, 3.2),
        FaultSpan("observers cut off", [4], 4.0, 5.0), FaultSpan("full disk", [2], 5.0, 5.5),
        FaultSpan("client kill", [0], 7.0, 7.0), FaultSpan("lossy link", [1, 3], 9.0, 9.4),
    ]  # fmt: skip
    record = TortureRecord(
        target="own", voters=3, observers=1, verified=True,
        checks=Checks(writes=5_000, reads=4_000, reads_total=4_000, replicas=4),
        settings=Settings(observers=1, reads=0.5, clients=2, outstanding=16, rate=10_000.0, seconds=9.0, seed=7),
        log_segment_bytes=1 << 20, started_at="2026-01-02T03:04:05.678Z", seconds=seconds, leader_crashes=3,
        faults={"leader crash": 2, "blackout": 1}, skipped=0, out_of_room=1, disk_full_by="RLIMIT_FSIZE",
        acknowledged=5_000, lost=0, unknown=12, reads=4_000, clients=3, silence_s=0.4, events=events,
        reigns=[Reign(0.0, 3, 1), Reign(1.05, 2, 2), Reign(6.1, 1, 3)],
        series={"write": [50] * steps, "read": [40] * steps}, machine=MACHINE,
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def results(folder: Path, record: TortureRecord) -> Path:
    folder.mkdir()
    (folder / TORTURE_FILE).write_bytes(orjson.dumps(msgspec.to_builtins(record)) + b"\n")
    return folder


def texts(record: TortureRecord) -> list[str]:
    with styled():
        figure = draw(record)
        figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def test_the_figure_names_seed_verdict_settings_leaders_and_every_kind_of_fault() -> None:
    everything = "\n".join(texts(a_torture()))
    for wanted in (
        "seed 7", "5,000 writes acknowledged, none lost", "leader crash (2)", "blackout (1)", "client kill (1)",
        "3 voters + 1 observers", "Closed loop, 2 clients x 16 outstanding", "seconds under load", "operations/s",
        "3 leaders crashed, 12 writes of unknown outcome", "some cpu",
    ):  # fmt: skip
        assert wanted in everything


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verified": False, "lost": 3}, "3 of 5,000 writes LOST"),
        ({"verified": False, "lost": None}, "NOT VERIFIED"),
        ({"verified": False, "lost": 0}, "NOT VERIFIED"),
    ],
)
def test_a_failure_stands_in_the_title(changes: dict[str, object], says: str) -> None:
    title = texts(a_torture(**changes))
    assert any(says in text for text in title)
    assert not any("none lost" in text for text in title)


def test_no_text_is_cut_by_the_figure_s_edge() -> None:
    with styled():
        figure = draw(a_torture(61.0, reigns=[Reign(0.5 * i, i % 3 + 1, i) for i in range(120)]))
        figure.canvas.draw()
        renderer, page = figure.canvas.get_renderer(), figure.bbox
        low, high = figure.axes[1].get_xlim()
        hidden = {
            id(tick.label1) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.majorTicks
            if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        }  # fmt: skip
        shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and id(t) not in hidden]
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in shown]
    assert (low, high) == (0.0, 61.0)
    assert [text for text, b in boxes if min(b.x0, b.y0) < -1 or b.x1 > page.x1 + 1 or b.y1 > page.y1 + 1] == []


def test_steps_are_whole_and_a_long_run_has_no_more_than_can_be_seen() -> None:
    rows = throughput_rows(a_torture(10.05))
    assert len(rows) == 100
    assert {(row.writes_per_s, row.reads_per_s) for row in rows} == {(500.0, 400.0)}
    assert [row.leader for row in rows[9:12]] == [3, 2, 2]
    for seconds, step_s in ((40.0, 0.1), (60.0, 0.2), (120.0, 0.5), (400.0, 1.0)):
        rows = throughput_rows(a_torture(seconds))
        assert rows[0].step_s == step_s
        assert len(rows) <= STEPS_MAX
        assert rows[-1].writes_per_s == pytest.approx(500.0)


def test_every_fault_is_a_row_and_every_family_has_its_colour() -> None:
    rows = fault_rows(a_torture())
    assert [row.start_s for row in rows] == sorted(row.start_s for row in rows)
    assert {row.family for row in rows} == set(FAMILIES) <= set(COLOURS)
    assert next(row for row in rows if row.kind == "blackout").victims == "1 2 3 4"


def test_the_report_is_a_page_the_figure_and_its_rows_and_the_same_again(tmp_path: Path) -> None:
    record = a_torture()
    folder = results(tmp_path / "some-run", record)
    assert is_torture(folder)
    assert load_torture(folder) == record
    page, figure = build_torture_report(folder, tmp_path / "reports")
    assert page == tmp_path / "reports" / "some-run" / "report.md"
    names = ["torture-faults.csv", "torture.csv", "torture.png", "torture.svg"]
    assert sorted(path.name for path in figure.parent.iterdir()) == names
    with (figure.parent / "torture-faults.csv").open() as lines:
        assert len(list(csv.DictReader(lines))) == len(record.events)
    text = page.read_text()
    assert "| of them lost | 0 |" in text
    assert "python -m lab torture --seed 7 --seconds 9" in text
    before = {path.name: path.read_bytes() for path in [page, *figure.parent.iterdir()]}
    build_torture_report(folder, tmp_path / "reports")
    assert {path.name: path.read_bytes() for path in [page, *figure.parent.iterdir()]} == before


def test_findings_stand_on_the_page(tmp_path: Path) -> None:
    checks = Checks(writes=1, reads=0, reads_total=0, replicas=0, findings=["server 3 ended: exit status 1: why"])
    folder = results(tmp_path / "bad", a_torture(verified=False, lost=None, checks=checks))
    text = build_torture_report(folder, tmp_path / "reports")[0].read_text()
    assert "- server 3 ended: exit status 1: why" in text
    assert "| verdict | NOT VERIFIED |" in text


def test_a_record_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    folder = results(tmp_path / "run", a_torture())
    (folder / TORTURE_FILE).write_text('{"schema": 1, "suite": 3}')
    with pytest.raises(RecordError, match=r"torture.jsonl: field 'suite': Expected str, got int"):
        load_torture(folder)
