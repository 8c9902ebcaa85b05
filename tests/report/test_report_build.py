import re
from html.parser import HTMLParser

import msgspec
import orjson
import pytest
import synthetic

from lab.bench.command import Outcome
from lab.bench.record import RecordError
from lab.cli import main
from lab.report.build import build_report
from lab.report.figures import FIGURES
from lab.report.verdicts import sentences


@pytest.fixture(scope="module")
def built(runs, tmp_path_factory):
    base = tmp_path_factory.mktemp("reports")
    return {name: build_report(runs[name], base) for name in ("smoke", "quick")}, base


def test_a_report_has_its_page_its_text_and_three_files_a_figure(built):
    reports, base = built
    for name, report in reports.items():
        assert report.paths[:2] == [base / name / "index.html", base / name / "report.md"]
        there = {path.name for path in (base / name / "figures").iterdir()}
        assert there == {f"{kind.name}.{ending}" for kind in FIGURES for ending in ("svg", "png", "csv")}
        assert all(path.is_file() for path in report.paths)
        assert report.entries == [*report.paths[:2], base / name / "figures"]


def test_the_page_says_first_what_observers_did(built, loaded):
    reports, base = built
    html = (base / "quick" / "index.html").read_text().replace("\u00a0", " ")
    places = [html.index(text) for text in ("What did observers do here?", "verified: 150 of 150 records", "<svg",
                                            "Everything in numbers", "Machine and versions", "How to run it again",
                                            "Threats to validity")]  # fmt: skip
    assert places == sorted(places)
    assert reports["quick"].sentences == sentences(loaded["quick"])
    for sentence in reports["quick"].sentences:
        assert sentence.replace("'", "&#39;") in html


def test_the_page_needs_nothing_beside_itself(built):
    html = (built[1] / "quick" / "index.html").read_text()
    assert "<script" not in html
    assert not re.search(r'(src|href)="(https?:)?//', html)
    assert "<img" not in html
    assert html.count("<svg") == len(FIGURES)


def test_ids_are_unique_and_every_reference_finds_its_target(built):
    html = (built[1] / "quick" / "index.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', html)) != set()
    for pair in re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', html):
        assert (pair[0] or pair[1]) in set(ids)


def test_elements_are_closed_in_order(built):
    class Checker(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "link", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    checker = Checker()
    checker.feed((built[1] / "smoke" / "index.html").read_text())
    assert checker.open == []


def test_building_again_changes_no_byte(runs, tmp_path):
    first = {p: p.read_bytes() for p in build_report(runs["smoke"], tmp_path).paths}
    assert {p: p.read_bytes() for p in build_report(runs["smoke"], tmp_path).paths} == first


def test_a_run_of_one_suite_says_what_was_not_measured(tmp_path):
    world = synthetic.World()
    run = synthetic.write_run(tmp_path / "r", [world.failover(3, 0, "crash", r, 3) for r in range(3)])
    (tmp_path / "reports" / "r" / "figures").mkdir(parents=True)
    stale = tmp_path / "reports" / "r" / "figures" / "read-ratio.svg"
    stale.write_text("old")
    build_report(run, tmp_path / "reports")
    html = (tmp_path / "reports" / "r" / "index.html").read_text()
    assert html.count("not measured in this run") == len(FIGURES) - 2
    assert not stale.exists()


def test_a_run_without_any_verified_record_still_has_a_page(tmp_path):
    bad = msgspec.structs.replace(synthetic.World().write_throughput(3, 0, 0), verified=False)
    report = build_report(synthetic.write_run(tmp_path / "r", [bad]), tmp_path / "reports")
    html = report.paths[0].read_text()
    assert "verified: 0 of 1 records" in html
    assert "Excluded from every figure" in html
    assert "<svg" not in html


def test_what_records_say_is_text_and_never_markup(tmp_path):
    world = synthetic.World(machine=msgspec.structs.replace(synthetic.MACHINE, cpu="<script>alert(1)</script>"))
    trial = world.write_throughput(3, 0, 0)
    checks = msgspec.structs.replace(trial.checks, findings=["<b>lost | write</b>"])
    bad = msgspec.structs.replace(trial, verified=False, checks=checks)
    report = build_report(synthetic.write_run(tmp_path / "r", [trial, bad]), tmp_path / "reports")
    html, markdown = (path.read_text() for path in report.paths[:2])
    assert "<script>" not in html
    assert "<b>lost" not in html
    assert "lost \\| write" in markdown


def test_markdown_tables_have_as_many_cells_as_headings(built):
    text = (built[1] / "quick" / "report.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (built[1] / "quick" / name).is_file()


def test_how_to_run_it_again_leaves_out_the_taken_name(tmp_path):
    folder = synthetic.write_run(tmp_path / "r", synthetic.smoke())
    info = orjson.loads((folder / "run.json").read_bytes())
    info["argv"] = ["/x/lab/__main__.py", "bench", "--run", "r", "--profile", "smoke"]
    (folder / "run.json").write_bytes(orjson.dumps(info))
    html = build_report(folder, tmp_path / "reports").paths[0].read_text()
    assert "python -m lab bench --profile smoke\n" in html


def test_a_folder_that_is_no_results_folder_leaves_no_report(tmp_path):
    with pytest.raises(RecordError):
        build_report(tmp_path, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_bench_ends_with_where_its_results_are(tmp_path, capsys, monkeypatch):
    folder = synthetic.write_run(tmp_path / "r", synthetic.smoke())
    monkeypatch.setattr("lab.bench.command.run_bench", lambda *_, **__: Outcome(folder, []))
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--reports", str(tmp_path / "reports")])
    assert ended.value.code == 0
    *said, results, page, text, figures = capsys.readouterr().out.splitlines()
    assert said
    assert not any(line.startswith(("results:", "report:")) for line in said)
    there = tmp_path / "reports" / "r"
    assert (results, page, text, figures) == (
        f"results: {folder}",
        f"report: {there / 'index.html'}",
        f"report: {there / 'report.md'}",
        f"report: {there / 'figures'}",
    )
