"""What one server process is told at its start."""

from enum import StrEnum
from typing import Annotated

import msgspec

from lab.transport.waiter import Wait
from lab.zab.config import ZabConfig
from lab.zab.errors import ConfigError

__all__ = ["ConfigError", "DeathDetection", "Durability", "NodeConfig", "Wait", "ZabConfig"]


class Durability(StrEnum):
    """How durable an acknowledged write is."""

    FSYNC = "fsync"  # group-commit fdatasync before every acknowledgement: survives a power cut
    BUFFERED = "buffered"  # written, not synced: survives the death of the process
    MEMORY = "memory"  # nothing on disk: a restarted server is a wiped one (Z-12)


class DeathDetection(StrEnum):
    """How a server learns that a peer process died."""

    PIDFD = "pidfd"  # at once, as TCP's reset would tell on one host
    HEARTBEAT = "heartbeat"  # by unanswered pings only


SnapRetainCount = Annotated[int, msgspec.Meta(ge=3)]  # fewer, and two damaged files are the end of a server


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server's own settings; everything the ensemble shares is in `zab`."""

    me: int
    incarnation: int  # 64 random bits, drawn for every start (Z-9)
    zab: ZabConfig
    tick_ms: int = 100
    durability: Durability = Durability.FSYNC
    death_detection: DeathDetection = DeathDetection.PIDFD
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
