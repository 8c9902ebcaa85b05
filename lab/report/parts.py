"""What the parts of a server cost: the pyperf files that `lab.bench.micro` leaves in a run's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lab.bench.record import RecordError
from lab.report.reading import Run, read_json, typed
from lab.report.statistics import Sample

MEASURED, REFERENCE = "micro.json", "micro-reference.json"  # in `pyperf/`
YARDSTICK = "yardstick"  # the part without any code of ours


class Part(msgspec.Struct, frozen=True):
    """One part's CPU time in nanoseconds per operation, a value a process."""

    name: str
    what: str
    per: str
    sample: Sample


class Parts(msgspec.Struct, frozen=True):
    """One file of them, in its order.  `machine` is the id of `record.Machine`, `commit` what was measured."""

    machine: str
    commit: str
    parts: dict[str, Part]


class _Measured(msgspec.Struct):
    """As much of pyperf's format as is needed; what all entries have in common stands one level up."""

    metadata: dict[str, Any] = {}
    values: list[float] = []


class _Benchmark(msgspec.Struct):
    runs: list[_Measured]
    metadata: dict[str, Any] = {}


class _Suite(msgspec.Struct):
    benchmarks: list[_Benchmark]
    metadata: dict[str, Any] = {}


def parts_of(run: Run) -> Parts | None:
    return load_parts(run.path / "pyperf" / MEASURED)


def reference_of(run: Run) -> Parts | None:
    """The last reference when the run was measured."""
    return load_parts(run.path / "pyperf" / REFERENCE)


def load_parts(path: Path) -> Parts | None:
    """None if there is no such file.  Raises RecordError, naming it, if it is none of `lab.bench.micro`."""
    if not path.is_file():
        return None
    suite = typed(read_json(path.read_bytes(), str(path)), _Suite, str(path))
    read: dict[str, Part] = {}
    of_all: set[tuple[str, str]] = set()
    for benchmark in suite.benchmarks:
        said = {**suite.metadata, **benchmark.metadata}
        of_runs = [{**said, **run.metadata} for run in benchmark.runs if run.values]
        if not of_runs:
            continue
        try:
            name, what, per = (str(of_runs[0][key]) for key in ("name", "lab_what", "lab_per"))
            of_all |= {(str(one["lab_machine"]), str(one["lab_commit"])) for one in of_runs}
        except KeyError as missing:
            raise RecordError(f"{path}: a benchmark without {missing}; `python -m lab.bench.micro` writes it") from None
        read[name] = Part(name, what, per, _sample([run.values for run in benchmark.runs if run.values]))
    machines, commits = ({one[i] for one in of_all} for i in (0, 1))
    return Parts(", ".join(sorted(machines)), ", ".join(sorted(commits)), read)


def _sample(processes: Sequence[Sequence[float]]) -> Sample:
    """The least value of each process: whatever else the machine does can only add to what a part costs."""
    return Sample(tuple(1e9 * min(values) for values in processes), (None,) * len(processes))


def differing_machines(then: Parts, now: Parts) -> str:
    """Why the two do not compare; empty if they do."""
    return "" if then.machine == now.machine else f"machine {then.machine} then, {now.machine} now"
