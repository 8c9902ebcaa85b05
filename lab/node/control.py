"""What a supervisor and its server or load processes say over a control socket (DESIGN 3).

One SEQPACKET datagram is one msgpack record; file descriptors ride along by SCM_RIGHTS in the order that the record's
docstring gives.  A load process uses the same socket for its links: Attach, Detach and EOF mean the same to it.
"""

import msgspec

from lab.faults import Shape
from lab.node.config import NodeConfig
from lab.zab.messages import Phase, ServerState

__all__ = [
    "CONTROL_BYTES_MAX",
    "Answer",
    "Attach",
    "Command",
    "Configure",
    "Datagrams",
    "Detach",
    "GetStatus",
    "Inspect",
    "Inspected",
    "Phase",
    "Reshape",
    "ServerState",
    "Status",
    "TakeMarks",
    "TakeSnapshot",
    "Transition",
    "Welcome",
    "decode_answer",
    "decode_command",
    "decode_welcome",
    "encode_control",
]

CONTROL_BYTES_MAX = 1 << 16


class Control(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of the control records."""


class Configure(Control, tag=1, frozen=True):
    """First record to a node.  Descriptors: its own bell (eventfd), its bell page (memfd).

    With the transport udp a third one: its own UDP socket, bound.
    """

    config: NodeConfig


class Attach(Control, tag=2, frozen=True):
    """A fresh link to another process; it replaces any earlier link to the same one.

    `role` says what the other process is: "peer" (between servers: election and learner channels), "client" (a load
    process, told to a server: one channel) or "server" (the same link, told to the load process); `name` is the server
    id, or the number of the load process.  `side` says which half of the memory is written by the receiver (0 or 1).
    Descriptors: the link's memory (memfd), the other's bell (eventfd), the other's bell page (memfd), and one that
    becomes readable when the other process ends (a server's pidfd; of a load process the read end of a pipe).
    A `link` that is not 0 carries datagrams, over the memory or, with an `address`, over UDP: then the only descriptor
    is the last of those above, and there is none if the other process is one of another host.
    """

    role: str
    name: int
    incarnation: int  # of the other process
    side: int
    link: int = 0  # the number, of 64 bits, by which both ends know it; 0: its memory holds frames
    address: tuple[str, int] | None = None  # of the other's UDP socket
    shape: Shape | None = None  # what is done to the datagrams that come in over it


class Datagrams(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a load process has to know of links that carry datagrams; servers have the same in their NodeConfig."""

    udp_key: bytes
    udp_mtu_bytes: int
    keepalive_ns: int  # something is sent over each link this often
    dead_after_ns: int  # a silence that long ends a session
    seed: int  # of what shapes do


class Welcome(Control, tag=6, frozen=True):
    """First record to a load process.  Descriptors: its own bell (eventfd), its bell page (memfd), its life.

    With the transport udp a fourth one: its own UDP socket, bound.  The life is the write end of a pipe: the load
    process keeps it open and never uses it, so that everybody who holds the other end sees it end.  `servers` are all
    members, attached or not, each with "voter" or "observer".
    """

    client: int
    incarnation: int
    servers: list[tuple[int, str]]
    datagrams: Datagrams | None = None  # links carry datagrams; None: they do not


class Reshape(Control, tag=11, frozen=True):
    """From now on this is done to the datagrams that come in over this link (never one of which `link` is 0)."""

    role: str
    name: int
    shape: Shape | None


class Detach(Control, tag=3, frozen=True):
    """Cut the link to this process at once, both ends (a partition); undelivered frames are gone."""

    role: str
    name: int


class GetStatus(Control, tag=4, frozen=True):
    """Answered with Status carrying the same number."""

    number: int


class Inspect(Control, tag=5, frozen=True):
    """Write what this replica holds (`lab.client.history.ReplicaState`, msgpack) to `path`, then answer Inspected.

    `unknown` are (session, cxid) of requests whose fate the caller wants to know; they are looked up in the log.
    """

    number: int
    path: str
    unknown: list[tuple[int, int]]


class TakeMarks(Control, tag=9, frozen=True):
    """Write the hop markers since the last TakeMarks to `path` (`lab.targets.hops.HopMarks`, msgpack), or forget them
    if it is empty; then answer Inspected.  Only for a server that was configured to mark.
    """

    number: int
    path: str


class TakeSnapshot(Control, tag=10, frozen=True):
    """Snapshot the own disk as soon as may be; answered at once with Inspected (ZooKeeper: AdminServer's snapshot)."""

    number: int


class Status(Control, tag=20, frozen=True):
    """Counters of a server, at one moment of its monotonic clock."""

    number: int
    at_ns: int
    state: ServerState
    phase: Phase
    leader: int
    last_zxid: int
    applied_zxid: int
    bytes_sent: int
    frames_sent: int
    txns_committed: int
    cpu_ns: int  # process time, user and system, with that of forked children that have ended
    network: dict[str, int] = {}  # counters of datagrams; empty: no link carries any


class Inspected(Control, tag=21, frozen=True):
    number: int


class Transition(Control, tag=22, frozen=True):
    """A server changed state or phase, or committed its epoch's first transaction (`what` = "first_commit")."""

    at_ns: int  # CLOCK_MONOTONIC
    what: str  # "entered" or "first_commit"
    state: ServerState
    phase: Phase
    epoch: int
    leader: int


Command = Configure | Attach | Reshape | Detach | GetStatus | Inspect | TakeMarks | TakeSnapshot
Answer = Status | Inspected | Transition

encode_control = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_welcome = msgspec.msgpack.Decoder(Welcome | Attach | Reshape | Detach).decode  # what a load process is sent
decode_answer = msgspec.msgpack.Decoder(Answer).decode
