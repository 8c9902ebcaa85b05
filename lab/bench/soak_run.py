"""What `soak` does between its options and the report: a folder, the soak, its record."""

import contextlib
from pathlib import Path

import msgspec
import orjson

from lab.bench.progress import Reporter
from lab.bench.record import Settings
from lab.bench.record_long import SOAK_FILE, SoakRecord
from lab.bench.results import default_name, new_folder, write_whole
from lab.bench.soak import soak

EVIDENCE = "evidence"  # what a run that was not verified leaves in its results folder


def soak_into(
    results: Path, name: str | None, settings: Settings, *, data_dir: Path | None, shown: Reporter
) -> tuple[Path, SoakRecord]:
    """Soak; `results` gets a new folder with the record.  What ends it without one is raised, the folder then gone."""
    folder = new_folder(results, name or f"soak-{default_name()}")
    try:
        record = soak(settings, data_dir=data_dir, evidence=folder / EVIDENCE, shown=shown)
        write_whole(folder / SOAK_FILE, orjson.dumps(msgspec.to_builtins(record)) + b"\n")
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    return folder, record
