"""Reading a results folder back into typed records; whatever does not fit is refused with one line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson

from lab.bench.record import SCHEMA, FailoverRecord, Record, RecordError, RunInfo, Settings, TrialRecord, upgrade
from lab.bench.record_probe import PROBES_FILE, REFERENCES_FILE, ProbeRecord, ReferenceRecord

RUN_FILE = "run.json"
TRIALS_FILE = "trials.jsonl"

T = TypeVar("T")
# msgspec ends its messages with the place: "Expected `int`, got `str` - at `$.settings.voters`"
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")


class Excluded(msgspec.Struct, frozen=True):
    """A record that no figure shows, and why."""

    record: Record
    reason: str


class Run(msgspec.Struct, frozen=True):
    """One results folder.  `trials` and `failovers` passed verification; `excluded` did not.

    `probes` and `references` are all that there are, verified or not.
    """

    path: Path
    info: RunInfo
    trials: list[TrialRecord]
    failovers: list[FailoverRecord]
    excluded: list[Excluded]
    probes: list[ProbeRecord] = []
    references: list[ReferenceRecord] = []

    @property
    def machines(self) -> set[str]:
        return {trial.machine.id for trial in self.trials} | {failover.machine.id for failover in self.failovers}


def settings_of(run: Run) -> list[Settings]:
    """Of every verified record."""
    return [trial.settings for trial in run.trials] + [failover.settings for failover in run.failovers]


def find_run(run: str | Path, results_dir: Path) -> Path:
    """The folder that RUN names: a name under `results_dir`, or a path.  Raises RecordError if neither is there."""
    candidates = [results_dir / run, Path(run)]
    for folder in candidates:
        if folder.is_dir():
            return folder
    known = sorted(path.parent.name for path in results_dir.glob(f"*/{RUN_FILE}"))
    there = f"{results_dir} has {', '.join(known)}" if known else f"{results_dir} holds no runs"
    raise RecordError(f"{run}: no such results folder; {there}")


def load_run(folder: Path) -> Run:
    """Every record of a results folder, told apart by verdict.  Raises RecordError naming file, line, field."""
    for name in (RUN_FILE, TRIALS_FILE):
        if not (folder / name).is_file():
            raise RecordError(f"{folder}: not a results folder: it has no {name} (`python -m lab bench` writes one)")
    info = typed(read_json((folder / RUN_FILE).read_bytes(), f"{folder / RUN_FILE}"), RunInfo, f"{folder / RUN_FILE}")
    trials: list[TrialRecord] = []
    failovers: list[FailoverRecord] = []
    excluded: list[Excluded] = []
    for record in read_records(folder / TRIALS_FILE):
        if reason := reason_to_exclude(record):
            excluded.append(Excluded(record, reason))
        elif isinstance(record, TrialRecord):
            trials.append(record)
        else:
            failovers.append(record)
    probes, references = folder / PROBES_FILE, folder / REFERENCES_FILE
    return Run(
        folder, info, trials, failovers, excluded,
        probes=[typed(data, ProbeRecord, where) for data, where in _lines(probes)] if probes.is_file() else [],
        references=[typed(data, ReferenceRecord, where) for data, where in _lines(references)]
        if references.is_file() else [],
    )  # fmt: skip


def read_records(path: Path) -> Iterator[Record]:
    """The records of one trials.jsonl in file order.  Raises RecordError naming the line and field."""
    return (parse_record(data, where) for data, where in _lines(path))


def _lines(path: Path) -> Iterator[tuple[Any, str]]:
    """What each line holds, and where that is."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{path}:{number}"
                yield read_json(line, where), where


def parse_record(data: Any, where: str) -> Record:
    """One line's data as a record: failovers are told from trials by their outages."""
    if isinstance(data, dict) and "outage_ms" in data:
        return typed(data, FailoverRecord, where)
    return typed(data, TrialRecord, where)


def reason_to_exclude(record: Record) -> str:
    """Why no figure may show this record; empty if figures may."""
    if not record.verified:
        return record.checks.findings[0] if record.checks.findings else "it was not verified"
    if isinstance(record, TrialRecord) and not record.ops_per_s > 0:
        return "no operation completed in its window"
    if isinstance(record, FailoverRecord) and not record.outage_ms:
        return "no failover completed"
    return ""


def read_json(text: bytes, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RecordError(f"{where}: not JSON ({error}); the line was cut off or edited") from error


def typed(data: Any, kind: type[T], where: str) -> T:
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise RecordError(f"{where}: field 'schema': {schema} is newer than {SCHEMA}, the newest this lab reads")
    try:
        return msgspec.convert(upgrade(data) if isinstance(data, dict) else data, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"{where}: {_in_words(str(error))}") from error


def _in_words(message: str) -> str:
    found = _PLACE.match(message)
    what, place = (found["what"], found["where"] or "") if found else (message, "")
    if unknown := _UNKNOWN.fullmatch(what):
        field = f"{place}.{unknown['field']}" if place else unknown["field"]
        return f"field '{field}': not a field of schema {SCHEMA}; a newer lab may have written it"
    what = what.replace("`", "").replace("Object missing", "missing")
    return f"field '{place}': {what}" if place else what
