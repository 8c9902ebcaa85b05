"""What a trial and a failover ask of the load processes (`lab.bench.loaders.Loaders` is the real one)."""

from collections.abc import Callable
from typing import Protocol

from lab.client.history import History
from lab.targets.target import Connector


class Window(Protocol):
    """The measured interval of the monotonic clock, and what the load processes used in it."""

    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def cpu_s(self) -> float:
        """Of all load processes together."""

    @property
    def waited_s(self) -> float:
        """How long the load processes had nothing to do, added up; waiting may take CPU, too."""


class Load(Protocol):
    """The load processes of one trial."""

    @property
    def asked(self) -> int:
        """Open loop, after `finish`: how many operations were meant to be sent within the window."""

    @property
    def asked_until_end(self) -> int:
        """As `asked`, from the beginning, set-up included, until the window's end."""

    def start(self) -> None:
        """Start the processes and open their sessions."""

    def setup(self) -> None:
        """Make the workload's nodes."""

    def pids(self) -> list[int]:
        """Of the load processes, by the numbers of their clients."""

    def warm(self, seconds: float) -> None:
        """The real load, not measured."""

    def run(self, seconds: float) -> Window:
        """The real load, measured."""

    def finish(self) -> list[History]:
        """Stop sending, wait for what is outstanding, and hand over what every client did and saw."""

    def close(self) -> None:
        """End the processes, whatever they do."""


class Ack(Protocol):
    """An acknowledged write."""

    @property
    def at_ns(self) -> int:
        """CLOCK_MONOTONIC of its reply at the client."""

    @property
    def epoch(self) -> int:
        """Of its zxid."""


class Watch(Load, Protocol):
    """A load that watches failovers: one write outstanding, one after the other."""

    def begin(self) -> None:
        """Write until `finish`."""

    def first_ack(self, after_epoch: int, timeout_s: float) -> Ack:
        """Wait for the first acknowledged write of an epoch greater than this one.  TargetError at the deadline."""


MakeLoad = Callable[[list[Connector]], Load]
MakeWatch = Callable[[list[Connector]], Watch]
