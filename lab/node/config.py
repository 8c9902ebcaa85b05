"""What one server process is told at its start."""

from enum import StrEnum
from typing import Annotated

import msgspec

from lab.transport.waiter import Wait
from lab.zab.config import ZabConfig
from lab.zab.errors import ConfigError

__all__ = ["ConfigError", "DeathDetection", "Durability", "NodeConfig", "Silence", "Transport", "Wait", "ZabConfig"]


class Durability(StrEnum):
    """How durable an acknowledged write is."""

    FSYNC = "fsync"  # group-commit fdatasync before every acknowledgement: survives a power cut
    BUFFERED = "buffered"  # written, not synced: survives the death of the process
    MEMORY = "memory"  # nothing on disk: a restarted server is a wiped one (Z-12)


class Transport(StrEnum):
    """What carries the frames between processes."""

    SHM = "shm"  # rings in shared memory
    UDP = "udp"  # sessions over datagrams (lab.transport.window)


class DeathDetection(StrEnum):
    """How a server learns that a peer process died."""

    PIDFD = "pidfd"  # at once, as TCP's reset would tell on one host
    HEARTBEAT = "heartbeat"  # by unanswered pings only


MTU_BYTES_MIN, MTU_BYTES_MAX = 576, 65_000  # what any IPv4 host takes, and a little less than what UDP can carry
UdpMtuBytes = Annotated[int, msgspec.Meta(ge=MTU_BYTES_MIN, le=MTU_BYTES_MAX)]
SnapRetainCount = Annotated[int, msgspec.Meta(ge=3)]  # fewer, and two damaged files are the end of a server


CLIENT_PATIENCE = 4  # times as long as a peer a client may be silent: it is not what an election waits for


class Silence(msgspec.Struct, frozen=True):
    """Who says nothing over a link that carries datagrams, and for how long, is dead; nanoseconds."""

    keepalive_ns: int  # something is sent over each link this often
    peer_dead_after_ns: int
    client_dead_after_ns: int

    @classmethod
    def of(cls, tick_ms: int, sync_limit_ticks: int) -> "Silence":
        """A peer may be silent for as long as a learner may owe its leader an answer to a ping."""
        limit_ns = tick_ms * sync_limit_ticks * 1_000_000
        return cls(tick_ms * 500_000, limit_ns, limit_ns * CLIENT_PATIENCE)


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server's own settings; everything the ensemble shares is in `zab`."""

    me: int
    incarnation: int  # 64 random bits, drawn for every start (Z-9)
    zab: ZabConfig
    tick_ms: int = 100
    durability: Durability = Durability.FSYNC
    death_detection: DeathDetection = DeathDetection.PIDFD
    transport: Transport = Transport.SHM
    shapes_links: bool = False  # links carry datagrams over shared memory, too, so that they can be shaped
    udp_key: bytes = b""  # of the tags on datagrams; empty: none, which only loopback allows
    udp_mtu_bytes: UdpMtuBytes = 1400  # a whole datagram of a link, without headers of UDP and IP
    wait: Wait = Wait.ADAPTIVE
    data_dir: str  # private folder of this server; unused with durability=memory
    initialize: bool = False  # durability=memory only: this is the first start, not a restart after a loss
    seed: int = 1
    snap_retain_count: SnapRetainCount = 3  # own snapshots that a purge leaves (ZooKeeper: autopurge.snapRetainCount)
    log_segment_bytes: int = 64 << 20  # preallocation step of the log (ZooKeeper: preAllocSize)
    link_queue_bytes_max: int = 64 << 20  # what may wait for room in one link before it closes (DESIGN 3)
    marks_max: int = 0  # hop markers kept between two TakeMarks (lab.node.marking); 0: this server marks nothing
    marks_every: Annotated[int, msgspec.Meta(ge=1)] = 1  # mark batches that hold a zxid divisible by it
    cpus: tuple[int, ...] = ()  # CPU placement; empty = wherever the kernel puts it
