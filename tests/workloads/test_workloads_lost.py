"""Lost writes are counted one by one."""

import msgspec
from forging import SEED, VALUE_BYTES, Trial, make_trial

from lab.client.history import Kind, Outcome
from workloads.check import check_registers


def lost(trial: Trial, voters: int | None = None) -> int:
    judged = check_registers(
        trial.histories, trial.replicas, trial.paths, seed=SEED, value_bytes=VALUE_BYTES, voters=voters
    )
    assert judged.ok == (judged.lost == 0)
    return judged.lost


def acknowledged(trial: Trial) -> list[tuple[int, str]]:
    """(zxid, path) of each acknowledged write, in the order of zxids."""
    rows = trial.rows(Kind.WRITE, Outcome.ACKNOWLEDGED)
    return sorted((history.columns["zxid"][row], trial.paths[history.columns["key"][row]]) for history, row in rows)


def test_nothing_is_lost_where_everything_is_there() -> None:
    for seed in range(20):
        for logs in (True, False):
            assert lost(make_trial(seed, logs=logs)) == 0


def test_every_write_that_a_replicas_node_is_older_than_counts_once() -> None:
    for logs in (True, False):
        trial = make_trial(1, logs=logs)
        path = acknowledged(trial)[-1][1]
        of_key = [zxid for zxid, its_path in acknowledged(trial) if its_path == path]
        assert len(of_key) > 2
        for at in (1, 2):  # the same writes are missing twice
            node = trial.replicas[at].nodes[path]
            nodes = {**trial.replicas[at].nodes, path: msgspec.structs.replace(node, mzxid=of_key[0])}
            trial.replicas[at] = msgspec.structs.replace(trial.replicas[at], nodes=nodes)
        assert lost(trial) == len(of_key) - 1
        del trial.replicas[1].nodes[path]
        assert lost(trial) == len(of_key), "the one that remained is missing, too"


def test_every_write_that_stands_in_the_logs_of_less_than_a_quorum_counts() -> None:
    trial = make_trial(2)
    zxids = [zxid for zxid, _ in acknowledged(trial)]
    cut = zxids[-3]  # the last three are in no log but one
    voters = [i for i, replica in enumerate(trial.replicas) if replica.role != "observer"]
    for at in voters[1:]:
        log = [(first, min(last, cut - 1)) for first, last in trial.replicas[at].log or []]
        trial.replicas[at] = msgspec.structs.replace(trial.replicas[at], log=log)
    assert lost(trial) == 3
