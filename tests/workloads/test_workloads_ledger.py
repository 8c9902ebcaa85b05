"""The ledger, which sees a run slice by slice, finds what the checker of whole histories finds."""

import random
from collections.abc import Callable, Iterator

import msgspec
import pytest
from forging import EPOCH, SEED, VALUE_BYTES, Service, Trial, add_row

from lab.client.history import History, Outcome
from workloads.check import check_registers
from workloads.ledger import Ledger
from workloads.verdict import Verdict


def writes_only(seed: int, operations: int = 80) -> Trial:
    """A right trial of writes, over two clients with two sessions each."""
    rng = random.Random(seed)
    service = Service(rng, 2, 2, 3)
    for key in range(3):
        service.write(service.histories[0], 0, key, Outcome.ACKNOWLEDGED)
    for _ in range(operations):
        outcome = rng.choices(list(Outcome), (8, 1, 1))[0]
        history, session, key = rng.choice(service.histories), rng.randrange(2), rng.randrange(3)
        service.write(history, session, key, outcome, effective=rng.random() < 0.5)
    return Trial(service.histories, service.replicas(4, 1, logs=True), 3)


def slices(history: History, rng: random.Random) -> Iterator[History]:
    rows, begin = len(history), 0
    while begin < rows:
        end = min(rows, begin + rng.randint(1, 12))
        part = History(history.client, history.sessions)
        for row in range(begin, end):
            add_row(part, **{name: column[row] for name, column in history.columns.items()})
        yield part
        begin = end


def told(trial: Trial, seed: int = 1) -> tuple[Ledger, Verdict]:
    ledger, rng = Ledger(trial.paths, SEED, VALUE_BYTES), random.Random(seed)
    for history in trial.histories:
        for part in slices(history, rng):
            ledger.take(part)
    return ledger, ledger.verdict(trial.replicas, 3)


def judged(trial: Trial) -> Verdict:
    return check_registers(trial.histories, trial.replicas, trial.paths, seed=SEED, value_bytes=VALUE_BYTES, voters=3)


def acknowledged_rows(history: History) -> list[int]:
    return [row for row in range(len(history)) if history.columns["outcome"][row] == Outcome.ACKNOWLEDGED]


def test_it_agrees_with_the_checker_of_whole_histories_on_what_is_right() -> None:
    for seed in range(30):
        trial = writes_only(seed)
        ledger, verdict = told(trial, seed)
        assert verdict.ok, verdict.findings
        assert (verdict.writes, verdict.lost, verdict.replicas) == (judged(trial).writes, 0, 4)
        asked = [f"{session}:{cxid}" for session, cxid in ledger.unknown]
        assert set(trial.replicas[0].took_effect) <= set(asked)


def zxid_twice(trial: Trial) -> None:
    """The second client's last write is acknowledged under the first client's first zxid that its session may show."""
    one, other = trial.histories
    row = acknowledged_rows(other)[-1]
    session, below = other.columns["session"][row], other.columns["zxid"][row]
    before = max(
        other.columns["zxid"][r] for r in acknowledged_rows(other)[:-1] if other.columns["session"][r] == session
    )
    taken = [one.columns["zxid"][r] for r in acknowledged_rows(one) if before < one.columns["zxid"][r] < below]
    if not taken:
        pytest.skip("no such zxid in this trial")
    other.columns["zxid"][row] = taken[0]


def session_back(trial: Trial) -> None:
    """A session's newest acknowledgement is older than its oldest."""
    history = trial.histories[0]
    history.columns["zxid"][acknowledged_rows(history)[-1]] = EPOCH - 5


def a_replica_is_behind(trial: Trial) -> None:
    node = trial.replicas[1].nodes[trial.paths[0]]
    nodes = {**trial.replicas[1].nodes, trial.paths[0]: msgspec.structs.replace(node, mzxid=EPOCH + 1)}
    trial.replicas[1] = msgspec.structs.replace(trial.replicas[1], nodes=nodes)


def a_set_was_done_twice(trial: Trial) -> None:
    for at, replica in enumerate(trial.replicas):
        node = replica.nodes[trial.paths[1]]
        nodes = {**replica.nodes, trial.paths[1]: msgspec.structs.replace(node, version=node.version + 1)}
        trial.replicas[at] = msgspec.structs.replace(replica, nodes=nodes)


def logs_are_short(trial: Trial) -> None:
    for at in (0, 1):
        replica = trial.replicas[at]
        trial.replicas[at] = msgspec.structs.replace(replica, log=[(EPOCH + 1, replica.applied_zxid - 40)])


def digests_differ(trial: Trial) -> None:
    trial.replicas[2] = msgspec.structs.replace(trial.replicas[2], digest=98)


def nobody_is_there(trial: Trial) -> None:
    trial.replicas.clear()


@pytest.mark.parametrize(
    "damage",
    [zxid_twice, session_back, a_replica_is_behind, a_set_was_done_twice, logs_are_short, digests_differ,
     nobody_is_there],
)  # fmt: skip
def test_it_finds_what_the_checker_of_whole_histories_finds(damage: Callable[[Trial], None]) -> None:
    trial = writes_only(4)
    damage(trial)
    assert not judged(trial).ok
    _, verdict = told(trial)
    assert not verdict.ok
    assert verdict.findings
    if damage in (a_replica_is_behind, logs_are_short):
        assert verdict.lost >= 1


def test_a_zxid_of_an_earlier_slice_is_not_acknowledged_again() -> None:
    ledger, history = Ledger(["/bench/00000"], SEED, VALUE_BYTES), writes_only(1).histories[1]
    row = {name: column[acknowledged_rows(history)[0]] for name, column in history.columns.items()} | {"key": 0}
    for session in (0, 1):
        part = History(2, history.sessions)
        add_row(part, **{**row, "session": session, "cxid": row["cxid"] + session})
        ledger.take(part)
    (finding, *_) = ledger.verdict([], 3).findings
    assert finding.endswith("was acknowledged before")
