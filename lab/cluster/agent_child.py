"""One process that an agent started: its channels, what it is lent, and how it ends."""

import contextlib
import os
import select
import signal
from collections import deque
from pathlib import Path

import msgspec

from lab.cluster.agent_protocol import CHANNELS, Kind, Start
from lab.cluster.errors import ClusterError
from lab.cluster.host_key import HostKey
from lab.cluster.process import start_child
from lab.node.control import Configure, Welcome, decode_command, decode_welcome, encode_control
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.udp import bind_udp

STOP_TIMEOUT_S = 10.0
END_TIMEOUT_S = 10.0
WAITING_MAX = 10_000  # datagrams of some hundred bytes


class AgentChild:
    """Started when made; whoever made it closes it."""

    def __init__(self, asked: Start, log: Path, key: HostKey) -> None:
        """Raises ClusterError if the system starts no more processes, OSError for a socket that cannot be had."""
        self.process = asked.process
        self._kind, self._key = asked.kind, key
        pairs = [ControlSocket.pair() for _ in range(CHANNELS[asked.kind])]
        self.channels = [ours for ours, _ in pairs]
        theirs = [its_end for _, its_end in pairs]
        self.fds = [its_end.fileno() for its_end in theirs]
        self._hung_up: set[int] = set()
        self._waiting: list[deque[bytes]] = [deque() for _ in pairs]
        try:
            self._child = start_child(asked.command, self.fds[0], log, also=self.fds[1:])
        except BaseException:
            for ours in self.channels:
                ours.close()
            raise
        finally:
            for its_end in theirs:
                its_end.close()
        for channel in self.channels:
            channel.set_blocking(False)
        self.pid, self.life_fd = self._child.pid, self._child.pidfd
        self.port = 0

    def introduce(self, first: bytes) -> None:
        """Send its first record, with what only this host can lend: a bell, a UDP socket, the key."""
        if self._kind == "job":
            self.channels[0].send(first)
            return
        bell = Bell.create()
        with contextlib.ExitStack() as lent:  # the process has copies
            lent.callback(bell.close)
            fds = [bell.event_fd, bell.page_fd]
            if self._kind == "load":
                life, its_end = os.pipe()  # nobody links to it by shared memory: nobody watches this
                lent.callback(os.close, its_end)
                lent.callback(os.close, life)
                fds.append(its_end)
            if self._key.address:
                bound = lent.enter_context(bind_udp(self._key.address))
                self.port = bound.getsockname()[1]
                fds.append(bound.fileno())
            self.channels[-1].send(_keyed(first, self._kind, self._key.key), fds)

    def tell(self, channel: int, data: bytes) -> bool:
        """Send, now or as soon as there is room (`flush`); to a process that has ended nothing.

        False once it has read none of WAITING_MAX datagrams: it is stopped or stuck.
        """
        self._waiting[channel].append(data)
        self.flush(channel)
        return len(self._waiting[channel]) <= WAITING_MAX

    def flush(self, channel: int) -> bool:
        """Send what waits and finds room; False if something is left."""
        waiting = self._waiting[channel]
        while waiting and channel not in self._hung_up:
            if not _has_room(self.channels[channel]):
                return False
            try:
                self.channels[channel].send(waiting[0])
            except (BrokenPipeError, ConnectionResetError):
                break
            waiting.popleft()
        waiting.clear()
        return True

    def hear(self, channel: int) -> list[bytes]:
        """Whatever it has said."""
        said: list[bytes] = []
        while channel not in self._hung_up:
            try:
                received = self.channels[channel].receive()
            except BlockingIOError:
                break
            if received is None:
                self._hung_up.add(channel)
            else:
                said.append(received[0])
                for fd in received[1]:
                    os.close(fd)  # nobody of ours sends any
        return said

    def has_hung_up(self, channel: int) -> bool:
        return channel in self._hung_up

    def hang_up(self, channel: int) -> None:
        self._hung_up.add(channel)
        self.channels[channel].close()

    def strike(self, number: signal.Signals) -> None:
        """Send a signal; SIGSTOP, and return once it stands still.  Raises ClusterError if it does not."""
        if number == signal.SIGSTOP:
            self._child.stop(STOP_TIMEOUT_S)
        else:
            self._child.send_signal(number)

    def how_it_ended(self) -> str:
        """It has ended: reap it."""
        self._child.wait(END_TIMEOUT_S)
        return self._child.last_words()

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self._child.close()


def _keyed(first: bytes, kind: Kind, key: bytes) -> bytes:
    """The first record with the key of this host in it, which did not come from the coordinator."""
    if kind == "server":
        command = decode_command(first)
        assert isinstance(command, Configure), command
        return encode_control(Configure(msgspec.structs.replace(command.config, udp_key=key)))
    welcome = decode_welcome(first)
    assert isinstance(welcome, Welcome), welcome
    if welcome.datagrams is None:
        raise ClusterError("a client whose links carry no datagrams cannot reach another host")
    datagrams = msgspec.structs.replace(welcome.datagrams, udp_key=key)
    return encode_control(msgspec.structs.replace(welcome, datagrams=datagrams))


def _has_room(channel: ControlSocket) -> bool:
    writable = select.poll()
    writable.register(channel.fileno(), select.POLLOUT)
    return bool(writable.poll(0))
