"""(c) Every acknowledged transaction stands in the logs of a quorum of voters (INV-5)."""

from collections.abc import Sequence

import numpy as np

from lab.client.history import ReplicaState
from workloads.checks.operations import Ints, Mask, Operations, show, times


def check_logs(ops: Operations, replicas: Sequence[ReplicaState], voters: int | None) -> list[str]:
    """`voters` None: every voter is among the replicas.  Says nothing about an ensemble without logs."""
    zxids = np.sort(ops.zxid[ops.writes])
    lost = np.flatnonzero(too_few_copies(zxids, replicas, voters))
    if not len(lost):
        return []
    copies, quorum = int(_copies(zxids[lost[:1]], replicas)[0]), _quorum(replicas, voters)
    return [
        f"acknowledged zxid {show(zxids[lost[0]])} stands in {copies} voters' logs, "
        f"a quorum is {quorum}{times(len(lost))}"
    ]


def too_few_copies(zxids: Ints, replicas: Sequence[ReplicaState], voters: int | None) -> Mask:
    """Which of these ascending zxids stand in the logs of less than a quorum; none where there are no logs."""
    if not _logs(replicas):
        return np.zeros(len(zxids), np.bool_)
    few: Mask = _copies(zxids, replicas) < _quorum(replicas, voters)
    return few


def _logs(replicas: Sequence[ReplicaState]) -> list[list[tuple[int, int]]]:
    return [replica.log for replica in replicas if replica.role != "observer" and replica.log is not None]


def _quorum(replicas: Sequence[ReplicaState], voters: int | None) -> int:
    electorate = [replica for replica in replicas if replica.role != "observer"]
    return (len(electorate) if voters is None else voters) // 2 + 1


def _copies(zxids: Ints, replicas: Sequence[ReplicaState]) -> Ints:
    copies = np.zeros(len(zxids), np.int64)
    for log in _logs(replicas):
        copies += stands_in(zxids, log)
    return copies


def stands_in(zxids: Ints, log: Sequence[tuple[int, int]]) -> Mask:
    """Whether each zxid lies in one of the log's runs (first, last)."""
    if not log:
        return np.zeros(len(zxids), np.bool_)
    runs = np.array(sorted(log), np.int64)
    firsts, lasts = runs[:, 0], np.maximum.accumulate(runs[:, 1])
    index = np.searchsorted(firsts, zxids, "right") - 1
    inside: Mask = (index >= 0) & (zxids <= lasts[np.maximum(index, 0)])
    return inside
