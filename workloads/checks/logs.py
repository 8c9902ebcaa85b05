"""(c) Every acknowledged transaction stands in the logs of a quorum of voters (INV-5)."""

from collections.abc import Sequence

import numpy as np

from lab.client.history import ReplicaState
from workloads.checks.operations import Ints, Mask, Operations, show, times


def check_logs(ops: Operations, replicas: Sequence[ReplicaState], voters: int | None) -> list[str]:
    """`voters` None: every voter is among the replicas.  Says nothing about an ensemble without logs."""
    electorate = [replica for replica in replicas if replica.role != "observer"]
    logs = [replica.log for replica in electorate if replica.log is not None]
    if not logs:
        return []
    quorum = (len(electorate) if voters is None else voters) // 2 + 1
    zxids = np.sort(ops.zxid[ops.writes])
    copies = np.zeros(len(zxids), np.int64)
    for log in logs:
        copies += stands_in(zxids, log)
    lost = np.flatnonzero(copies < quorum)
    if not len(lost):
        return []
    return [
        f"acknowledged zxid {show(zxids[lost[0]])} stands in {copies[lost[0]]} voters' logs, "
        f"a quorum is {quorum}{times(len(lost))}"
    ]


def stands_in(zxids: Ints, log: Sequence[tuple[int, int]]) -> Mask:
    """Whether each zxid lies in one of the log's runs (first, last)."""
    if not log:
        return np.zeros(len(zxids), np.bool_)
    runs = np.array(sorted(log), np.int64)
    firsts, lasts = runs[:, 0], np.maximum.accumulate(runs[:, 1])
    index = np.searchsorted(firsts, zxids, "right") - 1
    inside: Mask = (index >= 0) & (zxids <= lasts[np.maximum(index, 0)])
    return inside
