"""The checker passes what a correct service does and fails on one forgery of each kind."""

import random
from collections.abc import Callable

import msgspec
import pytest
from forging import EPOCH, SEED, VALUE_BYTES, Trial, is_right, make_trial
from hypothesis import given
from hypothesis import strategies as st

from lab.client.history import COLUMNS, History, Kind, Outcome, Znode
from workloads.check import check_registers
from workloads.values import value_of
from workloads.verdict import Verdict

READ, WRITE, ACKNOWLEDGED, UNKNOWN = Kind.READ, Kind.WRITE, Outcome.ACKNOWLEDGED, Outcome.UNKNOWN


def judge(trial: Trial, voters: int | None = None) -> Verdict:
    return check_registers(
        trial.histories, trial.replicas, trial.paths, seed=SEED, value_bytes=VALUE_BYTES, voters=voters
    )


@pytest.mark.parametrize("logs", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_a_correct_service_is_found_right(seed: int, logs: bool) -> None:
    trial = make_trial(seed, logs=logs)
    verdict = judge(trial)
    assert verdict.ok, verdict.findings
    assert verdict.writes == len(trial.rows(WRITE, ACKNOWLEDGED))
    assert verdict.reads_total == len(trial.rows(READ, ACKNOWLEDGED))
    assert verdict.replicas == 4


def test_sampled_out_reads_are_counted_but_not_checked() -> None:
    verdict = judge(make_trial(sampled=0.0))
    assert verdict.ok
    assert (verdict.reads, verdict.reads_total > 0) == (0, True)


def test_an_empty_trial_is_right_and_proves_nothing() -> None:
    verdict = check_registers([], [], [], seed=SEED, value_bytes=VALUE_BYTES)
    assert verdict == Verdict(ok=True, writes=0, reads=0, reads_total=0, replicas=0)


def test_acknowledged_writes_without_a_replica_to_look_at_are_not_verified() -> None:
    trial = make_trial()
    trial.replicas = []
    assert not judge(trial).ok


# -- forgeries: each damages one thing, and the finding is about that thing -----------------------------------------


def acknowledged_write(trial: Trial, number: int = -1) -> tuple[History, int]:
    return trial.rows(WRITE, ACKNOWLEDGED)[number]


def checked_read(trial: Trial, of: Outcome = ACKNOWLEDGED) -> tuple[History, int]:
    """A checked read of a write that had this outcome."""
    writes = {(h.client, h.columns["cxid"][row]) for h, row in trial.rows(WRITE, of)}
    for history, row in trial.rows(READ, ACKNOWLEDGED):
        columns = history.columns
        if columns["intact"][row] == 1 and (columns["writer"][row], columns["writer_cxid"][row]) in writes:
            return history, row
    raise AssertionError("no such read in this trial: take another seed")


def replica_with(trial: Trial, index: int, **changes: object) -> None:
    trial.replicas[index] = msgspec.structs.replace(trial.replicas[index], **changes)


def with_node(trial: Trial, index: int, key: int, **changes: object) -> None:
    nodes = dict(trial.replicas[index].nodes)
    path = trial.paths[key]
    nodes[path] = msgspec.structs.replace(nodes[path], **changes)
    replica_with(trial, index, nodes=nodes)


def duplicate_zxid(trial: Trial) -> None:
    (h, first), (_, second) = trial.rows(WRITE, ACKNOWLEDGED)[:2]
    h.columns["zxid"][second] = h.columns["zxid"][first]


def zxids_swapped_in_a_session(trial: Trial) -> None:
    (h, first), (_, second) = trial.rows(WRITE, ACKNOWLEDGED)[:2]
    zxid = h.columns["zxid"]
    zxid[first], zxid[second] = zxid[second], zxid[first]


def reply_behind_the_session(trial: Trial) -> None:
    h, row = checked_read(trial)
    h.columns["zxid"][row] = EPOCH + 1
    h.columns["mzxid"][row] = EPOCH + 1


def cxids_out_of_order(trial: Trial) -> None:
    cxids = trial.histories[0].columns["cxid"]
    cxids[0], cxids[1] = cxids[1], cxids[0]


def replies_out_of_order(trial: Trial) -> None:
    trial.histories[0].columns["done_ns"][0] = 1 << 40


def answered_before_it_was_sent(trial: Trial) -> None:
    h, row = acknowledged_write(trial)
    h.columns["sent_ns"][row] = 1 << 40


def replica_misses_the_last_write(trial: Trial) -> None:
    with_node(trial, 1, 0, mzxid=EPOCH)


def replica_lost_a_key(trial: Trial) -> None:
    nodes = dict(trial.replicas[1].nodes)
    del nodes[trial.paths[0]]
    replica_with(trial, 1, nodes=nodes)


def last_acknowledged(trial: Trial) -> tuple[History, int, int]:
    """(history, row, key) of a write that is a key's present data."""
    for h, row in trial.rows(WRITE, ACKNOWLEDGED):
        key = h.columns["key"][row]
        if trial.replicas[0].nodes[trial.paths[key]].mzxid == h.columns["zxid"][row]:
            return h, row, key
    raise AssertionError("every key ends with an unknown write: take another seed")


def replica_holds_other_data(trial: Trial) -> None:
    with_node(trial, 2, last_acknowledged(trial)[2], data=bytes(VALUE_BYTES))


def data_from_nowhere(trial: Trial) -> None:
    with_node(trial, 2, 0, mzxid=EPOCH << 1, data=value_of(SEED, 1, 10**6, VALUE_BYTES))


def version_counts_a_set_twice(trial: Trial) -> None:
    node = trial.replicas[0].nodes[trial.paths[1]]
    with_node(trial, 0, 1, version=node.version + 1)


def versions_of_a_key_go_back(trial: Trial) -> None:
    h, row, _ = last_acknowledged(trial)
    h.columns["version"][row] = 1


def unknown_took_effect_twice(trial: Trial) -> None:
    name, zxid = next(iter(trial.replicas[0].took_effect.items()))
    replica_with(trial, 0, took_effect={**trial.replicas[0].took_effect, name: zxid - 1})


def replica_lags(trial: Trial) -> None:
    replica_with(trial, 3, applied_zxid=EPOCH + 1, digest=None)


def acknowledged_in_one_log_only(trial: Trial) -> None:
    for index in (1, 2):
        first, last = trial.replicas[index].log[0]
        replica_with(trial, index, log=[(first, first + 1), (first + 3, last)])


def digests_differ(trial: Trial) -> None:
    replica_with(trial, 1, digest=100)


def value_damaged(trial: Trial) -> None:
    h, row = checked_read(trial)
    h.columns["intact"][row] = 0


def read_of_a_write_never_sent(trial: Trial) -> None:
    h, row = checked_read(trial)
    h.columns["writer_cxid"][row] = 10**6


def read_of_another_key(trial: Trial) -> None:
    h, row = checked_read(trial)
    h.columns["key"][row] = (h.columns["key"][row] + 1) % trial.keys


def read_of_a_failed_write(trial: Trial) -> None:
    h, row = checked_read(trial)
    writer = trial.histories[h.columns["writer"][row] - 1].columns
    writer["outcome"][list(writer["cxid"]).index(h.columns["writer_cxid"][row])] = Outcome.FAILED


def read_under_a_wrong_zxid(trial: Trial) -> None:
    h, row = checked_read(trial)
    h.columns["mzxid"][row] -= 1


def read_under_a_wrong_version(trial: Trial) -> None:
    h, row = checked_read(trial)
    h.columns["version"][row] += 1


def read_newer_than_its_server(trial: Trial) -> None:
    h, row = checked_read(trial, of=UNKNOWN)
    h.columns["mzxid"][row] = h.columns["zxid"][row] + 1


def unknown_read_under_two_zxids(trial: Trial) -> None:
    h, row = checked_read(trial, of=UNKNOWN)
    row_of_copy = {name: column[row] for name, column in h.columns.items()}
    for name, column in h.columns.items():
        column.append(row_of_copy[name])
    last = len(h) - 1
    h.columns["cxid"][last] = 10**6
    h.columns["mzxid"][last] += 1
    h.columns["zxid"][last] = trial.replicas[0].applied_zxid
    h.columns["sent_ns"][last] = h.columns["done_ns"][last] = 1 << 40


def unknown_read_under_a_taken_zxid(trial: Trial) -> None:
    h, row = checked_read(trial, of=UNKNOWN)
    taken = sorted(x.columns["zxid"][r] for x, r in trial.rows(WRITE, ACKNOWLEDGED))
    h.columns["mzxid"][row] = max(z for z in taken if z <= h.columns["zxid"][row])


def session_goes_back(trial: Trial) -> None:
    """The key's latest data was read; then one more read of the same session returns what the key was created with."""
    h, row, key = last_acknowledged(trial)
    created = trial.histories[0].columns
    add = dict.fromkeys(name for name, _ in COLUMNS) | {
        "kind": READ, "session": h.columns["session"][row], "cxid": 10**6, "key": key, "sent_ns": 1 << 40,
        "done_ns": 1 << 40, "outcome": ACKNOWLEDGED, "zxid": trial.replicas[0].applied_zxid,
        "mzxid": created["zxid"][key], "writer": 1, "writer_cxid": created["cxid"][key], "version": 0, "intact": 1,
    }  # fmt: skip
    for name, column in h.columns.items():
        column.append(add[name])


FORGERIES: list[tuple[Callable[[Trial], None], str]] = [
    (duplicate_zxid, "was acknowledged to"),
    (zxids_swapped_in_a_session, "did not increase"),
    (reply_behind_the_session, "a session's zxids went back"),
    (cxids_out_of_order, "was recorded after"),
    (replies_out_of_order, "was answered before"),
    (answered_before_it_was_sent, "was answered before it was sent"),
    (replica_misses_the_last_write, "was acknowledged at"),
    (replica_lost_a_key, "is missing"),
    (replica_holds_other_data, "does not hold the data"),
    (data_from_nowhere, "comes from no acknowledged and no unknown write"),
    (version_counts_a_set_twice, "its sets make"),
    (versions_of_a_key_go_back, "versions of a key do not increase"),
    (unknown_took_effect_twice, "stands in logs at"),
    (replica_lags, "behind the acknowledged write"),
    (acknowledged_in_one_log_only, "stands in 1 voters' logs, a quorum is 2"),
    (digests_differ, "with digests"),
    (value_damaged, "a value that nobody wrote"),
    (read_of_a_write_never_sent, "a write that was never sent"),
    (read_of_another_key, "another key's value"),
    (read_of_a_failed_write, "a write that had failed"),
    (read_under_a_wrong_zxid, "a zxid that is not its own"),
    (read_under_a_wrong_version, "a version that is not its own"),
    (read_newer_than_its_server, "newer than what its server had applied"),
    (unknown_read_under_two_zxids, "one unknown write was read under two zxids"),
    (unknown_read_under_a_taken_zxid, "under an acknowledged one's zxid"),
    (session_goes_back, "a session went back"),
]


@pytest.mark.parametrize(("forge", "finding"), FORGERIES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.covers("INV-22", "INV-23", "INV-24", "INV-25", "INV-29")
def test_a_forgery_is_found(forge: Callable[[Trial], None], finding: str) -> None:
    trial = make_trial(seed=5, operations=120)
    assert judge(trial).ok
    forge(trial)
    verdict = judge(trial)
    assert not verdict.ok
    assert any(finding in found for found in verdict.findings), verdict.findings
    assert not is_right(trial), "the slow checker agrees"


# -- what is legal -------------------------------------------------------------------------------------------------


@pytest.mark.covers("INV-16")
def test_an_observer_does_not_count_for_the_quorum_of_logs() -> None:
    trial = make_trial(servers=3, observers=2)
    replica_with(trial, 0, log=[])
    assert "stands in 0 voters' logs" in judge(trial).findings[0]


def test_a_crashed_voter_still_counts_in_the_electorate() -> None:
    trial = make_trial(servers=2, observers=0)
    assert judge(trial, voters=3).ok
    assert "a quorum is 3" in judge(trial, voters=5).findings[0]


def test_a_log_that_begins_with_a_snapshot_holds_what_the_snapshot_covers() -> None:
    trial = make_trial()
    for index in range(3):
        log = trial.replicas[index].log
        replica_with(trial, index, log=[(0, log[0][0] + 5), (log[0][0] + 6, log[0][1])])
    assert judge(trial).ok


def test_without_a_log_an_unknown_write_may_or_may_not_have_happened() -> None:
    trial = make_trial(logs=False)
    key = next(h.columns["key"][row] for h, row in trial.rows(WRITE, UNKNOWN))
    versions = {}
    for version in range(trial.replicas[0].nodes[trial.paths[key]].version + 20):
        with_node(trial, 0, key, version=version)
        versions[version] = judge(trial).ok
        assert versions[version] == is_right(trial)
    unknown = sum(h.columns["key"][row] == key for h, row in trial.rows(WRITE, UNKNOWN))
    assert sum(versions.values()) == unknown + 1


@given(st.integers(0, 2**32), st.booleans(), st.data())
def test_the_slow_checker_agrees_whatever_is_damaged(seed: int, logs: bool, data: st.DataObject) -> None:
    """Any single number of a history or a replica is changed; both checkers see it, or both see nothing wrong."""
    rng = random.Random(seed)
    trial = make_trial(seed, operations=25, logs=logs)
    if data.draw(st.booleans(), "damage a history"):
        history = rng.choice([history for history in trial.histories if len(history)])
        name = data.draw(st.sampled_from([n for n, _ in COLUMNS if n not in ("kind", "session")]))
        column = history.columns[name]
        row = rng.randrange(len(column))
        column[row] = _other_value(data, name, column[row], trial)
    else:
        _damage_a_replica(data, rng, trial)
    assert judge(trial).ok == is_right(trial), judge(trial).findings


def _other_value(data: st.DataObject, name: str, value: int, trial: Trial) -> int:
    if name == "outcome":
        return data.draw(st.sampled_from(Outcome))
    if name == "intact":
        return data.draw(st.sampled_from((-1, 0, 1)))
    if name == "key":
        return data.draw(st.integers(0, trial.keys - 1))
    return value + data.draw(st.integers(-3, 3))


def _damage_a_replica(data: st.DataObject, rng: random.Random, trial: Trial) -> None:
    index, key = rng.randrange(len(trial.replicas)), rng.randrange(trial.keys)
    replica = trial.replicas[index]
    node = replica.nodes[trial.paths[key]]
    by = data.draw(st.integers(-2, 2))
    match data.draw(st.sampled_from(("mzxid", "version", "data", "applied", "digest", "log", "effect"))):
        case "mzxid":
            with_node(trial, index, key, mzxid=node.mzxid + by)
        case "version":
            with_node(trial, index, key, version=node.version + by)
        case "data":
            with_node(trial, index, key, data=value_of(SEED, rng.randint(1, 2), rng.randint(1, 20), VALUE_BYTES))
        case "applied":
            replica_with(trial, index, applied_zxid=replica.applied_zxid + by)
        case "digest":
            replica_with(trial, index, digest=replica.digest + by)
        case "log" if replica.log:
            for each in range(rng.randint(1, 3)):
                first, last = trial.replicas[each].log[0]
                replica_with(trial, each, log=[(first + 1 + by, last)])
        case "effect" if replica.took_effect:
            name = rng.choice(sorted(replica.took_effect))
            replica_with(trial, index, took_effect={**replica.took_effect, name: replica.took_effect[name] + by})


def test_znodes_compare_by_value() -> None:
    """The forgeries replace nodes; they must not have changed the other replicas' by sharing them."""
    trial = make_trial()
    before = dict(trial.replicas[1].nodes)
    with_node(trial, 0, 0, version=77)
    assert trial.replicas[1].nodes == before
    assert isinstance(before[trial.paths[0]], Znode)
