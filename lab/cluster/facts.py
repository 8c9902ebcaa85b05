"""What this machine can do for an ensemble of processes: measured or tried out, never guessed.  Prints nothing."""

import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.cluster.cleanup import remove_group
from lab.cluster.cpu import CpuBudgets, available_cpus, find_hierarchy
from lab.cluster.run_folder import VOLATILE, default_base, filesystem_of
from lab.transport.pidfd import open_pidfd
from lab.transport.udp import UdpSocket, bind_udp

SYNCS = 50
SYNC_BYTES = 4096
SLEEPS = 50
SLEEP_ASKED_S = 50e-6
UDP_RUN = [bytes(1400)] * 8
NET_CORE = Path("/proc/sys/net/core")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


class Facts(msgspec.Struct, frozen=True):
    """Of this machine and of the folder that servers would keep their data in."""

    cpus: int  # that this process may use
    governor: str  # of CPU 0; "unknown" where the kernel does not say
    eventfd: bool
    memfd: bool
    pidfd: bool
    cgroup: str  # cgroup-v1, cgroup-v2 or none: the mechanism that a CPU budget would use here and now
    cgroup_refused: str  # why there is none; empty if there is one
    data_dir: str
    filesystem: str  # type of the file system that holds data_dir
    fsync_works: bool  # False on a file system in memory, where durability=fsync is refused
    fdatasync_us: float  # median of 50 writes of 4 KiB, each synced; 0 if the folder cannot be written
    data_dir_refused: str  # why nothing can be written there; empty if something can
    clock_resolution_ns: float  # of CLOCK_MONOTONIC, as the kernel states it
    clock_step_ns: int  # smallest difference between two readings in a row
    sleep_us: float  # median length of a sleep that asked for 50 us
    udp_receive_buffer_bytes: int  # what a server's socket gets of what it asks for; the kernel counts its own upkeep
    udp_send_buffer_bytes: int
    rmem_max: int  # net.core.rmem_max: what a socket may ask for without being root; 0 where the kernel does not say
    wmem_max: int
    udp_segmentation: bool  # a run of datagrams leaves in one system call (UDP_SEGMENT)
    udp_coalescing: bool  # and arrives in one (UDP_GRO)
    udp_refused: str  # why no datagram arrives on loopback; empty if one does
    targets: dict[str, str] = {}  # systems that are not ours: what is installed
    targets_refused: dict[str, str] = {}  # why one of them cannot be measured here


def gather_facts(data_dir: Path | None = None) -> Facts:
    """Takes a fraction of a second, most of it for the disk; leaves nothing behind."""
    where = (data_dir or default_base()).absolute()
    folder = _existing(where)
    kind = filesystem_of(folder)
    fdatasync_us, refused = _fdatasync_us(folder)
    cgroup, cgroup_refused = _cgroup()
    udp = _udp()
    return Facts(
        cpus=len(available_cpus()),
        governor=_governor(),
        eventfd=hasattr(os, "eventfd") and _works(lambda: os.eventfd(0)),
        memfd=hasattr(os, "memfd_create") and _works(lambda: os.memfd_create("zab-probe")),
        pidfd=_works(lambda: open_pidfd(os.getpid())),
        cgroup=cgroup,
        cgroup_refused=cgroup_refused,
        data_dir=str(where),
        filesystem=kind,
        fsync_works=kind not in VOLATILE,
        fdatasync_us=fdatasync_us,
        data_dir_refused=refused,
        clock_resolution_ns=time.get_clock_info("monotonic").resolution * 1e9,
        clock_step_ns=_clock_step_ns(),
        sleep_us=_sleep_us(),
        udp_receive_buffer_bytes=udp.receive_buffer_bytes,
        udp_send_buffer_bytes=udp.send_buffer_bytes,
        rmem_max=_net_core("rmem_max"),
        wmem_max=_net_core("wmem_max"),
        udp_segmentation=udp.segments,
        udp_coalescing=udp.coalesces,
        udp_refused=udp.refused,
    )


def with_target(facts: Facts, name: str, found: str, refused: str) -> Facts:
    """The facts with another system that can be measured, or why it cannot."""
    return msgspec.structs.replace(
        facts,
        targets={**facts.targets, name: found},
        targets_refused={**facts.targets_refused, **({name: refused} if refused else {})},
    )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _works(make: Callable[[], int]) -> bool:
    try:
        os.close(make())
    except OSError:
        return False
    return True


def _governor() -> str:
    try:
        return GOVERNOR.read_text().strip()
    except OSError:
        return "unknown"


def _cgroup() -> tuple[str, str]:
    """Try a budget out on a group without processes: (mechanism, "") or ("none", why)."""
    made: list[str] = []
    budgets = CpuBudgets(f"zab-lab-probe-{os.getpid()}", made.append, find_hierarchy())
    try:
        return budgets.try_out(), budgets.refused
    finally:
        for group in reversed(made):
            remove_group(os.fsencode(group), time.monotonic() + 1.0)


def _fdatasync_us(folder: Path) -> tuple[float, str]:
    """As the log does it: into room that is there already.  (median, "") or (0, why not)."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            fd, data, costs = file.fileno(), os.urandom(SYNC_BYTES), []
            with contextlib.suppress(OSError):  # a file system without it grows the file instead
                os.posix_fallocate(fd, 0, SYNCS * SYNC_BYTES)
            os.fsync(fd)
            for _ in range(SYNCS):
                started = time.perf_counter_ns()
                os.write(fd, data)
                os.fdatasync(fd)
                costs.append(time.perf_counter_ns() - started)
    except OSError as error:
        return 0.0, f"{folder}: {error.strerror}"
    return statistics.median(costs) / 1e3, ""


def _clock_step_ns() -> int:
    readings = [time.monotonic_ns() for _ in range(10_000)]
    return min(later - earlier for earlier, later in itertools.pairwise(readings) if later > earlier)


def _sleep_us() -> float:
    lengths = []
    for _ in range(SLEEPS):
        started = time.perf_counter_ns()
        time.sleep(SLEEP_ASKED_S)
        lengths.append(time.perf_counter_ns() - started)
    return statistics.median(lengths) / 1e3


class _Udp(msgspec.Struct, frozen=True):
    receive_buffer_bytes: int = 0
    send_buffer_bytes: int = 0
    segments: bool = False
    coalesces: bool = False
    refused: str = ""


def _udp() -> _Udp:
    """Send a run of datagrams to ourselves, and see in how many calls it goes and comes."""
    try:
        end = UdpSocket(bind_udp("127.0.0.1"))
    except OSError as error:
        return _Udp(refused=f"127.0.0.1: {error.strerror}")
    try:
        end.send(UDP_RUN, end.address)
        arrived = []
        while end.has_input():
            arrived += end.receive()
        refused = "" if arrived == UDP_RUN else f"{len(arrived)} of {len(UDP_RUN)} datagrams arrived on loopback"
        return _Udp(end.receive_buffer_bytes, end.send_buffer_bytes, end.sends == 1, end.reads == 1, refused)
    finally:
        end.close()


def _net_core(name: str) -> int:
    try:
        return int((NET_CORE / name).read_text())
    except (OSError, ValueError):  # another system, or a container that hides them
        return 0
