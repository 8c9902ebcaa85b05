"""The checker of every workload that sets and reads keys: each key is a register that names its last writer."""

from collections.abc import Sequence

from lab.client.history import History, ReplicaState
from workloads.checks.linearizable import check_linearizable
from workloads.checks.logs import check_logs
from workloads.checks.lost import lost_writes
from workloads.checks.operations import Operations
from workloads.checks.reads import check_reads
from workloads.checks.replicas import check_replicas
from workloads.checks.sessions import check_sessions
from workloads.verdict import Verdict

FINDINGS_MAX = 20


def check_registers(
    histories: Sequence[History],
    replicas: Sequence[ReplicaState],
    paths: Sequence[str],
    *,
    seed: int,
    value_bytes: int,
    voters: int | None = None,
) -> Verdict:
    """Judge a trial after the load stopped and every live replica reached the last zxid (DESIGN 4, (a) to (e)).

    `paths` are the keys' nodes, created once and then only set.  `voters` is the size of the electorate; None: all
    voters are among the replicas.
    """
    ops = Operations.of(histories)
    findings = [
        *check_sessions(ops),
        *check_replicas(ops, replicas, paths, seed, value_bytes),
        *check_logs(ops, replicas, voters),
        *check_reads(ops),
        *check_linearizable(ops),
    ]
    if not replicas and len(ops.writes):
        findings.append("no replica was there to be compared with the acknowledged writes")
    more = [f"and {len(findings) - FINDINGS_MAX} more"] if len(findings) > FINDINGS_MAX else []
    return Verdict(
        ok=not findings,
        writes=len(ops.writes),
        reads=len(ops.reads),
        reads_total=ops.reads_total,
        replicas=len(replicas),
        lost=lost_writes(ops, replicas, paths, voters),
        findings=findings[:FINDINGS_MAX] + more,
    )
