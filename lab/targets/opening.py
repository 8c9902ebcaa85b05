"""What a load process needs of a target: sessions that it opens from a connector's text, without knowing the target.

Nothing here or below it imports numpy or a supervisor, so that a load process starts fast.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from lab.targets.errors import OpeningError

Arrival = tuple[int, bytes | None, int]  # session, frame, number of replies in it; without a frame: so many were lost


class Answers(Protocol):
    """The replies of one frame, in the order of the requests, a column each."""

    @property
    def cxids(self) -> Sequence[int]: ...

    @property
    def outcomes(self) -> Sequence[int]:
        """`lab.client.history.Outcome`."""

    @property
    def zxids(self) -> Sequence[int]: ...

    @property
    def versions(self) -> Sequence[int]:
        """-1: the reply has none."""

    @property
    def mzxids(self) -> Sequence[int]:
        """Of reads: the write that the value came from; -1 otherwise."""

    @property
    def values(self) -> Sequence[bytes | None]:
        """Of reads."""


class Sessions(Protocol):
    """The sessions of one load process, each named by its index.  Nothing blocks but `open` and `wait`.

    `set_data`, `get_data`, `create` and `sync` make requests; they are handed to a workload's generator, which knows no
    target.  Replies come as raw frames, so that the measured window need not decode them.
    """

    set_data: Any  # (cxid, path, data)
    get_data: Any  # (cxid, path)
    create: Any  # (cxid, path, data)
    sync: Any  # (cxid)
    attached: list[int]  # sessions that requests can be sent in; a new list after a change

    @property
    def ids(self) -> list[int]: ...

    def open(self, timeout_s: float) -> None:
        """Wait until every session is attached to its server; raises OpeningError, also once `watch` has something."""

    def watch(self, fd: int) -> None:
        """Have `wait` and `look` tell when `fd` is readable, and `open` end then."""

    def send(self, index: int, requests: Sequence[Any]) -> bool:
        """Send one frame; False if the session was lost at that and nothing was sent."""

    def receive(self) -> list[Arrival]:
        """Answers and losses since the last call, of each session in the order of its requests."""

    def wait(self, until_ns: int) -> list[int]:
        """Sleep until something arrived or until then, or less; returns the watched descriptors that are readable."""

    def look(self) -> list[int]:
        """As `wait` without sleeping: to be called every few milliseconds while there is no time to sleep."""

    def decode(self, frame: bytes) -> Answers: ...

    def failure(self, frame: bytes) -> str:
        """The first failed request of a frame in words; empty if none failed."""

    def without_reads(self, frame: bytes) -> bytes:
        """The frame less the replies to reads."""

    def epoch_of(self, zxid: int) -> int: ...

    def close(self) -> None: ...


def decoder_of(target: str) -> Callable[[bytes], Answers]:
    """What `Sessions.decode` of that target does, for frames whose sessions are gone."""
    if target == "zookeeper":
        from lab.targets.zookeeper.replies import decode_answers

        return decode_answers
    assert target == "own", target
    from lab.targets.own_sessions import OwnSessions

    return OwnSessions.decode_frame


class _Address(msgspec.Struct, frozen=True):
    """What every connector's text says first."""

    target: str = "own"


def open_sessions(connector: str, *, patience_ms: float, exact_timer: bool) -> Sessions:
    """The sessions that a connector's text describes, not attached yet; its descriptors were inherited.

    `patience_ms`: how long a server may owe an answer before its session moves.  `exact_timer`: `wait` ends on the
    microsecond (open loop).  Raises OpeningError.
    """
    target = msgspec.json.decode(connector, type=_Address).target
    if target == "zookeeper":
        from lab.targets.zookeeper.pool import open_zookeeper_sessions

        return open_zookeeper_sessions(connector, patience_ms=patience_ms)  # its `wait` is always exact
    if target != "own":
        raise OpeningError(f"connector of target {target!r}: this load process opens own and zookeeper")
    from lab.targets.own_sessions import open_own_sessions

    return open_own_sessions(connector, patience_ms=patience_ms, exact_timer=exact_timer)
