"""What clients did and saw, and what replicas hold: the data that checkers judge (DESIGN 4).

An operation's outcome is *acknowledged*, *failed* (definitely did not happen) or *unknown* (may have happened).
Columns are `array` objects, so a load process needs no numpy and a checker can view them without a copy.
"""

from array import array
from enum import IntEnum

import msgspec

from lab.zab.zxid import Zxid


class Kind(IntEnum):
    READ = 0
    WRITE = 1


class Outcome(IntEnum):
    ACKNOWLEDGED = 0
    FAILED = 1
    UNKNOWN = 2


COLUMNS = (  # name, meaning; all are signed 64-bit
    ("kind", "Kind"),
    ("session", "index of the session in History.sessions"),
    ("cxid", "the request's number within its client, increasing in the order of sending"),
    ("key", "which key of the workload"),
    ("sent_ns", "monotonic clock at sending (open loop: intended sending)"),
    ("done_ns", "monotonic clock at the reply; 0 if there was none"),
    ("outcome", "Outcome"),
    ("zxid", "of the reply; -1 if there was none"),
    ("mzxid", "reads: the write whose data was returned; -1 otherwise"),
    ("writer", "reads: client number found in the returned value; -1 if unreadable or not checked"),
    ("writer_cxid", "reads: cxid found in the returned value; -1 if unreadable or not checked"),
    ("version", "data version of the reply; -1 if there was none"),
    ("intact", "reads: 1 the value is exactly what that write wrote, 0 it is not, -1 not checked (sampled out)"),
)


OPEN_LOOP_COLUMNS = (
    ("actual_ns", "monotonic clock when it was sent indeed"),
    ("held_ns", "until when something else than the sender kept it from being sent; 0: nothing did"),
)


_TIMES = {"sent_ns", "done_ns", "actual_ns", "held_ns"}  # of which 0 is none


class History:
    """All operations of one client, one row each, in the order of sending."""

    def __init__(self, client: int, sessions: list[int], *, open_loop: bool = False) -> None:
        self.client = client
        self.sessions = sessions  # session ids; a session that moved keeps its id
        self.columns: dict[str, array[int]] = {
            name: array("q") for name, _ in (COLUMNS + OPEN_LOOP_COLUMNS if open_loop else COLUMNS)
        }
        self.clock_doubt_ns = 0  # by how much all its times may be off against those of other clients

    def __len__(self) -> int:
        return len(self.columns["kind"])

    def shift(self, by_ns: int) -> None:
        """Add that to every time: they were readings of another host's clock."""
        for name in _TIMES & self.columns.keys():
            self.columns[name] = array("q", [at_ns and at_ns + by_ns for at_ns in self.columns[name]])

    def in_doubt(self) -> "History":
        """The same with every operation begun as early and done as late as it may have been.

        For what is held against other clients' times; itself, if all clients are read by one clock.
        """
        if not self.clock_doubt_ns:
            return self
        wide = History(self.client, self.sessions)
        wide.columns = dict(self.columns)
        doubt = self.clock_doubt_ns
        wide.columns["sent_ns"] = array("q", [sent_ns - doubt for sent_ns in self.columns["sent_ns"]])
        wide.columns["done_ns"] = array("q", [done_ns and done_ns + doubt for done_ns in self.columns["done_ns"]])
        return wide


class Znode(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One node of a replica's tree, as far as checkers look."""

    czxid: Zxid
    mzxid: Zxid
    version: int
    data: bytes


class ReplicaState(msgspec.Struct, frozen=True, array_like=True):
    """What one live replica holds once it has caught up."""

    server: int
    role: str  # leader, follower, observer or looking
    applied_zxid: Zxid
    digest: int | None  # None: the target has none
    nodes: dict[str, Znode]
    log: list[tuple[Zxid, Zxid]] | None  # runs (first, last) in its log, its snapshot base as (0, base); None: no log
    # "session:cxid" of asked-for unknown requests in the log -> zxid, -1 = as an error.  One that is missing did not
    # happen if the log has no base; else it may have been purged, and nobody can tell.
    took_effect: dict[str, int]
