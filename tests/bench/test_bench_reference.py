"""A reference pipeline beside the bars: which ones it can be held against, what it is told, and what it has to say."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from bench_fakes import ENVIRONMENT

from lab.bench.command import _without_folder
from lab.bench.grid import profile
from lab.bench.reference import BrokenReferenceError, reference_jobs, run_reference

LINE = '{"writes_per_s": 1000, "p50_us": 50.5, "cpu_us_per_write": 5, "digests_agree": %s, "more": "is not read"}'


def a_script(folder, text):
    script = folder / "pipeline.py"
    script.write_text(text)
    return script


def test_it_stands_beside_writes_of_voters_by_one_client_and_nothing_else():
    jobs = reference_jobs(profile("quick", ("speed",)).points, Path("pipeline.py"))
    assert {job.beside for job in jobs} == {
        "bar/writes/3+0/fsync/1024", "bar/writes/3+0/fsync/64", "bar/writes/3+0/buffered/1",
        *(f"bar/writes/{voters}+0/buffered/256" for voters in (3, 5, 7)),
    }  # fmt: skip
    [job] = [job for job in jobs if job.beside == "bar/writes/3+0/fsync/64"]
    assert job.arguments[2:] == ("64", "--fsync", "--followers", "2", "--seconds", "2")
    [job] = [job for job in jobs if job.beside == "bar/writes/7+0/buffered/256"]
    assert job.arguments[2:] == ("256", "--followers", "6", "--seconds", "2")
    assert job.rounds == 5


@pytest.mark.process
def test_a_run_of_it_is_a_record_and_leaves_no_file(tmp_path):
    script = a_script(tmp_path, f"open('left', 'w'); print('hello'); print('''{LINE % 'true'}''')")
    data = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.reference", script, "bar/x", "64", "--fsync", "--followers", "2", "--seconds",
         "1", "--folder", tmp_path, "--round", "2", "--data-dir", data],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1,000 writes/s, p50 50 us, 5 us of CPU a write\n"
    [record] = [orjson.loads(line) for line in (tmp_path / "references.jsonl").read_bytes().splitlines()]
    assert (record["point"], record["round"], record["script"]) == ("bar/x", 2, "pipeline.py")
    assert record["arguments"] == ["64", "--fsync", "--followers", "2", "--seconds", "1"]
    assert list(data.iterdir()) == []


@pytest.mark.process
def test_replicas_that_differ_three_times_are_noted_and_left_out(tmp_path):
    script = a_script(tmp_path, f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); print('''{LINE % 'false'}''')")
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.reference", script, "bar/x", "1", "--folder", tmp_path,
         "--data-dir", tmp_path],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "left out: its replicas differed 3 times\n")
    assert (tmp_path / "runs").read_text() == "xxx"
    assert not orjson.loads((tmp_path / "references.jsonl").read_bytes())["verified"]


@pytest.mark.process
@pytest.mark.parametrize(("text", "says"), [
    ("raise SystemExit('no disk')", "exit status 1: no disk"),
    ("", "without a word"),
    ("print('[]')", "not what a reference prints"),
    ("print('{\"writes_per_s\": 3}')", "not what a reference prints"),
])  # fmt: skip
def test_a_script_that_is_no_reference_is_one_line(tmp_path, text, says):
    with pytest.raises(BrokenReferenceError, match=says):
        run_reference(a_script(tmp_path, text), ["1", "--seconds", "1"], tmp_path / "data")


def test_results_keep_its_name_and_not_its_folder():
    argv = ("bench", "--prototype", "/home/me/pipeline.py", "--run", "x")
    assert _without_folder(argv, Path("/home/me/pipeline.py")) == ("bench", "--prototype", "pipeline.py", "--run", "x")
