"""Each key is a linearizable register (INV-24): its versions, which give the order of its writes, agree with real time.

A write makes the version after the one that it finds, and is told it.  So the acknowledged writes of a key stand in the
order of their versions, which must be that of their zxids; a gap between two of them is filled by writes of unknown
outcome, sent in time.  An order of operations agrees with real time if none was answered before one that stands ahead
of it was sent: one running maximum over all of them, whatever their number.
"""

import numpy as np

from lab.client.history import Outcome
from workloads.checks.operations import Ints, Mask, Operations, lookup, times
from workloads.values import CXID_BITS

_NEVER = np.iinfo(np.int64).max


def check_linearizable(ops: Operations, *, reads: bool = False, whole: bool = False) -> list[str]:
    """`reads`: they are linearizable, too, as behind a `sync` of a quorum; else they may be stale (INV-23 is theirs).

    `whole`: nobody else wrote these keys, whose first version, 0, is the first write's.
    """
    writes = ops.writes[(ops.key[ops.writes] >= 0) & (ops.version[ops.writes] >= 0)]
    seen = ops.reads[ops.intact[ops.reads] == 1] if reads else ops.reads[:0]
    unknown, versions = _read_unknowns(ops)
    rows = np.concatenate((writes, unknown, seen))
    version = np.concatenate((ops.version[writes], versions, ops.version[seen]))
    is_read = np.repeat([False, True], [len(writes) + len(unknown), len(seen)])
    order = np.lexsort((is_read, version, ops.key[rows]))
    rows, version, is_read = rows[order], version[order], is_read[order]
    done = np.where(ops.outcome[rows] == Outcome.UNKNOWN, _NEVER, ops.done_ns[rows])
    return [
        *_same_version(ops, rows[~is_read], version[~is_read]),
        *_against_zxids(ops, rows[~is_read]),
        *(_origins(ops, rows, version, is_read) if reads else []),
        *_against_time(ops, rows, version, is_read, done),
        *(_gaps(ops, rows[~is_read], version[~is_read], rows, version, done) if whole else []),
    ]


def _read_unknowns(ops: Operations) -> tuple[Ints, Ints]:
    """Rows of writes of unknown outcome that some read has shown, and the versions that they made."""
    candidates = np.flatnonzero(ops.is_write & (ops.outcome == Outcome.UNKNOWN) & (ops.key >= 0))
    reads = ops.reads[ops.intact[ops.reads] == 1]
    codes = ops.codes(candidates)
    order = np.argsort(codes, kind="stable")
    index, known = lookup(codes[order], (ops.writer[reads] << CXID_BITS) + ops.writer_cxid[reads])
    if not known.any():
        return candidates[:0], candidates[:0]
    pairs = np.unique(np.stack((candidates[order][index[known]], ops.version[reads[known]])), axis=1)
    return pairs[0], pairs[1]  # one that was read under two versions stands there twice: `_same_write`


def _same_version(ops: Operations, writes: Ints, version: Ints) -> list[str]:
    same = np.flatnonzero((ops.key[writes][1:] == ops.key[writes][:-1]) & (version[1:] == version[:-1]))
    twice = np.flatnonzero(np.diff(np.sort(writes)) == 0)
    findings = []
    if len(same):
        one, other = writes[same[0]], writes[same[0] + 1]
        findings.append(f"{ops.name(one)} and {ops.name(other)} made one version, {version[same[0]]}{times(len(same))}")
    if len(twice):
        row = np.sort(writes)[twice[0]]
        findings.append(f"{ops.name(row)} was read under two versions{times(len(twice))}")
    return findings


def _against_zxids(ops: Operations, writes: Ints) -> list[str]:
    told = writes[ops.outcome[writes] == Outcome.ACKNOWLEDGED]
    back = np.flatnonzero((ops.key[told][1:] == ops.key[told][:-1]) & (ops.zxid[told][1:] <= ops.zxid[told][:-1]))
    if not len(back):
        return []
    one, other = told[back[0]], told[back[0] + 1]
    return [
        f"{ops.name(one)} made version {ops.version[one]}, {ops.name(other)} the later {ops.version[other]} "
        f"under an earlier zxid{times(len(back))}"
    ]


