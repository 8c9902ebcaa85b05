"""Links between processes, as the supervisor sees them: who is at an end, and how two ends get a fresh memory.

A link is one memory made here and sent to both ends, each with what it needs of the other: bell, incarnation, and a
descriptor that tells of its end.  The memory is never used again: a new link is a new memory (Z-9).
"""

import errno
import os
import select
import time
from collections.abc import Sequence
from typing import Literal

from lab.cluster.errors import ClusterError
from lab.node.control import Attach, Command, Detach, Welcome, encode_control
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.shm import CLIENT_CHANNELS, PEER_CHANNELS, create_link_memory

SEND_TIMEOUT_S = 5.0
PAUSE_S = 0.001

Kind = Literal["server", "client"]


class Endpoint:
    """One incarnation of a process that has links: how to reach it, to wake it, and to see it end."""

    def __init__(self, kind: Kind, number: int, incarnation: int, control: ControlSocket, bell: Bell) -> None:
        """`control` and `bell` belong to this object from now on; a subclass brings `life_fd`."""
        self.kind = kind
        self.number = number
        self.incarnation = incarnation
        self.control = control
        self.bell = bell
        self.life_fd = -1  # becomes readable when the process ends

    @property
    def name(self) -> str:
        return f"{'server' if self.kind == 'server' else 'load process'} {self.number}"

    def send(self, record: Command | Welcome, fds: Sequence[int] = ()) -> None:
        """Send a control record; to a process that has ended, nothing (its end is reported by `life_fd`).

        Raises ClusterError if the process, frozen or stuck, has not made room after SEND_TIMEOUT_S.
        """
        data = encode_control(record)
        deadline = time.monotonic() + SEND_TIMEOUT_S
        writable = select.poll()
        writable.register(self.control.fileno(), select.POLLOUT)
        while writable.poll(max(0.0, deadline - time.monotonic()) * 1e3):
            try:
                self.control.send(data, fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                return
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)  # too many descriptors under way to their readers, who take them out
        raise ClusterError(f"{self.name} has not read its control socket for {SEND_TIMEOUT_S:g} s: thaw or crash it")

    def close(self) -> None:
        self.control.close()
        self.bell.close()


def _role_of(other: Endpoint, seen_by: Endpoint) -> str:
    """What `other` is to `seen_by`, in the words of Attach."""
    return "peer" if other.kind == seen_by.kind else other.kind


def join(one: Endpoint, other: Endpoint) -> None:
    """A fresh link between two processes; it replaces an earlier one at either end.  `one` writes half 0."""
    memory = create_link_memory(PEER_CHANNELS if one.kind == other.kind else CLIENT_CHANNELS)
    try:
        for side, (me, you) in enumerate(((one, other), (other, one))):
            attach = Attach(_role_of(you, me), you.number, you.incarnation, side)
            me.send(attach, (memory, you.bell.event_fd, you.bell.page_fd, you.life_fd))
    finally:
        os.close(memory)


def cut(one: Endpoint, other: Endpoint) -> None:
    """End the link between two processes, at both ends."""
    for me, you in ((one, other), (other, one)):
        me.send(Detach(_role_of(you, me), you.number))
