"""A load process on another host: the same commands and answers, with times put from one clock into the other."""

import contextlib
import socket
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from lab.bench.handover import read_history
from lab.bench.load_process import EXIT_TIMEOUT_S, LoadProcess, LookOut
from lab.bench.loadspec import Acknowledged, Answer, Command, LoadSpec, Measure, Start
from lab.client.history import History
from lab.targets.target import Connector, Far, TargetError

A = TypeVar("A", bound=Answer)


def start_load_process(client: int, connector: Connector, folder: Path, look_out: LookOut) -> LoadProcess:
    """The load process of that connector, on whatever host; takes over the connector's descriptors."""
    if connector.far is None:
        return LoadProcess(client, connector, folder, look_out)
    return FarLoadProcess(client, connector, connector.far, folder, look_out)


class FarLoadProcess(LoadProcess):
    """As LoadProcess; `history` is a file of its host."""

    def __init__(self, client: int, connector: Connector, far: Far, folder: Path, look_out: LookOut) -> None:
        self._far, self._look_out = far, look_out
        self._name = f"load process {client}"
        self._copy = folder / f"history-{client}"
        self.history = far.history
        self.channel = socket.socket(fileno=connector.fds[0])

    @property
    def pid(self) -> int:
        raise AssertionError(f"{self._name} is no process of this host")

    def tell(self, record: Command | LoadSpec) -> None:
        match record:
            case Start(origin_ns):
                record = Start(self._far.theirs(origin_ns))
            case Measure(start_ns, end_ns):
                start = self._far.theirs(start_ns)
                record = Measure(start, start + end_ns - start_ns)
        super().tell(record)

    def hear(self, kind: type[A], timeout_s: float, otherwise: str = "") -> A:
        answer = super().hear(kind, timeout_s, otherwise)
        if isinstance(answer, Acknowledged):
            sent_ns = self._far.ours(answer.sent_ns)
            done_ns = sent_ns + answer.done_ns - answer.sent_ns
            return msgspec.structs.replace(answer, sent_ns=sent_ns, done_ns=done_ns)
        return answer

    def collect(self) -> History:
        """Times are put into this host's clock all by the same amount, so that their differences stay exact."""
        self._copy.write_bytes(self._far.fetch_history())
        found = read_history(self._copy)
        self._copy.unlink()
        sent = found.columns["sent_ns"]
        if sent:
            first, middle, last = sent[0], (sent[0] + sent[-1]) // 2, max(sent[-1], found.columns["done_ns"][-1])
            by_ns = self._far.ours(middle) - middle
            drifts = (abs(self._far.ours(at) - at - by_ns) + self._far.doubt_ns(at) for at in (first, middle, last))
            found.clock_doubt_ns = max(drifts)
            found.shift(by_ns)
        return found

    def end(self, deadline: float) -> None:
        if not self._far.wait(max(0.0, deadline - time.monotonic())):
            self._kill()

    def kill(self) -> None:
        self._kill()
        self.channel.close()

    def _kill(self) -> None:
        with contextlib.suppress(RuntimeError):  # its host is lost or in trouble: its agent ends it
            self._far.kill(EXIT_TIMEOUT_S)

    def _gone(self) -> TargetError:
        if not self._far.wait(EXIT_TIMEOUT_S):
            return TargetError(f"{self._name} closed its channel and does not end")
        return TargetError(f"{self._name} has ended: {self._far.last_words()}")
