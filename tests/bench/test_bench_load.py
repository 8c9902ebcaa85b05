"""Load processes, driven as a trial drives them, against servers that answer at once over real shared memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fake_ensemble import FakeEnsemble

from lab.bench.loaders import Loaders
from lab.bench.loadspec import Acknowledged, Measure, decode_answer, decode_command, encode
from lab.bench.record import Settings
from lab.bench.tally import column, completed, outcomes
from lab.client.history import History, Kind, Outcome
from lab.service.requests import ErrorCode, Failed, SetData
from lab.targets.target import TargetError
from workloads import workload_of
from workloads.kinds.read_mix import ReadMix

pytestmark = pytest.mark.process


@pytest.fixture
def ensemble() -> Iterator[FakeEnsemble]:
    with FakeEnsemble() as servers:
        yield servers


@contextmanager
def loading(
    ensemble: FakeEnsemble,
    folder: Path,
    servers: tuple[int, ...] = (1,),
    look_out: Callable[[], object] = str,
    **settings: Any,
) -> Iterator[Loaders]:
    """Load processes with sessions to these servers, set up."""
    given = Settings(keys=20, **settings)
    fields = ("reads", "value_bytes", "keys", "distribution")
    params = ReadMix(**{field: getattr(given, field) for field in fields})
    connectors = [ensemble.connector(client, servers) for client in range(given.clients)]
    load = Loaders(given, params, connectors, folder, given.seed, look_out)
    try:
        load.start()
        load.setup()
        yield load
    finally:
        load.close()


def check(ensemble: FakeEnsemble, histories: list[History], **params: Any) -> None:
    checked = ReadMix(keys=20, **params)
    verdict = workload_of(checked).check(histories, ensemble.replicas(), seed=1, params=checked)
    assert verdict.ok, verdict.findings
    assert verdict.writes > 20


def rows(history: History, **wanted: int) -> np.ndarray:
    chosen = np.ones(len(history), bool)
    for name, value in wanted.items():
        chosen &= column(history, name) == value
    return np.flatnonzero(chosen)


def test_what_a_closed_loop_did_is_recorded_and_verifies(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, outstanding=32, reads=0.5) as load:
        load.warm(0.05)
        window = load.run(0.1)
        histories = load.finish()
    check(ensemble, histories, reads=0.5)
    done = completed(histories, window.start_ns, window.end_ns)
    assert all(len(done[kind][0]) > 50 and done[kind][0].min() > 0 for kind in Kind)
    assert 0 < window.cpu_s <= 0.11
    assert 0 < window.waited_s <= 0.11
    assert outcomes(histories, Outcome.UNKNOWN, 0, 1 << 62) == 0
    assert len(ensemble.replicas()[0].nodes) == 21, "the keys and their parent"
    assert list(tmp_path.glob("history*")) == [], "histories were taken over"


def test_the_number_outstanding_is_kept_and_never_exceeded(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    sizes: set[int] = set()
    ensemble_turn = ensemble._on_frame

    def on_frame(link: Any, frame: bytes) -> None:
        before = len(ensemble.log)
        ensemble_turn(link, frame)
        sizes.add(len(ensemble.log) - before)

    with loading(ensemble, tmp_path, outstanding=7) as load:
        ensemble._on_frame = on_frame
        load.warm(0.05)
        (history,) = load.finish()
    assert max(sizes) == 7
    sent, done = column(history, "sent_ns"), np.sort(column(history, "done_ns"))
    answered = np.searchsorted(done, sent, "right")  # replies that had come when each operation was sent
    in_flight = np.arange(1, len(sent) + 1) - answered
    assert in_flight[21:].max() <= 7


@pytest.mark.parametrize("outstanding", [1, 2, 31])
def test_sessions_to_all_servers_share_the_load_evenly(
    ensemble: FakeEnsemble, tmp_path: Path, outstanding: int
) -> None:
    with loading(ensemble, tmp_path, servers=(1, 2, 3), outstanding=outstanding) as load:
        load.warm(0.1)
        (history,) = load.finish()
    check(ensemble, [history])
    shares = np.bincount(column(history, "session")[21:], minlength=3) / (len(history) - 21)
    assert len(history.sessions) == len(set(history.sessions)) == 3
    assert shares == pytest.approx([1 / 3] * 3, abs=0.15)


def test_several_clients_make_one_set_of_keys_and_are_judged_together(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, clients=2, outstanding=8, reads=0.3) as load:
        load.run(0.1)
        histories = load.finish()
    check(ensemble, histories, reads=0.3)
    assert [history.client for history in histories] == [0, 1]
    assert [len(rows(history, version=0, kind=Kind.WRITE)) for history in histories] == [21, 0]


def test_reads_beyond_the_limit_are_sampled_counted_and_timed(
    ensemble: FakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.bench.loaders.READS_CHECKED_MAX", 200)
    for reads in (0.5, 1.0):
        ensemble.nodes.clear()
        with loading(ensemble, tmp_path, outstanding=16, reads=reads) as load:
            load.warm(0.15)
            (history,) = load.finish()
        everything = rows(history, kind=Kind.READ, outcome=Outcome.ACKNOWLEDGED)
        unchecked = rows(history, kind=Kind.READ, intact=-1)
        assert 200 <= len(everything) - len(unchecked) < len(everything)
        assert (column(history, "done_ns")[unchecked] > column(history, "sent_ns")[unchecked]).all()
        assert (column(history, "zxid")[rows(history, kind=Kind.WRITE)] > 0).all(), "no write is sampled out"


def test_an_open_loop_sends_at_its_rate_and_times_from_the_schedule(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, rate=2000.0, clients=2) as load:
        window = load.run(0.3)
        histories = load.finish()
    check(ensemble, histories)
    intended = np.sort(np.concatenate([column(history, "sent_ns") for history in histories]))
    within = intended[(intended >= window.start_ns) & (intended < window.end_ns)]
    assert np.diff(within) == pytest.approx(500_000, abs=1), "the clients take turns"
    assert load.asked == len(within) == pytest.approx(600, abs=1)
    for history in histories:
        assert (column(history, "actual_ns") >= column(history, "sent_ns")).all()
        assert not column(history, "held_ns").any()


def test_an_open_loop_that_was_held_up_counts_the_waiting_as_latency(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, rate=500.0) as load:
        load.begin()
        pid = load._processes[0]._popen.pid
        os.kill(pid, signal.SIGSTOP)
        load.warm(0.1)
        os.kill(pid, signal.SIGCONT)
        load.warm(0.05)
        (history,) = load.finish()
    latencies = (column(history, "done_ns") - column(history, "sent_ns"))[22:]
    assert latencies.max() > 50_000_000
    lag = (column(history, "actual_ns") - column(history, "sent_ns"))[22:]
    assert lag.max() > 50_000_000, "it was the generator"
    check(ensemble, [history])


@pytest.mark.parametrize("limit", [100_000, 10])
def test_a_server_that_stalls_lets_every_operation_wait_that_was_meant_to_be_sent_meanwhile(
    ensemble: FakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """However few are in flight: latency counts from the intended time, so none of the waiting is omitted."""
    monkeypatch.setattr("lab.bench.loaders.OPEN_LOOP_OUTSTANDING_MAX", limit)
    with loading(ensemble, tmp_path, rate=1000.0) as load:
        load.warm(0.05)
        frozen_ns = time.monotonic_ns()
        ensemble.freeze(1)
        load.warm(0.2)
        thawed_ns = time.monotonic_ns()
        ensemble.thaw(1)
        load.warm(0.1)
        (history,) = load.finish()
    check(ensemble, [history])
    sent, actual, held, done = (column(history, name) for name in ("sent_ns", "actual_ns", "held_ns", "done_ns"))
    stalled = (sent > frozen_ns) & (sent < thawed_ns)
    assert np.count_nonzero(stalled) >= 199
    assert (done[stalled] - sent[stalled] >= thawed_ns - sent[stalled]).all()
    assert np.count_nonzero(held > sent) >= (180 if limit == 10 else 0)
    if limit == 10:
        in_flight = [np.count_nonzero((actual <= at) & (done > at)) for at in actual[22:]]
        assert max(in_flight) <= 10
        assert (held <= actual).all()
    else:
        assert not held.any()


@pytest.mark.parametrize("arrivals", ["poisson", "burst:size=20", "ramp"])
def test_what_an_open_loop_asked_of_its_window_is_told(ensemble: FakeEnsemble, tmp_path: Path, arrivals: str) -> None:
    with loading(ensemble, tmp_path, rate=3000.0, clients=2, arrivals=arrivals) as load:
        load.warm(0.05)
        window = load.run(0.3)
        load.warm(0.05)
        histories = load.finish()
    check(ensemble, histories)
    intended = np.concatenate([column(history, "sent_ns") for history in histories])
    assert load.asked == np.count_nonzero((intended >= window.start_ns) & (intended < window.end_ns))
    assert load.asked_until_end == np.count_nonzero(intended < window.end_ns)
    assert load.asked == pytest.approx(900, rel=0.15)


def test_a_server_that_dies_leaves_unknown_writes_and_the_load_goes_on(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, outstanding=16) as load:
        load.warm(0.05)
        ensemble.freeze(1)
        (link,) = ensemble._of(1)
        ensemble.wait_for(link.channel.has_input, "operations are under way")
        ensemble.kill(1)
        load.warm(0.05)
        (history,) = load.finish()
    unknown = rows(history, outcome=Outcome.UNKNOWN)
    assert 0 < len(unknown) <= 16
    assert (column(history, "done_ns")[unknown] == 0).all()
    assert column(history, "outcome")[-1] == Outcome.ACKNOWLEDGED
    assert [server for server, _ in ensemble.connects] == [1, 2]


def test_failed_writes_are_definite(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, outstanding=4) as load:

        def fail_some(server: int, request: Any) -> Failed | None:
            if isinstance(request, SetData) and request.cxid % 5 == 0:
                ensemble.zxid += 1
                return Failed(request.cxid, ensemble.zxid, ErrorCode.BAD_VERSION)
            return None

        ensemble.on_request = fail_some
        load.warm(0.05)
        (history,) = load.finish()
    check(ensemble, [history])
    failed = rows(history, outcome=Outcome.FAILED)
    assert len(failed)
    assert (column(history, "cxid")[failed] % 5 == 0).all()


def test_the_first_write_of_a_new_epoch_is_reported(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, fault="crash", outstanding=64) as load:
        load.begin()
        first = load.first_ack(0, 10.0)
        ensemble.new_epoch()
        second = load.first_ack(1, 10.0)
        ensemble.new_epoch()
        third = load.first_ack(second.epoch, 10.0)
        assert load.first_ack(0, 10.0) == first, "it is remembered"
        (history,) = load.finish()
    assert [first.epoch, second.epoch, third.epoch] == [1, 2, 3]
    assert second.sent_ns < second.at_ns < third.sent_ns
    (row,) = rows(history, zxid=second.zxid)
    assert column(history, "done_ns")[row] == second.at_ns
    assert column(history, "sent_ns")[row] == second.sent_ns
    check(ensemble, [history])


def test_an_epoch_that_does_not_come_is_an_error_at_the_deadline(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path, fault="crash") as load:
        load.begin()
        with pytest.raises(TargetError, match=r"no write of an epoch after 1 was acknowledged within 0\.05 s"):
            load.first_ack(1, 0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda load: os.kill(load._processes[0]._popen.pid, signal.SIGKILL), r"has ended \(ended by SIGKILL\)"),
        (lambda load: load._processes[0].channel.send(b"nonsense"), r"has ended \(exit status 1\): .*Error"),
    ],
)
def test_a_load_process_that_ends_is_reported_at_once(
    ensemble: FakeEnsemble, tmp_path: Path, wrong: Callable[[Loaders], None], message: str
) -> None:
    with loading(ensemble, tmp_path) as load:
        load.begin()
        wrong(load)
        with pytest.raises(TargetError, match=message):
            load.run(60.0)


@pytest.mark.parametrize("waits", [lambda load: load.warm(60.0), lambda load: load.run(60.0)], ids=["warm", "run"])
def test_whoever_waits_hears_of_a_server_that_ended(
    ensemble: FakeEnsemble, tmp_path: Path, waits: Callable[[Loaders], object]
) -> None:
    ended: list[str] = []

    def look_out() -> None:
        if ended:
            raise TargetError(ended.pop())

    with loading(ensemble, tmp_path, look_out=look_out) as load:
        load.begin()
        ended.append("server 2 ended")
        with pytest.raises(TargetError, match="server 2 ended"):
            waits(load)


def test_a_set_up_that_fails_says_what_failed(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path):
        pass
    again = pytest.raises(TargetError, match=r"load process 0: client 0, setup: request 1 failed: NODE_EXISTS")
    with again, loading(ensemble, tmp_path):
        pass


def test_a_server_that_takes_no_session_is_named(
    ensemble: FakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.bench.loaders.OPEN_TIMEOUT_S", 0.1)
    ensemble.refusing = {2}
    refused = pytest.raises(TargetError, match=r"server 2 has not accepted a session within 0\.1 s: .*does not serve")
    with refused, loading(ensemble, tmp_path, servers=(2,)):
        pass


def test_a_process_that_still_opens_its_sessions_ends_with_its_channel(
    ensemble: FakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by being killed at a deadline: it hears of it."""
    monkeypatch.setattr("lab.bench.loaders.EXIT_TIMEOUT_S", 60.0)
    ensemble.refusing = {2}

    def look_out() -> None:
        if ensemble.connects:
            raise TargetError("server 2 ended")

    with pytest.raises(TargetError, match="server 2 ended"), loading(ensemble, tmp_path, (2,), look_out):
        pass
    assert "told to end before every session was attached" in (tmp_path / "load-0.log").read_text()