def _origins(ops: Operations, rows: Ints, version: Ints, is_read: Mask) -> list[str]:
    """A read's version is that of the write that its value names; that write stands right before its readers."""
    at = np.maximum.accumulate(np.where(is_read, -1, np.arange(len(rows))))
    reads = np.flatnonzero(is_read)
    origin = rows[np.maximum(at[reads], 0)]
    code = (ops.writer[rows[reads]] << CXID_BITS) + ops.writer_cxid[rows[reads]]
    same_key = ops.key[origin] == ops.key[rows[reads]]
    wrong = (at[reads] < 0) | ~same_key | (version[np.maximum(at[reads], 0)] != version[reads])
    wrong |= ops.codes(origin) != code
    if not wrong.any():
        return []
    row = rows[reads[wrong][0]]
    return [f"{ops.name(row)} returned version {ops.version[row]} of another write{times(int(wrong.sum()))}"]


def _against_time(ops: Operations, rows: Ints, version: Ints, is_read: Mask, done: Ints) -> list[str]:
    """Nobody is answered before somebody who stands ahead of it was sent; readers of one version stand side by side."""
    if not len(rows):
        return []
    sent = ops.sent_ns[rows] - ops.sent_ns[rows].min()
    # one running maximum over all keys: each key's times lie above those of the keys before
    lifted = sent + np.cumsum(np.concatenate(([0], np.diff(ops.key[rows]) != 0))) * (int(sent.max()) + 1)
    ahead = np.maximum.accumulate(lifted)
    # of the readers of one version only what stands ahead of the first of them counts
    begins = np.concatenate(
        ([True], ~(is_read[1:] & is_read[:-1] & (np.diff(version) == 0) & (np.diff(ops.key[rows]) == 0)))
    )
    first = np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))
    before = np.where(first > 0, ahead[np.maximum(first - 1, 0)], -1)
    limit = before - (lifted - sent) + ops.sent_ns[rows].min()
    wrong = np.flatnonzero(done < limit)
    if not len(wrong):
        return []
    row = rows[wrong[0]]
    return [
        f"{ops.name(row)}, of version {version[wrong[0]]}, was answered before an operation that stands ahead of it "
        f"was sent{times(len(wrong))}"
    ]


def _gaps(ops: Operations, writes: Ints, made: Ints, rows: Ints, version: Ints, done: Ints) -> list[str]:
    """Versions that no known write made are made by writes of unknown outcome, each sent before what stands behind it
    was answered.
    """
    findings: list[str] = []
    known = set(writes.tolist())
    free: dict[int, list[int]] = {}
    for row in np.flatnonzero(ops.is_write & (ops.outcome == Outcome.UNKNOWN) & (ops.key >= 0)).tolist():
        if row not in known:
            free.setdefault(int(ops.key[row]), []).append(int(ops.sent_ns[row]))
    starts = np.flatnonzero(np.concatenate(([True], np.diff(ops.key[writes]) != 0))) if len(writes) else writes[:0]
    previous = np.concatenate(([-1], made[:-1])) if len(made) else made
    previous[starts] = -1
    for key in np.unique(ops.key[writes[made - previous > 1]]).tolist():
        mine = np.flatnonzero(ops.key[writes] == key)
        here = np.flatnonzero(ops.key[rows] == key)
        sent = sorted(free.get(key, []))
        filled = 0
        for at in mine[made[mine] - previous[mine] > 1].tolist():
            behind = here[version[here] >= made[at]]
            deadline = int(done[behind].min())
            for missing in range(int(previous[at]) + 1, int(made[at])):
                if filled >= len(sent) or sent[filled] > deadline:
                    findings.append(f"nobody made version {missing} of key {key}, {ops.name(writes[at])} made the next")
                    break
                filled += 1
    return findings
