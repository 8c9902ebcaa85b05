"""The fault vocabulary: data that the simulator and the supervisor of real processes both understand (DESIGN 1)."""

import msgspec


class Fault(msgspec.Struct, frozen=True, tag_field="fault", tag=str.lower, forbid_unknown_fields=True):
    """Base of the faults; `server` is the server's id."""


class Crash(Fault, frozen=True):
    """SIGKILL: the process ends at some instruction; what it wrote without fsync survives unless power fails too."""

    server: int


class Restart(Fault, frozen=True):
    """Start a crashed server again, with the disk that it left (durability=memory: wiped, Z-12)."""

    server: int


class Freeze(Fault, frozen=True):
    """SIGSTOP: the process keeps its links and answers nothing."""

    server: int


class Thaw(Fault, frozen=True):
    """SIGCONT."""

    server: int


class Partition(Fault, frozen=True):
    """Cut every link between servers of different groups, both ways; clients keep theirs."""

    groups: tuple[tuple[int, ...], ...]


class Heal(Fault, frozen=True):
    """Join again what a Partition cut, by fresh links."""


class FillDisk(Fault, frozen=True):
    """The server's data folder has no room left: its next write there fails, and the server ends, naming the file."""

    server: int


class FreeDisk(Fault, frozen=True):
    """There is room again; a server that has ended meanwhile waits for its Restart."""

    server: int


AnyFault = Crash | Restart | Freeze | Thaw | Partition | Heal
DiskFault = FillDisk | FreeDisk