def test_a_disk_that_is_too_full_for_the_history_is_named(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path) as load:
        load.begin()
        (tmp_path / "history-0.unfinished").symlink_to("/dev/full")
        with pytest.raises(TargetError, match="history-0: No space left on device: free space there or choose another"):
            load.finish()


def test_the_end_of_the_supervisor_ends_the_load(ensemble: FakeEnsemble, tmp_path: Path) -> None:
    with loading(ensemble, tmp_path) as load:
        load.begin()
        ensemble._clients[0].control._socket.shutdown(2)
        with pytest.raises(TargetError, match="supervisor is gone"):
            load.run(60.0)


def test_closing_ends_processes_and_descriptors_even_of_those_not_started(
    ensemble: FakeEnsemble, tmp_path: Path
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    connectors = [ensemble.connector(0, [1])]
    its_fds = set(os.listdir("/proc/self/fd")) - before
    load = Loaders(Settings(), ReadMix(), connectors, tmp_path, 1)
    load.close()
    load.close()
    assert not os.path.exists(f"/proc/self/fd/{connectors[0].fds[0]}")
    assert its_fds


def test_a_stopped_load_process_is_ended_all_the_same(
    ensemble: FakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.bench.loaders.EXIT_TIMEOUT_S", 0.05)
    with loading(ensemble, tmp_path) as load:
        pid = load._processes[0]._popen.pid
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_load_processes_import_nothing_heavy() -> None:
    code = (
        "import sys, lab.bench.load, lab.targets.own_sessions, workloads.kinds.read_mix;"
        "sys.exit(sorted({'numpy', 'scipy', 'matplotlib', 'rich', 'click', 'psutil', 'pyperf', 'hdrh', 'lab.cluster'}"
        " & set(sys.modules)).__repr__().strip('[]'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_spec_and_answers_survive_the_wire() -> None:
    for record, decode in ((Measure(1, 2), decode_command), (Acknowledged(1, 2, 3, 4), decode_answer)):
        assert decode(encode(record)) == record
    with pytest.raises(msgspec.MsgspecError):
        decode_command(b"\x91\x63")
