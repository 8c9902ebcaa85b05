"""Two processes joined by one link of the lab's own kind, each on the CPUs that it is given."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.bench.lifeline import die_with_parent
from lab.transport.bell import Bell
from lab.transport.shm import CLIENT_CHANNELS, Channel, ShmLink, create_link_memory
from lab.transport.waiter import Wait, Waiter

QUEUE_BYTES_MAX = 64 << 20


class End:
    """One process's end: its channel, its own bell, the other's, and where it sleeps."""

    def __init__(self, memory_fd: int, side: int, own: Bell, other: Bell, wait: Wait) -> None:
        self.own, self.other = own, other
        self.link = ShmLink(memory_fd, CLIENT_CHANNELS, side, other, queue_bytes_max=QUEUE_BYTES_MAX)
        self.channel: Channel = self.link.channels[0]
        self.waiter = Waiter(own, wait)
        self.partner = 0  # pid of the process at the other end, known to the one that forked it

    def close(self) -> None:
        self.waiter.close()
        self.link.close()


@contextmanager
def forked(partner: Callable[[], None], cpus: tuple[set[int], set[int]]) -> Iterator[int]:
    """This process on the first CPUs, and a forked one that runs `partner` on the second until this one leaves the
    block; gives its pid.
    """
    before, here = os.sched_getaffinity(0), os.getpid()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            die_with_parent(here)
            os.sched_setaffinity(0, cpus[1])
            partner()
        except Exception:  # noqa: BLE001 (whatever it is: said here, or never, as this process ends)
            traceback.print_exc()
        finally:
            os._exit(0)
    try:
        os.sched_setaffinity(0, cpus[0])
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.sched_setaffinity(0, before)


@contextmanager
def pair(partner: Callable[[End], None], cpus: tuple[set[int], set[int]], wait: Wait) -> Iterator[End]:
    """This process at one end, and a forked one that runs `partner` at the other."""
    memory_fd = create_link_memory(CLIENT_CHANNELS)
    bells = Bell.create(), Bell.create()
    end = None
    try:
        with forked(lambda: partner(End(memory_fd, 1, bells[1], bells[0], wait)), cpus) as child:
            end = End(memory_fd, 0, bells[0], bells[1], wait)
            end.partner = child
            yield end
    finally:
        if end is not None:
            end.close()
        for bell in bells:
            bell.close()
        os.close(memory_fd)


def cpu_ns(child: int) -> int:
    """CPU time that this process and `child` have used so far."""
    # the clock that clock_getcpuclockid(3) gives for a process; Python names only that of a thread
    return time.process_time_ns() + time.clock_gettime_ns(~child << 3 | 2)


def apart() -> tuple[set[int], set[int]]:
    """On two cores where there are two."""
    found = placements()
    return found.get("other-core", found["same-core"])


def placements() -> dict[str, tuple[set[int], set[int]]]:
    """Where two processes may be: on one core, on two, or wherever the kernel puts them."""
    cpus = sorted(os.sched_getaffinity(0))
    found = {"same-core": ({cpus[0]}, {cpus[0]}), "unpinned": (set(cpus), set(cpus))}
    if len(cpus) > 1:
        found["other-core"] = ({cpus[0]}, {cpus[1]})
    return found
