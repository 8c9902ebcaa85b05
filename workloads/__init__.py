"""Workloads: a workload is parameters, a seeded generator and a checker; `presets/*.toml` are named points.

A new workload is one file in `kinds/` that defines `WORKLOAD` (and presets, if it has points worth a name).  Data in,
verdict out: nothing here opens a connection, and of the lab's own code only `lab.client.history` is imported.
Load processes import this package, so numpy stays inside the checkers (`check`, `checks`).
"""

from workloads.params import load_workload, presets, refine
from workloads.registry import workload_named, workload_of
from workloads.verdict import Verdict
from workloads.workload import Generator, Workload, WorkloadError

__all__ = [
    "Generator",
    "Verdict",
    "Workload",
    "WorkloadError",
    "load_workload",
    "presets",
    "refine",
    "workload_named",
    "workload_of",
]
