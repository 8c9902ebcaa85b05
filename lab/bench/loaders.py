"""The load processes of a trial, as the harness sees them: started, told what to do, and ended whatever they do."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from lab.bench.far_load import start_load_process
from lab.bench.load_process import EXIT_TIMEOUT_S, LoadProcess, LookOut, close_all, readable
from lab.bench.loadspec import (
    Acknowledged,
    Answer,
    Await,
    Command,
    LoadSpec,
    Measure,
    Measured,
    Ready,
    Reported,
    Settle,
    Setup,
    Start,
    Stop,
)
from lab.bench.networks import with_patience_ms
from lab.bench.record import Settings
from lab.client.history import History
from lab.targets.target import Connector
from workloads import workload_of

OPEN_TIMEOUT_S = 30.0
SETUP_TIMEOUT_S = 300.0
DRAIN_S = 10.0
REPORT_TIMEOUT_S = 300.0  # after the drain: decoding takes some microseconds for each operation
ANSWER_TIMEOUT_S = 10.0
WINDOW_LEAD_NS = 5_000_000  # commands reach the processes well within it
OPEN_LOOP_OUTSTANDING_MAX = 100_000  # a system that falls further behind is overloaded: what is due waits at the client
READS_CHECKED_MAX = 1_000_000  # of all load processes together
PATIENCE_MS = 10_000.0

A = TypeVar("A", bound=Answer)


class Window(msgspec.Struct, frozen=True):
    """The measured interval of the monotonic clock; operations whose reply arrived within it belong to it."""

    start_ns: int
    end_ns: int
    cpu_s: float  # of all load processes together
    waited_s: float  # with nothing to do, of all together


class Ack(msgspec.Struct, frozen=True):
    """An acknowledged write; times are the monotonic clock's."""

    sent_ns: int
    at_ns: int  # when its reply was seen
    zxid: int
    epoch: int


