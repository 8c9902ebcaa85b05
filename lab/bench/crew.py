"""The clients of a torture: load processes that are killed and replaced while the load goes on.

Each keeps a journal of what it sends and gets (`lab.bench.journal`), so a killed one's acknowledged writes are held
against the replicas like everybody's, and what it was still waiting for is unknown.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from lab.bench.journal import read_slices
from lab.bench.load_process import EXIT_TIMEOUT_S, LoadProcess, LookOut, readable
from lab.bench.loadspec import LoadSpec, Ready, Reported, Settle, Setup, Start, Stop
from lab.bench.record import Settings
from lab.client.history import History
from lab.targets.opening import decoder_of
from lab.targets.target import Connector
from workloads import Generator, workload_of

SESSIONS = 2  # of each client, to servers next to each other: all of them share all servers evenly
OPEN_TIMEOUT_S = 180.0  # a replacement may find its server frozen, cut off or gone, one after the other
STEP_TIMEOUT_S = 180.0
DRAIN_S = 20.0
PATIENCE_MS = 1_000.0  # for a server that owes an answer; past it the session moves, and what it asked is unknown
READS_CHECKED_MAX = 1_000_000  # of all clients together

MakeConnector = Callable[[int, list[int]], Connector]  # number of the client, servers to begin at


class _Client:
    """The load process in one place; `is_working` once it was told to start."""

    def __init__(self, process: LoadProcess) -> None:
        self.process = process
        self.is_attached = self.is_working = False


class Crew:
    """`start`, then `tend` and `kill` at will, then `finish`; `close` at any time.  Call from the main thread."""

    def __init__(
        self,
        settings: Settings,
        params: msgspec.Struct,
        servers: Sequence[int],
        connect: MakeConnector,
        folder: Path,
        look_out: LookOut,
        patience_ms: float = PATIENCE_MS,
    ) -> None:
        """`connect` is asked for each new client.  `folder` gets logs and journals."""
        self._patience_ms = patience_ms
        self._settings, self._params, self._servers = settings, params, list(servers)
        self._connect, self._folder, self._look_out = connect, folder, look_out
        self._clients: list[_Client] = []
        self._journals: list[Path] = []

    @property
    def started(self) -> int:
        """How many clients there were so far; they are numbered from 0."""
        return len(self._journals)

    def start(self) -> None:
        """Start the clients, make the workload's nodes, let every session see them, and begin the load."""
        for place in range(self._settings.clients):
            self._clients.append(self._new_client(place))
        processes = [client.process for client in self._clients]
        _hear_all(processes, OPEN_TIMEOUT_S)
        processes[0].tell(Setup())
        _hear_all(processes[:1], STEP_TIMEOUT_S)
        for command in (Settle(), Start()):
            for process in processes:
                process.tell(command)
            _hear_all(processes, STEP_TIMEOUT_S)
        for client in self._clients:
            client.is_attached = client.is_working = True

    def kill(self, place: int) -> None:
        """SIGKILL the client in this place and start another one, which begins to work once its sessions are there."""
        self._clients[place].process.kill()
        self._clients[place] = self._new_client(place)

    def tend(self) -> None:
        """Let replacements whose sessions have come begin; returns at once.  Raises TargetError if one is broken."""
        channels = {client.process.channel.fileno(): client for client in self._clients}
        for fd in readable(channels, time.monotonic(), self._look_out):
            self._advance(channels[fd])

    def finish(self) -> list[History]:
        """As `stop`; then what every client did and saw, the killed ones too."""
        self.stop()
        return self.histories()

    def stop(self) -> None:
        """Stop sending, and wait for what is outstanding."""
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        for client in self._clients:
            while not client.is_working:
                client.process.hear(Ready, deadline - time.monotonic())
                self._on_ready(client)
        for client in self._clients:
            client.process.tell(Stop(DRAIN_S))
        for client in self._clients:
            client.process.hear(Reported, DRAIN_S + STEP_TIMEOUT_S)

    def histories(self) -> list[History]:
        """What the journals say; a client that still works goes on meanwhile."""
        return list(self.slices(None))

    def slices(self, operations_min: int | None) -> Iterator[History]:
        """As `histories`, a client's after the other's, in slices (`lab.bench.journal.read_slices`)."""
        workload, decode = workload_of(self._params), decoder_of(self._settings.target)

        def generator_of(client: int) -> Generator:
            return workload.generator(self._params, self._settings.seed, client)

        for path in self._journals:
            yield from read_slices(path, decode, generator_of, operations_min)

    def pids(self) -> dict[int, int]:
        """Of the load process in each place."""
        return {place: client.process.pid for place, client in enumerate(self._clients)}

    def close(self) -> None:
        """End the processes, whatever they do; a second call does nothing."""
        for client in self._clients:
            client.process.ask_to_end()
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        for client in self._clients:
            client.process.end(deadline)
        for journal in self._journals:
            journal.unlink(missing_ok=True)
        self._clients = []

    def _advance(self, client: _Client) -> None:
        client.process.hear(Ready, 0.0)
        self._on_ready(client)

    def _on_ready(self, client: _Client) -> None:
        """The first Ready says that the sessions are attached, the second that the load has begun."""
        if client.is_attached:
            client.is_working = True
        else:
            client.is_attached = True
            client.process.tell(Start())

    def _new_client(self, place: int) -> _Client:
        number, servers = self.started, len(self._servers)
        chosen = [self._servers[(place + i) % servers] for i in range(min(SESSIONS, servers))]
        connector = self._connect(number, chosen)
        process = LoadProcess(number, connector, self._folder, self._look_out)
        self._journals.append(process.history)
        process.tell(self._spec(number, connector, process.history))
        return _Client(process)

    def _spec(self, number: int, connector: Connector, journal: Path) -> LoadSpec:
        settings = self._settings
        return LoadSpec(
            client=number,
            seed=settings.seed,
            workload=workload_of(self._params).name,
            params=msgspec.to_builtins(self._params),
            connector=connector.text,
            outstanding=settings.outstanding,
            rate=None,
            arrivals=settings.arrivals,
            clients=settings.clients,
            pace=None if settings.rate is None else settings.rate / settings.clients,
            eager=False,
            patience_ms=self._patience_ms,
            reads_checked_max=READS_CHECKED_MAX // settings.clients,
            history=str(journal),
            journal=True,
            open_timeout_s=OPEN_TIMEOUT_S,
        )


def _hear_all(processes: Sequence[LoadProcess], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for process in processes:
        process.hear(Ready, max(0.0, deadline - time.monotonic()))
