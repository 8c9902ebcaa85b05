"""What `torture` does between its options and the report: a folder, the ordeal, its record."""

import contextlib
from pathlib import Path

import msgspec
import orjson

from lab.bench.progress import Reporter
from lab.bench.record import Settings
from lab.bench.record_long import TORTURE_FILE, TortureRecord
from lab.bench.results import default_name, new_folder, write_whole
from lab.bench.torture import torture

EVIDENCE = "evidence"  # what a run that was not verified leaves in its results folder


def torture_into(
    results: Path, name: str | None, settings: Settings, *, data_dir: Path | None, shown: Reporter
) -> tuple[Path, TortureRecord]:
    """Torture; `results` gets a new folder with the record, and with evidence where something was wrong.

    What ends it early is raised, and the folder is gone.
    """
    folder = new_folder(results, name or f"torture-{default_name()}-seed{settings.seed}")
    try:
        record = torture(settings, data_dir=data_dir, evidence=folder / EVIDENCE, shown=shown)
        write_whole(folder / TORTURE_FILE, orjson.dumps(msgspec.to_builtins(record)) + b"\n")
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    return folder, record
