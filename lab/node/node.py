"""One server at work: the loop, and what the supervisor commands in between."""

import os
import time
from collections.abc import Sequence
from typing import Protocol, assert_never

from lab.node.clock import MonotonicClock
from lab.node.config import Durability, NodeConfig, Transport
from lab.node.control import (
    Attach,
    Command,
    Configure,
    Detach,
    GetStatus,
    Inspect,
    Inspected,
    Reshape,
    Status,
    TakeMarks,
    TakeSnapshot,
    Transition,
    decode_command,
    encode_control,
)
from lab.node.errors import NodeError
from lab.node.inspect import ReadableStore, write_state
from lab.node.links import NodeLinks
from lab.node.marking import Marks, write_marks
from lab.node.snapshots import ForkedSnapshots
from lab.service.host import Host, Store
from lab.service.server import Server
from lab.transport.control import ControlSocket
from lab.transport.waiter import Waiter
from lab.zab.effects import Entered, FirstCommit
from lab.zab.messages import MalformedError

LOOK_EVERY_TURNS = 8  # a busy server looks at its descriptors this often: 1 us of system call


class NodeStore(Store, ReadableStore, Protocol):
    """What a server process needs of its store."""


class Node:
    """Server, store and links of one process; `run` returns when the supervisor is gone."""

    def __init__(
        self,
        config: NodeConfig,
        control: ControlSocket,
        server: Server,
        store: NodeStore,
        links: NodeLinks,
        waiter: Waiter,
        marks: Marks | None = None,
    ) -> None:
        """Everything given stays the caller's."""
        self._config = config
        self._control = control
        self._server = server
        self._store = store
        self._links = links
        self._waiter = waiter
        self._marks = marks
        self._running = True

    def run(self) -> None:
        """Serve until EOF on the control socket.  Raises NodeError for a command that makes no sense."""
        clock = MonotonicClock()
        snapshots = ForkedSnapshots(self._waiter)
        host = Host(
            self._server,
            self._store,
            self._links,
            clock,
            snapshots,
            tick_ms=self._config.tick_ms,
            observe=self._observe,
        )
        try:
            self._loop(host, clock, snapshots)
        finally:
            snapshots.close_all()

    def _loop(self, host: Host, clock: MonotonicClock, snapshots: ForkedSnapshots) -> None:
        control_fd, waiter, links = self._control.fileno(), self._waiter, self._links
        self._control.set_blocking(False)
        waiter.add(control_fd)
        host.start()
        turns = 0
        while self._running:
            host.turn()
            turns += 1
            more = self._server.has_work or links.has_input() or snapshots.has_input()
            if more and turns % LOOK_EVERY_TURNS:
                continue
            ready = waiter.wait(0.0 if more else host.deadline_ms() - clock.now_ms(), links.has_input)
            for fd in ready:
                if fd != control_fd and not snapshots.on_ready(fd):
                    links.on_ready(fd)
            if control_fd in ready:
                self._obey()

    def _observe(self, observed: Entered | FirstCommit) -> None:
        """Tell the supervisor, with the time of now."""
        at_ns, peer = time.monotonic_ns(), self._server.peer
        match observed:
            case Entered(state, phase, epoch, leader):
                self._answer(Transition(at_ns, "entered", state, phase, epoch, leader))
            case FirstCommit(epoch, _):
                self._answer(Transition(at_ns, "first_commit", peer.state, peer.phase, epoch, peer.leader))
            case _:
                assert_never(observed)

    def _obey(self) -> None:
        """Carry out every command that has arrived."""
        while self._running:
            try:
                received = self._control.receive()
            except BlockingIOError:
                return
            except ValueError as error:
                raise NodeError(str(error)) from error
            if received is None:
                self._running = False
                return
            command, fds = decode(*received)
            self._carry_out(command, fds)

    def _carry_out(self, command: Command, fds: Sequence[int]) -> None:
        match command:
            case Attach():
                self._links.attach(command, fds)
            case Detach():
                self._links.detach(command)
            case Reshape():
                self._links.reshape(command)
            case GetStatus(number):
                self._answer(self._status(number))
            case Inspect(number, path, unknown):
                has_log = self._config.durability is not Durability.MEMORY
                write_state(path, self._config.me, self._server, self._store, unknown, has_log=has_log)
                self._answer(Inspected(number))
            case TakeMarks(number, path):
                if self._marks is None:
                    raise NodeError("TakeMarks: this server was not configured to mark")
                write_marks(path, self._config.me, self._marks)
                self._answer(Inspected(number))
            case TakeSnapshot(number):
                self._server.peer.ask_snapshot()
                self._answer(Inspected(number))
            case Configure():
                raise NodeError("Configure: this server is configured already")
            case _:
                assert_never(command)

    def _status(self, number: int) -> Status:
        server, links = self._server, self._links
        peer = server.peer
        return Status(
            number=number,
            at_ns=time.monotonic_ns(),
            state=peer.state,
            phase=peer.phase,
            leader=peer.leader,
            last_zxid=peer.last_zxid,
            applied_zxid=server.applied_zxid,
            bytes_sent=links.bytes_sent,
            frames_sent=links.frames_sent,
            txns_committed=server.txns_committed,
            cpu_ns=time.process_time_ns() + _children_cpu_ns(),
            network=links.network(),
        )

    def _answer(self, answer: Status | Inspected | Transition) -> None:
        try:
            self._control.send(encode_control(answer))
        except (BrokenPipeError, ConnectionResetError):
            self._running = False  # the supervisor is gone; EOF says so, too


def _children_cpu_ns() -> int:
    """Of those that have ended: what they did for this server is not for nothing."""
    used = os.times()
    return int((used.children_user + used.children_system) * 1e9)


def _descriptors_of(command: Command) -> tuple[int, ...]:
    match command:
        case Configure(config):
            return (3,) if config.transport is Transport.UDP else (2,)
        case Attach(address=None):
            return (4,)
        case Attach():
            return (0, 1)
        case _:
            return (0,)


def decode(data: bytes, fds: list[int]) -> tuple[Command, list[int]]:
    """A command and its descriptors, which the caller owns.  Raises NodeError; then they are closed."""
    try:
        command = decode_command(data)
        expected = _descriptors_of(command)
        if len(fds) not in expected:
            takes = " or ".join(map(str, expected))
            raise NodeError(f"{type(command).__name__} came with {len(fds)} descriptors, it takes {takes}")
    except (*MalformedError, NodeError) as error:
        for fd in fds:
            os.close(fd)
        if isinstance(error, NodeError):
            raise
        raise NodeError(f"control datagram of {len(data)} bytes: {error}") from error
    return command, fds
