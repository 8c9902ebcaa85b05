"""The folder of one run: `results/<run>/{run.json, trials.jsonl, pyperf/*.json, latency/*.hlog}` (DESIGN 4), and
`probes.jsonl`, `references.jsonl` where there are any.

Everything is written so that an interruption leaves whole lines and whole files.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import orjson

from lab.bench.record import FailoverRecord, Record, RecordError, RunInfo, TrialRecord
from lab.bench.record_probe import PROBES_FILE, REFERENCES_FILE, ProbeRecord, ReferenceRecord

AnyRecord = Record | ProbeRecord | ReferenceRecord

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")

PRIVATE = ("hostname", "python_executable", "python_config_args")  # entries of pyperf's metadata


def now_text() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def default_name() -> str:
    return datetime.now().strftime("%Y-%m-%d-%H%M%S")


class RunFolder:
    """Paths and writers of one run's results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials = path / "trials.jsonl"
        self.probes = path / PROBES_FILE
        self.references = path / REFERENCES_FILE
        self.info = path / "run.json"

    @classmethod
    def create(cls, results: Path, name: str) -> "RunFolder":
        """A new folder of that name without records; RecordError if the name cannot be one or is taken."""
        folder = cls(new_folder(results, name))
        (folder.path / "pyperf").mkdir()
        (folder.path / "latency").mkdir()
        folder.trials.touch()  # a run that is interrupted before its first record is a results folder, too
        return folder

    def pyperf(self, suite: str) -> Path:
        return self.path / "pyperf" / f"{suite}.json"

    def hlog(self, point: str) -> Path:
        return self.path / "latency" / f"{point.replace('/', '_')}.hlog"

    def write_info(self, info: RunInfo) -> None:
        write_whole(self.info, orjson.dumps(msgspec.to_builtins(info), option=orjson.OPT_INDENT_2) + b"\n")

    def forget_private(self) -> None:
        """Take this machine's name and folders out of what pyperf noted: results are made to be shared."""
        for path in sorted((self.path / "pyperf").glob("*.json")):
            suite = orjson.loads(path.read_bytes())
            for held in (suite, *suite["benchmarks"], *(run for one in suite["benchmarks"] for run in one["runs"])):
                for name in PRIVATE:
                    held.get("metadata", {}).pop(name, None)
            write_whole(path, orjson.dumps(suite) + b"\n")


def new_folder(results: Path, name: str) -> Path:
    """Make the folder of a run; RecordError if the name cannot be one or is taken."""
    if not RUN_NAME.fullmatch(name):
        raise RecordError(f"--run: {name!r}, allowed: letters, digits and . _ + - (100 at most, no path)")
    results.mkdir(parents=True, exist_ok=True)
    try:
        (results / name).mkdir()
    except FileExistsError:
        raise RecordError(f"--run: {results / name} exists already; choose another name or remove it") from None
    return results / name


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file at once: a reader sees the old bytes or the new ones."""
    part = path.with_name(f".{path.name}.part")
    try:
        with _naming(path):
            part.write_bytes(data)
            part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A failed write does not say where it failed; the error that leaves here does."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def encode_record(record: AnyRecord) -> bytes:
    """One JSON line, without its newline."""
    return orjson.dumps(msgspec.to_builtins(record))


def append_record(path: Path, record: AnyRecord) -> None:
    """Add one line in one write; concurrent writers do not mix, and a write that finds no space leaves no half line."""
    append_lines(path, encode_record(record) + b"\n")


def append_lines(path: Path, lines: bytes) -> None:
    """Add whole lines in one write, as `append_record` does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # only so that taking back a short write cannot hit another's line
        size = os.fstat(descriptor).st_size
        written = os.write(descriptor, lines)
        if written < len(lines):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def read_new_records(path: Path, offset: int) -> tuple[list[Record], int]:
    """The records after `offset` and the offset behind them."""
    if not path.exists():
        return [], offset
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return [_decode(line, path) for line in data[:end].splitlines()], offset + end


def _decode(line: bytes, path: Path) -> Record:
    try:
        plain = orjson.loads(line)
        if "outage_ms" in plain:
            return msgspec.convert(plain, FailoverRecord)
        return msgspec.convert(plain, TrialRecord)
    except (orjson.JSONDecodeError, msgspec.ValidationError, TypeError) as error:
        raise RecordError(f"{path}: {error}") from error


HLOG_HEAD = (
    "#[Histogram log format version 1.3]\n"
    "#[Latency in nanoseconds; Tag is the kind of operation; Interval_Max in milliseconds]\n"
    "#[StartTime: {start:.3f} (seconds since epoch), {text}]\n"
    '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
)


def append_hlog(path: Path, record: TrialRecord) -> None:
    """Add the trial's latency populations, one tagged interval per kind, to the point's HdrHistogram log.

    Timestamps are seconds since the epoch; any HdrHistogram log reader or plotter opens the file.
    """
    start = datetime.fromisoformat(record.started_at).timestamp()
    lines = [
        f"Tag={kind},{start:.3f},{record.seconds:.3f},{record.latency_us[kind].max / 1000:.3f},{histogram}\n"
        for kind, histogram in sorted(record.histogram.items())
    ]
    head = "" if path.exists() else HLOG_HEAD.format(start=start, text=record.started_at)
    with _naming(path), open(path, "a", encoding="ascii") as file:
        file.write(head + "".join(lines))
