"""The life of one server process: from the control socket's first record to its end."""

import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

from lab.node.allocator import keep_freed_memory, stop_collecting
from lab.node.config import Durability, NodeConfig
from lab.node.control import Configure
from lab.node.errors import NodeError
from lab.node.linking import open_links
from lab.node.marking import Marks, Parts, parts
from lab.node.node import Node, decode
from lab.node.snapshot_writer import ForkedWriter
from lab.service.errors import UnreadableError
from lab.storage.errors import StorageError
from lab.storage.memory import MemoryStore
from lab.storage.store import FileStore
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.waiter import Waiter
from lab.zab.errors import ConfigError, EpochsUsedUpError

Serve = Callable[[NodeConfig, ControlSocket, Bell, socket.socket | None], None]


def main(arguments: list[str], serve: Serve | None = None) -> int:
    """Run one server; returns the exit status.  Whatever ends it but EOF is one last line on stderr.

    `serve`: what to do once it is configured, if it is not to be a server of an ensemble; it takes over the socket.
    """
    name = "lab.node"
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the harness's to handle
        control = _adopt(arguments)
        try:
            configured = _configure(control)
            if configured is not None:
                config, bell, bound = configured
                name = f"lab.node {config.me}"
                try:
                    (serve or serve_ensemble)(config, control, bell, bound)
                finally:
                    bell.close()
        finally:
            control.close()
    except (NodeError, StorageError, ConfigError, EpochsUsedUpError, UnreadableError, OSError) as error:
        return _end(name, str(error))
    except Exception as error:  # noqa: BLE001 - a bug: its place for the developer, then the line for everybody
        import traceback

        traceback.print_exc()
        return _end(name, f"{type(error).__name__}: {error}")
    return 0


def _end(name: str, reason: str) -> int:
    _say(name, reason)
    return 1


def _say(name: str, text: str) -> None:
    line = " ".join(text.split())
    print(f"{name}: {line}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the run folder's log


def _adopt(arguments: list[str]) -> ControlSocket:
    if len(arguments) != 1 or not arguments[0].isdecimal():
        raise NodeError(f"arguments {arguments}: one is expected, the descriptor of the control socket")
    try:
        return ControlSocket.adopt(int(arguments[0]))
    except OSError as error:
        raise NodeError(f"descriptor {arguments[0]} is not a control socket: {error.strerror}") from error


def _configure(control: ControlSocket) -> tuple[NodeConfig, Bell, socket.socket | None] | None:
    """The first record and this process's own bell and UDP socket, if it has one.

    None if the supervisor is gone before it said anything.
    """
    try:
        received = control.receive()
    except ValueError as error:
        raise NodeError(str(error)) from error
    if received is None:
        return None
    command, fds = decode(*received)
    if not isinstance(command, Configure):
        for fd in fds:
            os.close(fd)
        raise NodeError(f"{type(command).__name__}: the first record has to be Configure")
    try:
        bell = Bell.adopt(*fds[:2])
    except (OSError, ValueError) as error:
        raise NodeError(f"Configure: no bell behind its descriptors: {error}") from error
    try:
        return command.config, bell, socket.socket(fileno=fds[2]) if len(fds) > 2 else None
    except OSError as error:
        raise NodeError(f"Configure: no socket behind its third descriptor: {error.strerror}") from error


def place(config: NodeConfig) -> None:
    if config.cpus:
        os.sched_setaffinity(0, config.cpus)


def serve_ensemble(config: NodeConfig, control: ControlSocket, bell: Bell, bound: socket.socket | None) -> None:
    place(config)
    keep_freed_memory()
    rng = random.Random(f"{config.seed}/{config.me}/{config.incarnation}")  # a restart does not repeat its back-offs
    waiter, links = open_links(config, bell, bound)
    marks = Marks(config.marks_max, config.marks_every) if config.marks_max else None
    made_of = parts(marks)
    store = _open_store(config, waiter, made_of)
    links = made_of.links(links)
    try:
        recovered = store.recover(initialize=config.initialize) if isinstance(store, MemoryStore) else store.recover()
        server = made_of.server(config.me, config.zab, recovered, rng)
        stop_collecting()
        Node(config, control, server, store, links, waiter, marks).run()
    finally:
        links.close()
        store.close()
        waiter.close()


def _open_store(config: NodeConfig, waiter: Waiter, made_of: Parts) -> FileStore | MemoryStore:
    if config.durability is Durability.MEMORY:
        return made_of.memory_store()
    fsync = config.durability is Durability.FSYNC

    def report(line: str) -> None:
        _say(f"lab.node {config.me}", line)

    return made_of.file_store(
        config.data_dir,
        fsync=fsync,
        segment_bytes=config.log_segment_bytes,
        snap_retain_count=config.snap_retain_count,
        incarnation=config.incarnation,
        start_writer=partial(ForkedWriter, waiter, report),
        report=report,
    )
