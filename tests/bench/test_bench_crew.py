"""Clients that are killed and replaced, against servers that answer at once over real shared memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_ensemble import FakeEnsemble

from lab.bench.crew import Crew
from lab.bench.record import Settings
from lab.bench.tally import acknowledged, column
from lab.client.history import History, Kind, Outcome
from lab.targets.target import TargetError
from workloads import workload_of
from workloads.kinds.read_mix import ReadMix

pytestmark = pytest.mark.process
DEADLINE_S = 60.0
PARAMS = ReadMix(keys=20, reads=0.3)


@contextmanager
def at_work(folder: Path, clients: int = 2, **settings: Any) -> Iterator[tuple[FakeEnsemble, Crew]]:
    with FakeEnsemble() as ensemble:
        given = Settings(keys=20, reads=0.3, clients=clients, outstanding=8, **settings)
        crew = Crew(given, PARAMS, [1, 2, 3], ensemble.connector, folder, str)
        try:
            crew.start()
            yield ensemble, crew
        finally:
            crew.close()
    assert list(folder.glob("history*")) == []


def until(holds: Callable[[], bool], crew: Crew) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        crew.tend()
        time.sleep(0.005)


def writes(histories: list[History], client: int) -> int:
    return acknowledged([history for history in histories if history.client == client], Kind.WRITE)


def check(ensemble: FakeEnsemble, histories: list[History]) -> None:
    replicas = [
        msgspec.structs.replace(replica, log=None) for replica in ensemble.replicas()
    ]  # tells no unknown's fate
    verdict = workload_of(PARAMS).check(histories, replicas, seed=1, params=PARAMS)
    assert verdict.ok, verdict.findings
    assert verdict.lost == 0


def test_a_killed_clients_acknowledged_writes_count_and_what_it_waited_for_is_unknown(tmp_path: Path) -> None:
    with at_work(tmp_path) as (ensemble, crew):
        until(lambda: writes(crew.histories(), 0) > 200, crew)
        crew.kill(0)
        before = len(next(history for history in crew.histories() if history.client == 0))
        until(lambda: writes(crew.histories(), 2) > 200, crew)
        histories = crew.finish()
        check(ensemble, histories)
    assert crew.started == 3
    assert sorted(history.client for history in histories) == [0, 1, 2]
    killed = next(history for history in histories if history.client == 0)
    assert len(killed) == before, "the dead write nothing"
    unknown = int((column(killed, "outcome") == Outcome.UNKNOWN).sum())
    assert unknown <= 8


def test_a_client_that_is_killed_before_it_could_begin_leaves_nothing(tmp_path: Path) -> None:
    with at_work(tmp_path, clients=1) as (ensemble, crew):
        crew.kill(0)
        crew.kill(0)
        until(lambda: writes(crew.histories(), 2) > 20, crew)
        check(ensemble, crew.finish())
    assert crew.started == 3


def test_the_rate_is_not_exceeded(tmp_path: Path) -> None:
    with at_work(tmp_path, rate=2_000.0) as (ensemble, crew):
        until(lambda: writes(crew.histories(), 1) > 300, crew)
        histories = crew.finish()
        check(ensemble, histories)
    for history in histories:
        sent = column(history, "sent_ns")[column(history, "key") >= 0]
        load = sent[column(history, "cxid")[column(history, "key") >= 0] > 25]
        assert len(load) <= 1_000 * (load[-1] - load[0]) / 1e9 + 1_000 * 0.02 + 1


def test_a_client_in_trouble_is_named(tmp_path: Path) -> None:
    with at_work(tmp_path) as (ensemble, crew):
        ensemble.say(1)
        crew._clients[0].process._popen.kill()
        with pytest.raises(TargetError, match=r"load process 0 has ended \(ended by SIGKILL\)"):
            until(lambda: False, crew)
