"""Where a run keeps what its micro benchmarks measured: `pyperf/micro.json`, and beside it the last reference's.

pyperf rewrites its file after every benchmark, so a round is gathered in a file of its own and put in place when it is
whole.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.bench.results import write_whole

FILE = "micro.json"
REFERENCE_FILE = "micro-reference.json"
REFERENCE = "reference"  # the name of the run that is committed


@contextlib.contextmanager
def next_round(run: Path) -> Iterator[Path]:
    """A file to append one round to; it becomes the run's unless the round is left by an exception."""
    folder = run / "pyperf"
    kept, part = folder / FILE, folder / f".{FILE}.part"
    keep_reference(run)
    part.unlink(missing_ok=True)
    if kept.exists():
        shutil.copyfile(kept, part)
    try:
        yield part
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)


def keep_reference(run: Path) -> None:
    """What was the last reference when this run was measured: its report says what has changed since."""
    last, copy = run.parent / REFERENCE / "pyperf" / FILE, run / "pyperf" / REFERENCE_FILE
    if last.exists() and last.parent != copy.parent and not copy.exists():
        write_whole(copy, last.read_bytes())
