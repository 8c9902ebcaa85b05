"""How many acknowledged writes are missing somewhere: the one number of a run that was meant to break things."""

from collections.abc import Sequence

import numpy as np

from lab.client.history import ReplicaState
from workloads.checks.logs import too_few_copies
from workloads.checks.operations import Operations


def lost_writes(ops: Operations, replicas: Sequence[ReplicaState], paths: Sequence[str], voters: int | None) -> int:
    """Acknowledged writes that a replica's node is older than, or that stand in the logs of less than a quorum."""
    rows = ops.writes[np.argsort(ops.zxid[ops.writes], kind="stable")]
    lost = too_few_copies(ops.zxid[rows], replicas, voters)
    has_key = ops.key[rows] >= 0
    for replica in replicas:
        nodes = (replica.nodes.get(path) for path in paths)
        held = np.array([0 if node is None else node.mzxid for node in nodes], np.int64)
        lost[has_key] |= held[ops.key[rows[has_key]]] < ops.zxid[rows[has_key]]
    return int(np.count_nonzero(lost))
