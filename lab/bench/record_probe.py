"""What stands beside the trials of a run: probes, and runs of a reference (schema and history: `lab.bench.record`)."""

import msgspec

from lab.bench.record import SCHEMA, Machine

PROBES_FILE, REFERENCES_FILE = "probes.jsonl", "references.jsonl"  # in a results folder, where there are any


class ProbeRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something measured in a run that is no trial: what the machine can do at least, or what a server does besides."""

    schema: int = SCHEMA
    suite: str = "speed"
    probe: str  # what: floor/hop/other-core, for example
    unit: str
    value: float  # median of the samples
    low: float | None  # its 95 % interval, by order statistics; None: too few samples to have one
    high: float | None
    n: int
    p99: float | None = None  # of the samples, where there are enough
    facts: dict[str, float] = {}  # what else was counted
    verified: bool = True
    findings: list[str] = []
    round: int
    started_at: str
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False


class ReferenceRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a reference pipeline, right beside a trial of `point` in the same round."""

    schema: int = SCHEMA
    suite: str = "speed"
    point: str
    script: str  # its name, without folders
    arguments: list[str]
    writes_per_s: float
    p50_us: float
    cpu_us_per_write: float
    verified: bool  # by what the script itself says of its replicas; true where it says nothing
    round: int
    started_at: str
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False
