"""What a system must offer to be measured (DESIGN 1)."""

from pathlib import Path
from typing import Protocol

import msgspec

from lab.client.history import ReplicaState
from lab.faults import TargetFault


class ServerInfo(msgspec.Struct, frozen=True):
    """One server of a running target."""

    id: int
    role: str  # leader, follower, observer or looking
    epoch: int = 0  # of the last transaction that it applied, where marks do not tell the epoch in force


class Usage(msgspec.Struct, frozen=True):
    """Counters of one server since its start; a trial reports differences over its window."""

    server: int
    cpu_s: float
    bytes_sent: int
    rss_mb: float
    at_ns: int = 0  # CLOCK_MONOTONIC at which the counters were read; 0: the target cannot say
    throttled_s: float = 0.0  # how long a CPU budget held the server back
    frames_sent: int = 0  # 0: the target does not count them
    network: dict[str, int] = {}  # counters of datagrams; empty: it sends none, or does not count them


class PhaseMark(msgspec.Struct, frozen=True):
    """A state or phase change that a server reported (zab.md, appendix B)."""

    server: int
    at_ns: int  # CLOCK_MONOTONIC of this host
    what: str  # "entered" or "first_commit"
    state: str  # looking, following, leading, observing
    phase: str  # election, discovery, synchronization, broadcast
    epoch: int
    leader: int
    doubt_ns: int = 0  # by how much `at_ns` may be off: it was read from another host's clock


class Far(Protocol):
    """A load process on another host, which was started with its connector; its times are readings of its clock."""

    history: Path  # there: what it did, written at its end

    def ours(self, at_ns: int) -> int:
        """One of its times as this host's clock would show it."""

    def theirs(self, at_ns: int) -> int:
        """A time of this host as its clock would show it."""

    def doubt_ns(self, at_ns: int) -> int:
        """By how much `ours` of that time may be off."""

    def fetch_history(self) -> bytes:
        """The file `history`, which is removed there."""

    def kill(self, timeout_s: float) -> None: ...

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, by then."""

    def last_words(self) -> str: ...


class Connector(msgspec.Struct, frozen=True):
    """Lets another process open its sessions: `text` describes them, the descriptors are inherited (`pass_fds`).

    If the process is one of another host it runs already, and the only descriptor is that of the channel to it.
    """

    text: str
    fds: tuple[int, ...]
    far: Far | None = None


class Target(Protocol):
    """A system under test.  Methods block until done or raise TargetError naming what failed and what to do."""

    name: str
    tells_phases: bool  # whether `marks` has what splits an outage

    @property
    def version(self) -> str:
        """Of a system that is not ours, with what it runs on; empty for ours, whose version is the commit."""

    def start(self) -> None:
        """Bring every server up and return once the ensemble serves."""

    def servers(self) -> list[ServerInfo]: ...

    def connector(self, client: int, servers: list[int]) -> Connector:
        """Prepare for load process `client` one session to each of these servers (it may move to the others)."""

    def replicas(self, unknown: list[tuple[int, int]]) -> list[ReplicaState]:
        """Wait until every live server has applied the last committed write, then say what each holds.

        `unknown`: (session, cxid) of requests whose fate is asked for.
        """

    def usage(self) -> list[Usage]: ...

    def pids(self) -> dict[int, int]:
        """The process of each server that runs; all of them are of this host."""

    def marks(self) -> list[PhaseMark]:
        """What the servers reported since the last call, in no particular order."""

    def inject(self, fault: TargetFault) -> int:
        """Carry the fault out; returns the CLOCK_MONOTONIC nanosecond at which it took effect."""

    def limit_cpu(self, share: float | None) -> str:
        """Give each server that share of one CPU (None lifts it); returns the mechanism: cgroup-v1, cgroup-v2, none."""

    def stop(self) -> None: ...


class TargetError(RuntimeError):
    """The system under test could not do what was asked: one line, naming it and the next step."""
