"""The links of three server processes, with both ends in this one: rings, bells and all, and nobody ever sleeps."""

import os
from collections.abc import Mapping

from lab.bench.micro.ensemble import LEADER, MEMBERS
from lab.node.control import Attach
from lab.node.links import NodeLinks
from lab.service.host import Links
from lab.transport.bell import Bell
from lab.transport.shm import CLIENT_CHANNELS, PEER_CHANNELS, ShmLink, create_link_memory
from lab.transport.waiter import Waiter
from lab.zab.config import PeerId

QUEUE_BYTES_MAX = 64 << 20


class RingWiring:
    """As the supervisor makes them.  Descriptors live as long as the process: it measures and ends."""

    def __init__(self) -> None:
        self._bells = {me: Bell.create() for me in MEMBERS}
        self._life = os.pipe()  # stands for the pidfds: nobody dies
        ends = {
            me: NodeLinks(Waiter(bell), queue_bytes_max=QUEUE_BYTES_MAX, watch_peers=False)
            for me, bell in self._bells.items()
        }
        for one in MEMBERS:
            for other in MEMBERS[MEMBERS.index(one) + 1 :]:
                memory = create_link_memory(PEER_CHANNELS)
                self._attach(ends[one], "peer", other, 0, memory, self._bells[other])
                self._attach(ends[other], "peer", one, 1, memory, self._bells[one])
                os.close(memory)
        memory = create_link_memory(CLIENT_CHANNELS)
        self._attach(ends[LEADER], "client", 1, 0, memory, Bell.create())
        leader = self._bells[LEADER]
        client = ShmLink(memory, CLIENT_CHANNELS, 1, leader, queue_bytes_max=QUEUE_BYTES_MAX)
        os.close(memory)
        (self._channel,) = client.channels
        self.links: Mapping[PeerId, Links] = ends

    def _attach(self, end: NodeLinks, role: str, name: int, side: int, memory: int, bell: Bell) -> None:
        fds = [os.dup(fd) for fd in (memory, bell.event_fd, bell.page_fd, self._life[0])]
        end.attach(Attach(role=role, name=name, incarnation=1, side=side), fds)

    def submit(self, frame: bytes) -> None:
        self._channel.send(frame)
        self._channel.flush()

    def take_replies(self) -> list[bytes]:
        return self._channel.receive()
