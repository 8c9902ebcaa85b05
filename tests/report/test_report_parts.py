"""The parts of a server in the report: their CPU times, and what became of them since the last reference."""

import msgspec
import orjson
import pytest
import synthetic

from lab.bench.record import RecordError
from lab.report.build import build_report
from lab.report.compare import compare_runs
from lab.report.parts import load_parts
from lab.report.reading import load_run
from lab.report.sections.parts import section

TIMES = {"core/leader/1": 15_000.0, "tree/set/256": 410.0, "yardstick": 550.0}  # ns


def a_file(*, times=TIMES, processes=5, machine="here", commit="abc", **slower):
    """As pyperf writes it: common metadata at the top; the least value of process i is 1 % above that of i - 1."""
    said = {"lab_machine": machine, "lab_commit": commit, "lab_per": "write", "unit": "second"}
    return orjson.dumps({
        "version": "1.0", "metadata": said,
        "benchmarks": [
            {"metadata": {"name": name, "lab_what": f"what {name} does"},
             "runs": [{"metadata": {"date": "2026-01-02"}, "warmups": [[1, 9.0]], "values": [
                 value * slower.get(name.replace("/", "_"), 1.0) * (1 + i / 100) * more / 1e9 for more in (2, 1, 3)
             ]} for i in range(processes)]}
            for name, value in times.items()
        ],
    })  # fmt: skip


def a_run(folder, measured=None, reference=None):
    synthetic.write_run(folder, synthetic.smoke())
    (folder / "pyperf").mkdir()
    for name, data in (("micro.json", measured), ("micro-reference.json", reference)):
        if data is not None:
            (folder / "pyperf" / name).write_bytes(data)
    return load_run(folder)


def test_the_least_value_of_each_process_counts(tmp_path):
    (tmp_path / "micro.json").write_bytes(a_file(processes=3))
    found = load_parts(tmp_path / "micro.json")
    assert found.parts["tree/set/256"].sample.values == pytest.approx((410.0, 414.1, 418.2))
    assert (found.machine, found.commit, found.parts["yardstick"].per) == ("here", "abc", "write")


def test_calibration_is_no_process(tmp_path):
    data = orjson.loads(a_file(processes=2))
    data["benchmarks"][0]["runs"].insert(0, {"metadata": {"calibrate_loops": 1}, "warmups": [[1, 0.1]]})
    (tmp_path / "micro.json").write_bytes(orjson.dumps(data))
    assert len(load_parts(tmp_path / "micro.json").parts["core/leader/1"].sample.values) == 2


