"""The shape of a workload: what a load process asks of its generator and the harness of its checker."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from lab.client.history import History, ReplicaState
from workloads.verdict import Verdict

R = TypeVar("R")

SetMaker = Callable[[int, str, bytes], R]  # (cxid, path, data) -> a request of the target's protocol
GetMaker = Callable[[int, str], R]  # (cxid, path) -> a request


class WorkloadError(ValueError):
    """Bad parameters, in one line: which file and field, what was found, what is allowed."""


class Generator(Protocol):
    """The operations of one client: a pure function of (seed, client, cxid), so nothing has to be remembered.

    What operation `cxid` is does not depend on how operations are cut into batches.
    """

    @property
    def parents(self) -> Sequence[str]:
        """Nodes to create first."""

    @property
    def paths(self) -> Sequence[str]:
        """The node of each key."""

    @property
    def read_share(self) -> float:
        """How many of the operations are reads, 0 to 1."""

    @property
    def value_bytes(self) -> int:
        """The greatest value."""

    def batch(self, first: int, count: int, set_data: SetMaker[R], get_data: GetMaker[R]) -> list[R]:
        """The requests `first` ... `first + count - 1`, made by the two makers that were handed in."""

    def kinds(self, first: int, count: int) -> Sequence[int]:
        """`lab.client.history.Kind` of each of these operations."""

    def keys(self, first: int, count: int) -> Sequence[int]:
        """Which key each of these operations is about."""

    def value(self, cxid: int) -> bytes:
        """What this client writes in operation `cxid`, whatever its kind (creates of the set-up included)."""

    def writer(self, data: bytes) -> tuple[int, int] | None:
        """(client, cxid) of the write that `data` claims to come from; None if it is too short to claim anything."""

    def is_intact(self, data: bytes, client: int, cxid: int) -> bool:
        """Whether `data` is, byte for byte, what that write wrote."""


class Checker(Protocol):
    def __call__(
        self,
        histories: Sequence[History],
        replicas: Sequence[ReplicaState],
        *,
        seed: int,
        params: Any,
        voters: int | None = None,
    ) -> Verdict:
        """Judge one trial.  `voters`: size of the electorate, if some of its servers are not among `replicas`."""


@dataclass(frozen=True)
class Workload:
    """One kind of workload.  `params` is a frozen msgspec.Struct that forbids unknown fields."""

    name: str
    params: type[msgspec.Struct]
    generator: Callable[[Any, int, int], Generator]  # (params, seed, client)
    check: Checker
