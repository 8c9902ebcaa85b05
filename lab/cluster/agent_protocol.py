"""What a coordinator and the agent on another host say to each other (ARCHITECTURE: several hosts).

A frame is a length and one msgpack record, over any stream of bytes: between the two is a tunnel that looks at nothing.
The agent trusts its coordinator as a server trusts its supervisor; keys never travel here.
"""

import struct
from typing import Literal

import msgspec

FRAME_BYTES_MAX = 4 << 20
PIECE_BYTES = 1 << 20  # of a file on its way

Kind = Literal["server", "load", "job"]
CHANNELS: dict[Kind, int] = {"server": 1, "load": 2, "job": 1}  # SEQPACKET sockets of a process of that kind

_LENGTH = struct.Struct("<I")


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Prepare(_Record, tag=1, frozen=True):
    """First request: make the run's folder.  Answered with Prepared."""

    number: int  # of the question, which the answer repeats
    data_dir: str  # where the folder goes; empty: into the default place
    durable: bool  # refuse a file system in memory
    address: str  # where servers and clients bind their UDP sockets; empty: no links between hosts
    key_file: str  # of this host; empty: no key


class Start(_Record, tag=2, frozen=True):
    """Start `python *command FD`.  Answered with Started.

    server: FD is its control socket (channel 0); `first` is its Configure, to which the agent adds key and descriptors.
    load: FD is the harness's channel (channel 0), its control socket is channel 1; `first` is its Welcome.
    job: FD is its channel (channel 0); `first` is what it is sent first.
    """

    number: int
    process: int  # a name for it from now on
    kind: Kind
    name: str  # of its log file
    command: list[str]
    first: bytes


class Forward(_Record, tag=3, frozen=True):
    """A datagram for a process."""

    process: int
    channel: int
    data: bytes


class HangUp(_Record, tag=4, frozen=True):
    """Close the agent's end of a process's channel: EOF, which means exit to all of ours."""

    process: int
    channel: int


class Signal(_Record, tag=5, frozen=True):
    """Answered with Done: after SIGSTOP once the process stands still.  To one that has ended: nothing."""

    number: int
    process: int
    signal: int


class Fetch(_Record, tag=6, frozen=True):
    """A piece of a file in the run's folder, from `offset`.  Answered with Fetched."""

    number: int
    path: str  # relative to the folder
    offset: int


class Remove(_Record, tag=7, frozen=True):
    """A file or folder in the run's folder, which may be missing.  Answered with Done."""

    number: int
    path: str


class MakeFolder(_Record, tag=8, frozen=True):
    """A private folder in the run's folder, with an empty file in it for each name.  Answered with Done."""

    number: int
    path: str
    files: list[str]


class Resident(_Record, tag=9, frozen=True):
    """How much memory a process holds.  Answered with Held."""

    number: int
    process: int


class Ping(_Record, tag=10, frozen=True):
    """What time is it there?  Answered with Pong; without one for LEASE_S the agent ends everything."""

    sent_ns: int


class Done(_Record, tag=20, frozen=True):
    number: int
    at_ns: int = 0  # of a signal: the agent's CLOCK_MONOTONIC just before it was sent


class Refused(_Record, tag=21, frozen=True):
    """It could not be done: one line."""

    number: int
    reason: str


class Prepared(_Record, tag=22, frozen=True):
    number: int
    folder: str
    pid: int  # of the agent
    key: bytes  # the fingerprint of its key; empty: it has none


class Started(_Record, tag=23, frozen=True):
    number: int
    pid: int
    port: int  # of its UDP socket; 0 without one
    fds: list[int]  # under which it inherited its channels


class Fetched(_Record, tag=24, frozen=True):
    number: int
    data: bytes  # empty: there is no more


class Held(_Record, tag=25, frozen=True):
    number: int
    rss_bytes: int  # 0: it has ended


class Heard(_Record, tag=26, frozen=True):
    """A datagram from a process."""

    process: int
    channel: int
    data: bytes


class Ended(_Record, tag=27, frozen=True):
    """A process ended, by itself or not; nothing is heard of it any more."""

    process: int
    how: str  # and its last words


class Pong(_Record, tag=28, frozen=True):
    sent_ns: int
    at_ns: int  # the agent's CLOCK_MONOTONIC


Request = Prepare | Start | Forward | HangUp | Signal | Fetch | Remove | MakeFolder | Resident | Ping
Answer = Done | Refused | Prepared | Started | Fetched | Held
Report = Answer | Heard | Ended | Pong

LEASE_S = 30.0  # the coordinator pings far more often

_encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_report = msgspec.msgpack.Decoder(Report).decode


def frame(record: Request | Report) -> bytes:
    body = _encode(record)
    assert len(body) <= FRAME_BYTES_MAX, (type(record).__name__, len(body))
    return _LENGTH.pack(len(body)) + body


class Unframer:
    """Takes a stream apart again."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The records that are complete by now.  Raises ValueError for a length beyond the bound."""
        partial, found = self._partial, []
        partial += data
        while len(partial) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(partial)
            if length > FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes, at most {FRAME_BYTES_MAX}: this is no agent's stream")
            end = _LENGTH.size + length
            if len(partial) < end:
                break
            found.append(bytes(partial[_LENGTH.size : end]))
            del partial[:end]
        return found