@pytest.mark.parametrize(("data", "says"), [
    (b"{", "not JSON"),
    (b"{}", "missing required field"),
    (orjson.dumps({"benchmarks": [{"metadata": {"name": "x"}, "runs": [{"values": [1.0]}]}]}), "without 'lab_what'"),
])  # fmt: skip
def test_what_is_no_file_of_parts_is_one_line_that_names_it(tmp_path, data, says):
    path = tmp_path / "micro.json"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=says) as caught:
        load_parts(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_without_parts_has_no_section_on_them(tmp_path):
    assert section(a_run(tmp_path / "r")) is None


def test_without_a_reference_the_times_stand_alone(tmp_path):
    found = section(a_run(tmp_path / "r", a_file()))
    assert found.sentences == ["Not compared with the last reference: there was none when this run was measured."]
    times, meanings = found.tables
    assert times.header == ["part", "n", "per", "CPU (95 %)"]
    assert times.rows[0][:3] == ["core/leader/1", "5", "write"]
    assert times.rows[0][3].startswith("15.3 µs (15")
    assert times.rows[1][3].startswith("418 ns (41")
    assert meanings.rows[1] == ["tree/set/256: what tree/set/256 does"]
    assert found.figures == []


def test_against_the_reference_every_part_has_a_verdict(tmp_path):
    now = a_file(times={**TIMES, "tree/load": 1600.0}, core_leader_1=0.7, tree_set_256=1.3)
    found = section(a_run(tmp_path / "r", now, a_file(commit="0ld")))
    rows = {row[0]: row[4:] for row in found.tables[0].rows}
    assert rows["core/leader/1"][0] == "15.3 µs"
    assert rows["core/leader/1"][1] == "−30 % (−32 to −28 %, n = 5)"
    assert [rows[name][2] for name in TIMES] == ["faster", "slower", "equivalent (within 5 %)"]
    assert rows["tree/load"] == ["–", "–", "–"]
    assert found.sentences[0] == (
        "Against the last reference (commit 0ld), 2 parts: 1 faster, 1 slower, 0 equivalent, 0 undecided."
    )
    assert found.sentences[1].startswith(
        "The yardstick, which is no code of the lab's, took +0 % (−2.2 to +2.3 %, n = 5) "
    )


def test_the_figure_has_a_line_for_each_part_that_both_have(tmp_path):
    now = a_file(times={**TIMES, "tree/load": 1600.0}, core_leader_1=0.7, tree_set_256=1.3)
    [figure] = section(a_run(tmp_path / "r", now, a_file())).figures
    assert [(row.part, row.verdict) for row in figure.rows] == [
        ("core/leader/1", "better"), ("tree/set/256", "worse"), ("yardstick", "equivalent"),
    ]  # fmt: skip
    [ax] = figure.draw(figure.rows).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [row.part for row in figure.rows]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["faster (1)", "slower (1)", "equivalent (1)"]


def test_a_reference_of_another_machine_is_not_compared_with(tmp_path):
    found = section(a_run(tmp_path / "r", a_file(), a_file(machine="elsewhere")))
    assert found.sentences == ["Not compared with the last reference: machine elsewhere then, here now."]
    assert len(found.tables[0].header) == 4


def test_one_process_has_no_interval_and_no_verdict(tmp_path):
    found = section(a_run(tmp_path / "r", a_file(processes=1), a_file()))
    assert found.figures == []
    assert {row[6] for row in found.tables[0].rows} == {"undecided (too few to have an interval)"}
    assert {row[3] for row in found.tables[0].rows} == {"15 µs", "410 ns", "550 ns"}


def test_both_pages_have_the_table(tmp_path):
    run = a_run(tmp_path / "r", a_file(core_leader_1=2.0), a_file())
    for page in build_report(run.path, tmp_path / "reports").paths[:2]:
        text = page.read_text()
        assert "Where the CPU goes, part by part" in text
        assert "what tree/set/256 does" in text
        assert "slower" in text


def test_compare_shows_the_parts_that_both_runs_have_and_judges_them_among_themselves(tmp_path):
    a, b = a_run(tmp_path / "a", a_file()), a_run(tmp_path / "b", a_file(core_leader_1=2.0))
    alone, both = compare_runs(a, load_run(a.path)), compare_runs(a, b)
    assert [(row.configuration, row.metric, row.verdict.word) for row in both.parts] == [
        ("core/leader/1", "CPU per write", "worse"),
        ("tree/set/256", "CPU per write", "equivalent"),
        ("yardstick", "CPU per write", "equivalent"),
    ]
    assert both.rows == alone.rows
    assert both.regressions == 0
    assert any(line.startswith("core/leader/1  ") and line.endswith("worse") for line in both.lines)
    assert any(line.startswith("parts: 0 better, 1 worse, 2 equivalent") for line in both.lines)


def test_runs_that_share_nothing_but_parts_are_compared(tmp_path):
    a, b = (a_run(tmp_path / name, a_file()) for name in "ab")
    nothing = [msgspec.structs.replace(run, trials=[], failovers=[]) for run in (a, b)]
    assert len(compare_runs(*nothing).parts) == len(TIMES)


def test_parts_of_other_machines_are_refused_unless_told(tmp_path):
    a, b = a_run(tmp_path / "a", a_file()), a_run(tmp_path / "b", a_file(machine="elsewhere"))
    with pytest.raises(RecordError, match=r"parts: machine here then, elsewhere now.*--force compares them anyway$"):
        compare_runs(a, b)
    assert "compared although parts: machine here then, elsewhere now" in compare_runs(a, b, force=True).notes
