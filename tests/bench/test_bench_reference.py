"""A reference pipeline beside the bars: which ones it can be held against, what it is told, and what it has to say."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest
from bench_fakes import ENVIRONMENT

from lab.bench.command import _without_folder
from lab.bench.grid import profile
from lab.bench.reference import BrokenReferenceError, reference_jobs, run_reference
from lab.bench.warden import run_warded

DEADLINE_S = 30.0
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


FORKING = """
import os, time
child = os.fork()
if child:
    with open({pids!r} + ".part", "w") as file:
        file.write(f"{{os.getpid()}} {{child}}")
    os.rename({pids!r} + ".part", {pids!r})
    open("left", "w").close()
    {after}
time.sleep(600)  # the child holds the output open meanwhile
"""


def running(pids):
    """Those of the processes noted in this file that have not ended."""
    found = [psutil.Process(int(pid)) for pid in pids.read_text().split() if psutil.pid_exists(int(pid))]
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.process
def test_what_a_script_forked_ends_with_it(tmp_path):
    pids, data = tmp_path / "pids", tmp_path / "data"
    after = f"print('''{LINE % 'true'}''', flush=True); os._exit(0)"
    said = run_reference(a_script(tmp_path, FORKING.format(pids=str(pids), after=after)), ["1", "--seconds", "1"], data)
    assert said.writes_per_s == 1000
    assert running(pids) == []
    assert list(data.iterdir()) == []


@pytest.mark.process
def test_a_script_that_takes_too_long_ends_with_what_it_forked(tmp_path):
    pids, data, timeout_s = tmp_path / "pids", tmp_path / "data", 0.25
    data.mkdir()
    script = a_script(tmp_path, FORKING.format(pids=str(pids), after="pass"))
    while not pids.exists():  # it got as far as to fork
        timeout_s *= 2
        with pytest.raises(subprocess.TimeoutExpired):
            run_warded([sys.executable, str(script)], data, timeout_s)
    assert running(pids) == []
    assert list(data.iterdir()) == []


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_its_driver_ends_nothing_of_a_script_is_left(tmp_path, number):
    pids, data = tmp_path / "pids", tmp_path / "data"
    script = a_script(tmp_path, FORKING.format(pids=str(pids), after="pass"))
    command = [sys.executable, "-m", "lab.bench.reference", script, "bar/x", "1", "--data-dir", data]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as driver:
        try:
            until(pids.exists)
            assert len(running(pids)) == 2
            driver.send_signal(number)
            driver.wait(DEADLINE_S)
        finally:
            driver.kill()
    until(lambda: running(pids) == [] and list(data.iterdir()) == [])


@pytest.mark.process
def test_a_script_that_a_signal_ended_says_so_and_hears_signals_itself(tmp_path):
    script = a_script(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    with pytest.raises(BrokenReferenceError, match=f"exit status {128 + signal.SIGTERM}"):
        run_reference(script, ["1", "--seconds", "1"], tmp_path / "data")


def until(reached):
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)
