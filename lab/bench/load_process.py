"""One load process and the channel to it: started, told, heard, ended."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import lab
from lab.bench.handover import read_history
from lab.bench.loadspec import DATAGRAM_BYTES_MAX, Answer, Broken, Command, LoadSpec, decode_answer, encode
from lab.client.history import History
from lab.targets.target import Connector, TargetError

EXIT_TIMEOUT_S = 5.0
LOG_TAIL_BYTES = 4096
LOOK_OUT_EVERY_S = 0.1  # some 10 us each

A = TypeVar("A", bound=Answer)
LookOut = Callable[[], object]  # raises if there is no point in waiting on


class LoadProcess:
    """Its output goes to a log in `folder`, and so does its history."""

    def __init__(self, client: int, connector: Connector, folder: Path, look_out: LookOut) -> None:
        self._look_out = look_out
        self._name = f"load process {client}"
        self._log = folder / f"load-{client}.log"
        self.history = folder / f"history-{client}"
        self.channel, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(lab.__file__).resolve().parents[1])  # it runs the same code wherever it starts
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        try:
            with self._log.open("ab") as output:
                self._popen = subprocess.Popen(
                    [sys.executable, "-m", "lab.bench.load", str(its_end.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(its_end.fileno(), *connector.fds),
                    env={**os.environ, "PYTHONPATH": path},
                    process_group=0,  # a Ctrl-C at the terminal is the harness's to handle
                )
        except OSError as error:
            self.channel.close()
            raise TargetError(f"{self._name} cannot be started (log {self._log}): {error.strerror}") from error
        finally:
            its_end.close()
            close_all(connector.fds)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def tell(self, record: Command | LoadSpec) -> None:
        try:
            self.channel.send(encode(record))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error

    def hear(self, kind: type[A], timeout_s: float, otherwise: str = "") -> A:
        """The next answer, which must be of this kind."""
        if not readable([self.channel.fileno()], time.monotonic() + timeout_s, self._look_out):
            raise TargetError(f"{self._name}: {otherwise or f'no {kind.__name__}'} within {timeout_s:g} s")
        try:
            data = self.channel.recv(DATAGRAM_BYTES_MAX)
        except ConnectionResetError:
            data = b""
        if not data:
            raise self._gone()
        answer = decode_answer(data)
        if isinstance(answer, Broken):
            raise TargetError(f"{self._name}: {answer.reason}")
        assert isinstance(answer, kind), (self._name, answer, kind)
        return answer

    def collect(self) -> History:
        """What it did and saw, once it has reported; the file is gone then."""
        found = read_history(self.history)
        self.history.unlink()
        return found

    def ask_to_end(self) -> None:
        """EOF on its channel means exit."""
        self.channel.close()

    def end(self, deadline: float) -> None:
        """Wait for its end until then, kill it if it does not come, and reap it."""
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        with contextlib.suppress(FileNotFoundError):
            self.history.unlink()

    def kill(self) -> None:
        """SIGKILL; what it had noted in its journal stays."""
        self._popen.kill()
        self._popen.wait()
        self.channel.close()

    def _gone(self) -> TargetError:
        """It closed its channel, so it has ended or is about to."""
        try:
            code = self._popen.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return TargetError(f"{self._name} closed its channel and does not end (log {self._log})")
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return TargetError(f"{self._name} has ended ({how}): {_last_line(self._log)}")


def readable(channels: Iterable[int], deadline: float, look_out: LookOut) -> list[int]:
    """Wait until one of these has something to say; those that do, none at the deadline."""
    poll = select.poll()
    for fd in channels:
        poll.register(fd, select.POLLIN)
    while True:
        look_out()
        left_s = max(0.0, deadline - time.monotonic())
        ready = [fd for fd, _ in poll.poll(min(left_s, LOOK_OUT_EVERY_S) * 1e3)]
        if ready or not left_s:
            return ready


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), f"nothing in {log}")


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
