import shutil
from pathlib import Path

import msgspec
import orjson
import pytest
import synthetic

from lab.bench.record import SCHEMA, RecordError
from lab.report.reading import find_run, load_run


def edited(source: Path, folder: Path, line: int, change) -> Path:
    """A copy whose `line` (from 1) of trials.jsonl went through `change`."""
    shutil.copytree(source, folder)
    lines = (folder / "trials.jsonl").read_bytes().splitlines()
    lines[line - 1] = change(orjson.loads(lines[line - 1]))
    (folder / "trials.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


def test_a_run_comes_back_as_it_was_written(tmp_path):
    records = synthetic.smoke()
    run = load_run(synthetic.write_run(tmp_path / "r", records))
    assert [*run.trials, *run.failovers] == records
    assert run.info.name == "r"
    assert run.excluded == []


def test_a_run_is_found_by_name_and_by_path(runs, tmp_path, monkeypatch):
    results = runs["smoke"].parent
    assert find_run("smoke", results) == results / "smoke"
    assert find_run(results / "smoke", tmp_path) == results / "smoke"


def test_a_name_that_is_no_run_is_told_what_there_is(runs):
    with pytest.raises(RecordError, match=r"^smok: no such results folder; .* has full, quick, smoke$"):
        find_run("smok", runs["smoke"].parent)


def test_a_folder_that_is_no_results_folder_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"not a results folder: it has no run\.json"):
        load_run(tmp_path)


def refusal(folder: Path) -> str:
    with pytest.raises(RecordError) as caught:
        load_run(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("change", "says"), [
    (lambda d: orjson.dumps(d | {"nonsense": 1}), f"field 'nonsense': not a field of schema {SCHEMA}"),
    (lambda d: orjson.dumps(d | {"schema": SCHEMA + 1, "new": 1}), f"'schema': {SCHEMA + 1} is newer than {SCHEMA}"),
    (lambda d: orjson.dumps(d | {"voters": "3"}), "field 'voters': Expected int, got str"),
    (lambda d: orjson.dumps(d | {"settings": d["settings"] | {"quorum": 2}}), "field 'settings.quorum': not a field"),
    (lambda d: orjson.dumps({k: v for k, v in d.items() if k != "machine"}), "missing required field machine"),
    (lambda d: orjson.dumps(d)[:-20], "not JSON"),
    (lambda _: b"[]", "Expected object, got array"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_with_file_line_and_field(runs, tmp_path, change, says):
    folder = edited(runs["smoke"], tmp_path / "r", 2, change)
    text = refusal(folder)
    assert text.startswith(f"{folder}/trials.jsonl:2: ")
    assert says in text


def test_a_newer_run_file_is_refused(runs, tmp_path):
    folder = tmp_path / "r"
    shutil.copytree(runs["smoke"], folder)
    info = orjson.loads((folder / "run.json").read_bytes())
    (folder / "run.json").write_bytes(orjson.dumps(info | {"weather": "fine"}))
    assert "run.json: field 'weather'" in refusal(folder)


def test_records_without_a_verdict_are_set_aside_with_the_reason(tmp_path):
    world = synthetic.World()
    good, bad, dumb = (world.write_throughput(3, 0, round_) for round_ in range(3))
    lost = msgspec.structs.replace(bad.checks, findings=["acknowledged write 1.7 is on no replica"])
    bad = msgspec.structs.replace(bad, verified=False, checks=lost)
    dumb = msgspec.structs.replace(dumb, verified=False)
    run = load_run(synthetic.write_run(tmp_path / "r", [good, bad, dumb]))
    assert run.trials == [good]
    assert [one.reason for one in run.excluded] == ["acknowledged write 1.7 is on no replica", "it was not verified"]
