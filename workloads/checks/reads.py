"""(e) Each checked read returned the data of the write it reported, and a session never went back (INV-23)."""

import numpy as np

from lab.client.history import Outcome
from workloads.checks.operations import Ints, Operations, lookup, show, times
from workloads.values import CXID_BITS


def check_reads(ops: Operations) -> list[str]:
    intact = ops.reads[ops.intact[ops.reads] == 1]
    return [*_broken_values(ops), *_origins(ops, intact), *_monotonic(ops)]


def _broken_values(ops: Operations) -> list[str]:
    broken = ops.reads[ops.intact[ops.reads] == 0]
    if not len(broken):
        return []
    return [f"{ops.name(broken[0])} returned a value that nobody wrote{times(len(broken))}"]


def _origins(ops: Operations, reads: Ints) -> list[str]:
    """Join each read with the write that its value names."""
    findings: list[str] = []

    def report(rows: Ints, what: str) -> None:
        if len(rows):
            row = rows[0]
            findings.append(
                f"{ops.name(row)} returned {what}: value of write {ops.writer_cxid[row]} of client {ops.writer[row]}, "
                f"mzxid {show(ops.mzxid[row])}{times(len(rows))}"
            )

    all_writes = np.flatnonzero(ops.is_write)
    codes = ops.codes(all_writes)
    order = np.argsort(codes, kind="stable")
    index, known = lookup(codes[order], (ops.writer[reads] << CXID_BITS) + ops.writer_cxid[reads])
    report(reads[~known], "the value of a write that was never sent")
    if not len(all_writes):
        return findings
    reads, origin = reads[known], all_writes[order][index[known]]
    report(reads[ops.key[reads] != ops.key[origin]], "another key's value")
    report(reads[ops.outcome[origin] == Outcome.FAILED], "the value of a write that had failed")
    acknowledged = ops.outcome[origin] == Outcome.ACKNOWLEDGED
    report(reads[acknowledged & (ops.mzxid[reads] != ops.zxid[origin])], "a write under a zxid that is not its own")
    other_version = ops.version[reads] != ops.version[origin]
    report(reads[acknowledged & other_version], "a write under a version that is not its own")
    report(reads[ops.mzxid[reads] > ops.zxid[reads]], "data newer than what its server had applied")
    findings += _unknown_origins(ops, reads[ops.outcome[origin] == Outcome.UNKNOWN])
    return findings


def _unknown_origins(ops: Operations, reads: Ints) -> list[str]:
    """A write of unknown outcome may be read, but it is one transaction: one zxid, and nobody else's (INV-29)."""
    if not len(reads):
        return []
    findings = []
    _, taken = lookup(np.sort(ops.zxid[ops.writes]), ops.mzxid[reads])
    if taken.any():
        row = reads[taken][0]
        findings.append(
            f"{ops.name(row)} returned an unknown write under an acknowledged one's zxid {show(ops.mzxid[row])}"
        )
    origin = (ops.writer[reads] << CXID_BITS) + ops.writer_cxid[reads]
    pairs = np.unique(np.stack((origin, ops.mzxid[reads])), axis=1)
    for of_pair, of_reads, what in (
        (pairs[0], origin, "one unknown write was read under two zxids"),
        (pairs[1], ops.mzxid[reads], "two unknown writes were read under one zxid"),
    ):
        values = np.sort(of_pair)
        twice = np.flatnonzero(values[1:] == values[:-1])
        if len(twice):
            row = reads[of_reads == values[twice[0]]][0]
            findings.append(f"{what}: {ops.name(row)} is one of the reads{times(len(twice))}")
    return findings


def _monotonic(ops: Operations) -> list[str]:
    """Within a session, what is seen of a key never goes back: neither behind a read, nor behind an own write."""
    rows = np.sort(np.concatenate((ops.writes[ops.key[ops.writes] >= 0], ops.reads)))
    if not len(rows):
        return []
    group = ops.session[rows] * (int(ops.key.max()) + 1) + ops.key[rows]
    order = np.argsort(group, kind="stable")
    rows, group = rows[order], group[order]
    seen = np.where(ops.is_write[rows], ops.zxid[rows], ops.mzxid[rows])
    back = np.flatnonzero((group[1:] == group[:-1]) & (seen[1:] < seen[:-1]))
    if not len(back):
        return []
    one, other = rows[back[0]], rows[back[0] + 1]
    return [
        f"a session went back: {ops.name(one)} was at {show(seen[back[0]])}, "
        f"then {ops.name(other)} at {show(seen[back[0] + 1])}{times(len(back))}"
    ]
