"""Sections of the report: on both pages with their tables and figures, and nowhere if they have no data."""

import synthetic
from matplotlib.figure import Figure

from lab.report import sections
from lab.report.build import build_report
from lab.report.section import Section, SectionFigure
from lab.report.tables import Table


def a_section(run):
    rows = sorted(run.trials, key=lambda trial: trial.started_at)
    return Section(
        name="example", title="An example", lead="What it is about.", sentences=["One | thing was found."],
        tables=[Table("Its table", ["what", "value"], [["one", "1"]])],
        figures=[
            SectionFigure("example-drawn", "Drawn", [synthetic.Numbers(1, 2.5)], lambda _: Figure(), "Read it so."),
            SectionFigure("example-empty", "Not measured", [], lambda _: Figure(), "Nothing to read."),
        ],
        printed=[f"example: {len(rows)} trials"],
    )  # fmt: skip


def test_a_section_is_on_both_pages_and_its_figures_are_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "SECTIONS", (lambda _: None, a_section))
    run = synthetic.write_run(tmp_path / "r", synthetic.smoke())
    report = build_report(run, tmp_path / "reports")
    html, markdown = (path.read_text() for path in report.paths[:2])
    for text in ("An example", "What it is about.", "One | thing was found.", "Its table", "Read it so."):
        assert text in html
        assert text in markdown
    assert 'id="section-example"' in html
    assert "<strong>Not measured</strong>: not measured in this run" in html
    assert report.printed == ["example: 7 trials"]
    there = {path.name for path in (tmp_path / "reports" / "r" / "figures").glob("example-*")}
    assert there == {f"example-drawn.{ending}" for ending in ("svg", "png", "csv")}


def test_a_section_without_data_leaves_nothing_of_an_earlier_report(tmp_path, monkeypatch):
    run = synthetic.write_run(tmp_path / "r", synthetic.smoke())
    monkeypatch.setattr(sections, "SECTIONS", (a_section,))
    build_report(run, tmp_path / "reports")
    monkeypatch.setattr(sections, "SECTIONS", ())
    report = build_report(run, tmp_path / "reports")
    assert "An example" not in report.paths[0].read_text()
    assert not list((tmp_path / "reports" / "r" / "figures").glob("example-*"))


def test_runs_of_the_grid_alone_have_no_section_on_speed(loaded):
    assert [section.name for section in sections.sections(loaded["quick"])] == []
