"""What a harness and its load processes say to each other, one msgpack record a SEQPACKET datagram.

The first record to a load process is LoadSpec; it answers Ready once its sessions are attached.  Then each command is
answered by the record that its docstring names, or by Broken, after which the process ends.  EOF means exit.
"""

from typing import Any

import msgspec

DATAGRAM_BYTES_MAX = 1 << 16


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class LoadSpec(_Record, tag=1, frozen=True):
    """Everything one load process is told about its work."""

    client: int
    seed: int
    workload: str
    params: dict[str, Any]
    connector: str
    outstanding: int  # operations in flight, over all sessions; open loop: at most
    rate: float | None  # open loop: operations/s of all processes together
    arrivals: str  # open loop: the process (`lab.bench.arrivals`)
    clients: int  # how many processes share it
    pace: float | None  # closed loop: at most so many operations/s of this process
    eager: bool  # decode every reply at once, to answer Await: for few operations
    patience_ms: float
    reads_checked_max: int  # reads beyond it are sampled
    history: str  # the file to write the history to
    journal: bool  # note in that file everything at once, so that a killed process's history is there, too
    open_timeout_s: float


class Setup(_Record, tag=2, frozen=True):
    """Create the workload's nodes, then Ready."""


class Settle(_Record, tag=3, frozen=True):
    """See everything that was committed so far in every session, then Ready."""


class Start(_Record, tag=4, frozen=True):
    """Begin to send; Ready at once.  Open loop: by a schedule that begins at `origin_ns` of the monotonic clock."""

    origin_ns: int = 0


class Measure(_Record, tag=5, frozen=True):
    """Measure while the load goes on; Measured after `end_ns` of the monotonic clock."""

    start_ns: int
    end_ns: int


class Await(_Record, tag=6, frozen=True):
    """Eager only: Acknowledged for the first acknowledged write of the first epoch above `epoch` that has one."""

    epoch: int


class Stop(_Record, tag=7, frozen=True):
    """Send no more, wait for what is outstanding (at most `drain_s`), write the history, then Reported."""

    drain_s: float


class Ready(_Record, tag=20, frozen=True):
    pass


class Measured(_Record, tag=21, frozen=True):
    cpu_ns: int  # of this process between the two ends of the window
    waited_ns: int  # of that time with nothing to do, whether asleep or looking again


class Acknowledged(_Record, tag=22, frozen=True):
    """One acknowledged write; times are the monotonic clock's."""

    sent_ns: int
    done_ns: int
    zxid: int
    epoch: int


class Reported(_Record, tag=23, frozen=True):
    operations: int
    asked: int = 0  # open loop: how many were meant to be sent within the window
    asked_until_end: int = 0  # and since the beginning, set-up included, until its end


class Broken(_Record, tag=24, frozen=True):
    """The load process cannot go on: one line."""

    reason: str


Command = Setup | Settle | Start | Measure | Await | Stop
Answer = Ready | Measured | Acknowledged | Reported | Broken

encode = msgspec.msgpack.Encoder().encode
decode_spec = msgspec.msgpack.Decoder(LoadSpec).decode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