class Loaders:
    """The load processes: one for each connector.  Every method has a deadline and raises TargetError.

    `start` and `setup`, then `warm` and `run`, or `begin` and `first_ack`, then `finish`; `close` at any time.  Call
    from the main thread: the processes die with the thread that started them.
    """

    def __init__(
        self,
        settings: Settings,
        params: msgspec.Struct,
        connectors: Sequence[Connector],
        folder: Path,
        seed: int,
        look_out: LookOut = str,
    ) -> None:
        """Takes over the connectors' descriptors.  `folder` gets the logs and the histories on their way.

        `look_out` is called while a method waits: load processes are patient with a server that has ended, and would
        have the harness wait for nothing.
        """
        self._settings, self._params = settings, params
        self._connectors, self._clients = list(connectors), len(connectors)  # those whose process has not started
        self._folder, self._seed, self._look_out = folder, seed, look_out
        self._processes: list[LoadProcess] = []
        self._is_started = False
        self.asked = self.asked_until_end = 0

    def start(self) -> None:
        """Start the processes and open their sessions."""
        for client in range(self._clients):
            connector = self._connectors.pop(0)
            self._processes.append(start_load_process(client, connector, self._folder, self._look_out))
            self._processes[-1].tell(self._spec(client, connector))
        self._hear(Ready, OPEN_TIMEOUT_S + ANSWER_TIMEOUT_S)

    def setup(self) -> None:
        """Make the workload's nodes, and let every session see them."""
        self._processes[0].tell(Setup())
        self._processes[0].hear(Ready, SETUP_TIMEOUT_S)
        self._tell(Settle())
        self._hear(Ready, SETUP_TIMEOUT_S)

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def warm(self, seconds: float) -> None:
        """The load, not measured.  It goes on until `finish`."""
        self.begin()
        self._watch(time.monotonic() + seconds)

    def run(self, seconds: float) -> Window:
        """The load, measured for so long; it goes on afterwards."""
        self.begin()
        start_ns = time.monotonic_ns() + WINDOW_LEAD_NS
        end_ns = start_ns + int(seconds * 1e9)
        self._tell(Measure(start_ns, end_ns))
        measured = self._hear(Measured, seconds + ANSWER_TIMEOUT_S)
        cpu_s = sum(each.cpu_ns for each in measured) / 1e9
        return Window(start_ns, end_ns, cpu_s, sum(each.waited_ns for each in measured) / 1e9)

    def begin(self) -> None:
        """Start sending, until `finish`; a second call does nothing."""
        if not self._is_started:
            self._is_started = True
            self._tell(Start(time.monotonic_ns() + WINDOW_LEAD_NS))
            self._hear(Ready, ANSWER_TIMEOUT_S)

    def first_ack(self, after_epoch: int, timeout_s: float) -> Ack:
        """The first client's first acknowledged write of the first epoch above `after_epoch` that has one.

        Only under a fault (`Settings.fault`): other loads do not look at their replies before the end.
        """
        assert self._settings.fault is not None, "replies are decoded at once only in a failover"
        process = self._processes[0]
        process.tell(Await(after_epoch))
        ack = process.hear(Acknowledged, timeout_s, f"no write of an epoch after {after_epoch} was acknowledged")
        return Ack(ack.sent_ns, ack.done_ns, ack.zxid, ack.epoch)

    def finish(self) -> list[History]:
        """Stop sending, wait for what is outstanding, and take over what every client did and saw."""
        self._tell(Stop(DRAIN_S))
        reported = self._hear(Reported, DRAIN_S + REPORT_TIMEOUT_S)
        self.asked = sum(each.asked for each in reported)
        self.asked_until_end = sum(each.asked_until_end for each in reported)
        histories = [process.collect() for process in self._processes]
        if len(histories) == 1:  # nobody else's times are held against its own
            histories[0].clock_doubt_ns = 0
        return histories

    def close(self) -> None:
        """End the processes, whatever they do; a second call does nothing."""
        for process in self._processes:
            process.ask_to_end()
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        for process in self._processes:
            process.end(deadline)
        for connector in self._connectors:
            close_all(connector.fds)
        self._processes, self._connectors = [], []

    def _spec(self, client: int, connector: Connector) -> LoadSpec:
        settings, clients = self._settings, self._clients
        eager = settings.fault is not None
        return LoadSpec(
            client=client,
            seed=self._seed,
            workload=workload_of(self._params).name,
            params=msgspec.to_builtins(self._params),
            connector=connector.text,
            outstanding=_outstanding(settings),
            rate=settings.rate,
            arrivals=settings.arrivals,
            clients=clients,
            pace=None,
            eager=eager,
            patience_ms=_patience_ms(settings),
            reads_checked_max=READS_CHECKED_MAX // clients,
            history=str(self._processes[client].history),
            journal=False,
            open_timeout_s=OPEN_TIMEOUT_S,
        )

    def _tell(self, command: Command) -> None:
        for process in self._processes:
            process.tell(command)

    def _hear(self, kind: type[A], timeout_s: float) -> list[A]:
        deadline = time.monotonic() + timeout_s
        return [process.hear(kind, max(0.0, deadline - time.monotonic())) for process in self._processes]

    def _watch(self, deadline: float) -> None:
        """Wait; a process that ends or breaks meanwhile raises."""
        channels = {process.channel.fileno(): process for process in self._processes}
        for fd in readable(channels, deadline, self._look_out):
            channels[fd].hear(Ready, 0.0)


def _outstanding(settings: Settings) -> int:
    """Operations in flight of one load process: so many, in an open loop at most."""
    if settings.fault is not None:
        return 1
    return settings.outstanding if settings.rate is None else OPEN_LOOP_OUTSTANDING_MAX


def _patience_ms(settings: Settings) -> float:
    """How long a server may owe an answer.

    In a failover half of what the servers allow each other, or up to all of it where writes are under way for long: the
    client is away from a frozen leader before its successor serves, so what is measured is the ensemble's patience and
    not the client's.
    """
    if settings.fault is None or (settings.target != "own" and settings.fault == "crash"):  # the connection ends
        return PATIENCE_MS
    limit_ms = float(settings.sync_limit_ticks * settings.tick_ms)
    return min(limit_ms, with_patience_ms(settings, limit_ms / 2))
