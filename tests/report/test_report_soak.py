"""What a soak's report shows, from its record alone."""

import csv
from pathlib import Path

import msgspec
import orjson
import pytest
from matplotlib.text import Text
from test_report_torture import MACHINE

from lab.bench.record import Checks, RecordError, Settings
from lab.bench.record_long import SOAK_FILE, Growth, Reign, SoakRecord, Track
from lab.report.figures.soak import draw
from lab.report.rows.soak import held_rows, pace_rows
from lab.report.soak import build_soak_report, is_soak, load_soak
from lab.report.style import styled


def a_soak(verdict: str = "steady", **changes: object) -> SoakRecord:
    at_s = [float(second) for second in range(0, 3600, 10)]
    steady: list[float | None] = [30.0 + at % 50 / 50 for at in at_s]
    held = {"anonymous_mb": steady, "rss_mb": steady, "fds": [17.0] * len(at_s), "threads": [1.0] * len(at_s)}
    disk = {"log_mb": [40.0 + at % 100 for at in at_s], "snapshots_mb": [0.5] * len(at_s), "applied_zxid": at_s}
    late = {"anonymous_mb": [None, *steady[1:]], "fds": [9.0] * len(at_s)}
    record = SoakRecord(
        target="own", voters=3, observers=1, verified=True, checks=Checks(7_000, 0, 0, 4),
        settings=Settings(observers=1, clients=2, rate=2_000.0, seconds=3600.0, attach="all", snap_count=100_000),
        log_segment_bytes=8 << 20, started_at="2026-01-02T03:04:05.678Z", seconds=3600.0, interrupted=False,
        settle_s=600.0, acknowledged=7_000, lost=0, unknown=0, digest="ab", reigns=[Reign(0.0, 3, 1)], at_s=at_s,
        tracks=[Track("server 3", "leader", held | disk), Track("load 0", "load", late),
                Track("harness", "harness", held)],
        step_s=10.0, writes_per_s=[2_000.0] * 360, p99_us=[None, *[1_500.0] * 359],
        growth=[Growth("server 3", "anonymous_mb", "MB", 30.0, 0.02, -0.1, 0.2, 1.0, 30, 3_000.0, verdict),
                Growth("load 0", "fds", "", None, None, None, None, 0.5, 0, 0.0, "too short")],
        machine=MACHINE,
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def texts(record: SoakRecord) -> str:
    with styled():
        figure = draw(record)
        figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def test_the_figure_names_verdict_processes_and_settings() -> None:
    everything = texts(a_soak())
    for wanted in ("7,000 writes verified, no server grows", "server 3 (leader)", "load 0", "minutes under load",
                   "3 voters + 1 observers", "held to 2,000 writes/s", "some cpu", "n = 1 run"):  # fmt: skip
        assert wanted in everything


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (a_soak("grows"), "GROWTH of anonymous_mb"),
        (a_soak("too short"), "too short to judge growth"),
        (a_soak("undecided"), "growth not decided everywhere"),
        (a_soak(verified=False), "NOT VERIFIED"),
    ],
)
def test_what_was_found_stands_in_the_title(record: SoakRecord, says: str) -> None:
    everything = texts(record)
    assert says in everything
    assert "no server grows" not in everything


def test_a_run_that_was_over_at_once_can_be_drawn() -> None:
    assert "too short" in texts(a_soak("too short", seconds=0.5, at_s=[], tracks=[], writes_per_s=[], p99_us=[]))


def test_rows_hold_every_sample_and_every_step() -> None:
    rows = held_rows(a_soak())
    assert len(rows) == 3 * 360
    assert rows[360].anonymous_mb is None, "it was not there yet"
    assert (rows[-1].process, rows[-1].log_mb) == ("harness", None)
    steps = pace_rows(a_soak())
    assert (len(steps), steps[1].at_s, steps[0].p99_us) == (360, 10.0, None)


def test_the_page_is_made_from_the_results_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "soak-1"
    folder.mkdir(parents=True)
    (folder / SOAK_FILE).write_bytes(orjson.dumps(msgspec.to_builtins(a_soak())) + b"\n")
    assert is_soak(folder)
    page, png = build_soak_report(folder, tmp_path / "reports")
    text = page.read_text()
    assert "| server 3 | anonymous_mb | 30.0 MB | +0.02 | -0.10 to +0.20 | 1.00 | steady |" in text
    assert "| load 0 | fds | - | - | - | 0.50 | too short |" in text
    assert png.stat().st_size > 10_000
    with open(png.with_name("soak-growth.csv"), newline="") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == ["steady", "too short"]


def test_a_broken_record_is_refused_with_its_field(tmp_path: Path) -> None:
    plain = msgspec.to_builtins(a_soak()) | {"seconds": "long"}
    (tmp_path / SOAK_FILE).write_bytes(orjson.dumps(plain))
    with pytest.raises(RecordError, match=r"soak.jsonl.*seconds"):
        load_soak(tmp_path)
