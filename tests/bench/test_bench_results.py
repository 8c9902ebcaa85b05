"""Results on disk: whole lines, whole files, names that are names."""

import errno
import multiprocessing
import os
import resource

import msgspec
import orjson
import pyperf
import pytest
from bench_fakes import MACHINE, a_failover, a_trial

from lab.bench.record import FailoverRecord, RecordError, RunInfo, TrialRecord
from lab.bench.results import (
    RunFolder,
    append_hlog,
    append_record,
    encode_record,
    now_text,
    read_new_records,
    write_whole,
)
from lab.bench.summary import summary

WRITERS, LINES = 4, 25


def write_many(path, writer):
    for line in range(LINES):
        append_record(path, a_trial(reads=writer, writes=line, series={"write": [7] * 20_000}))  # 40 KB each


@pytest.mark.process
def test_concurrent_writers_leave_whole_lines(tmp_path):
    path = tmp_path / "trials.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, writer)) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        writer.close()
    records, _ = read_new_records(path, 0)
    assert sorted((record.reads, record.writes) for record in records) == [
        (writer, line) for writer in range(WRITERS) for line in range(LINES)
    ]


def test_a_line_that_finds_no_room_leaves_nothing(tmp_path):
    path = tmp_path / "trials.jsonl"
    append_record(path, a_trial())
    whole = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, limits[1]))  # python ignores SIGXFSZ
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            append_record(path, a_trial())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == whole


def test_records_come_back_as_what_they_were(tmp_path):
    path = tmp_path / "trials.jsonl"
    append_record(path, a_trial())
    first, offset = read_new_records(path, 0)
    append_record(path, a_failover())
    second, end = read_new_records(path, offset)
    assert [type(record) for record in [*first, *second]] == [TrialRecord, FailoverRecord]
    assert [*first, *second] == [a_trial(), a_failover()]
    assert read_new_records(path, end) == ([], end)
    assert read_new_records(tmp_path / "none", 0) == ([], 0)


def test_a_line_that_is_still_being_written_waits(tmp_path):
    path = tmp_path / "trials.jsonl"
    line = encode_record(a_trial()) + b"\n"
    path.write_bytes(line + line[:50])
    records, offset = read_new_records(path, 0)
    assert (len(records), offset) == (1, len(line))


def test_the_record_names_everything_that_scripts_read():
    record = orjson.loads(encode_record(a_trial()))
    assert {
        "schema", "suite", "target", "voters", "observers", "verified", "ops_per_s", "reads_per_s", "writes_per_s",
        "reads", "writes", "latency_us", "errors", "unknown", "checks", "servers", "client_cpu_s", "seconds",
        "settings",
    } <= set(record)  # fmt: skip
    assert {"p50", "p90", "p99", "p999", "max"} <= set(record["latency_us"]["write"])
    assert {"id", "role", "cpu_s", "bytes_sent", "rss_mb"} <= set(record["servers"][0])


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", ".hidden", "-option", "x" * 101, "new\nline"])
def test_a_run_name_is_no_path(tmp_path, name):
    with pytest.raises(RecordError, match="--run"):
        RunFolder.create(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_interrupted_at_once_is_a_results_folder(tmp_path):
    assert RunFolder.create(tmp_path, "mine").trials.read_bytes() == b""


def test_an_existing_run_is_refused_and_untouched(tmp_path):
    RunFolder.create(tmp_path, "mine").trials.write_text("precious")
    with pytest.raises(RecordError, match="mine exists already"):
        RunFolder.create(tmp_path, "mine")
    assert (tmp_path / "mine" / "trials.jsonl").read_text() == "precious"


def test_run_json_is_replaced_at_once(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    info = RunInfo(
        name="run", profile="smoke", only=[], argv=["bench"], started_at=now_text(), finished_at="", machine=MACHINE,
        seed=1, rounds={}, finished=False,
    )  # fmt: skip
    folder.write_info(info)
    folder.write_info(msgspec.structs.replace(info, finished=True))
    assert msgspec.convert(orjson.loads(folder.info.read_bytes()), RunInfo).finished
    assert sorted(path.name for path in folder.path.iterdir()) == ["latency", "pyperf", "run.json", "trials.jsonl"]


def test_a_replacement_that_fails_leaves_the_old_bytes(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large: '{path}'"):
            write_whole(path, b"n" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_histogram_logs_have_the_fields_that_log_readers_want(tmp_path):
    path = tmp_path / "point.hlog"
    append_hlog(path, a_trial())
    append_hlog(path, a_trial())
    comments, legend, *lines = (
        [line for line in path.read_text().splitlines() if line.startswith("#")],
        *[line for line in path.read_text().splitlines() if not line.startswith("#")],
    )
    assert comments[0] == "#[Histogram log format version 1.3]"
    assert legend == '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
    assert [line.split(",")[:4] for line in lines] == [["Tag=write", "1767323045.678", "2.000", "0.005"]] * 2


def test_summaries_say_what_matters():
    text = summary(a_trial(client_limited=True, unknown=2))
    for part in ("50 operations/s", "p99 3", "verified: 100 writes", "load processes were the limit", "2 operations"):
        assert part in text
    assert "NOT VERIFIED" in summary(a_trial(verified=False))
    assert "median     66.0" in summary(a_failover())


def test_finished_results_name_neither_the_machine_nor_its_folders(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    noted = {"name": "a point", "python_executable": "/home/somebody/python", "hostname": "somebodys-desk"}
    runs = [pyperf.Run([value], metadata=noted, collect_metadata=False) for value in (0.1, 0.2)]
    pyperf.Benchmark(runs).dump(str(folder.pyperf("election")))
    assert all(word in folder.pyperf("election").read_bytes() for word in (b"/home", b"somebodys-desk"))
    folder.forget_private()
    assert not any(word in folder.pyperf("election").read_bytes() for word in (b"/home", b"somebodys-desk"))
    assert pyperf.Benchmark.load(str(folder.pyperf("election"))).get_values() == (0.1, 0.2)
