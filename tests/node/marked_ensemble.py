"""Servers that mark hops, in one process: time is a counter that they share, links and logs are in memory."""

import random
from collections.abc import Sequence
from itertools import count
from typing import Any

from lab.node.marking import ROW, Hop, MarkedMemoryStore, MarkedServer, Marks
from lab.service.host import Host, Inbound
from lab.service.requests import Connect, Connected, Reply, Request, decode_replies, encode_frame
from lab.sim.clock import ServerClock, VirtualClock
from lab.sim.network import Network
from lab.sim.ports import Ports
from lab.sim.snapshots import KeptSnapshots
from lab.zab.config import ZabConfig
from lab.zab.effects import Observed
from lab.zab.messages import ServerState

SESSION = 77
ROUNDS_MAX = 2_000


def _ignore(observed: Observed) -> None: ...


class MarkedPorts:
    """What `MarkedLinks` does, around simulated links."""

    def __init__(self, marks: Marks, ports: Ports) -> None:
        self._marks, self.ports = marks, ports

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ports, name)

    def receive(self) -> Sequence[Inbound]:
        arrived = self.ports.receive()
        self._marks.taken_ns = self._marks.now_ns()
        return arrived

    def flush(self) -> None:
        self._marks.publish()


class Row:
    """One marker, by its columns' names."""

    def __init__(self, server: int, hop: int, key: int, about: int, number: int, at_ns: int) -> None:
        self.server, self.hop, self.key, self.about, self.number, self.at_ns = (
            server, Hop(hop), key, about, number, at_ns,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"{self.at_ns} {self.server} {self.hop.name} {self.key:#x} {self.about} {self.number}"


class MarkedEnsemble:
    """`attach` says whom the one client is attached to: the leader, a follower or an observer."""

    def __init__(
        self,
        attach: ServerState,
        *,
        voters: int = 3,
        observers: int = 0,
        relays: int = 0,
        every: int = 1,
        room: int = 10_000,
        session: int = SESSION,
    ) -> None:
        self.clock = VirtualClock()
        ids = tuple(range(1, voters + observers + 1))
        config = ZabConfig(voters=ids[:voters], observers=ids[voters:], relays=relays)
        ticking = count(1).__next__
        self.now_ns = ticking
        network = Network(self.clock, random.Random(0))
        self.network = network
        self.marks = {me: Marks(room, every, ticking) for me in ids}
        self.servers: dict[int, MarkedServer] = {}
        self.hosts: dict[int, Host] = {}
        self.ports: dict[int, Ports] = {}
        self.replies: list[Reply] = []
        for me in ids:
            store = MarkedMemoryStore(self.marks[me])
            recovered = store.recover(initialize=True)
            self.servers[me] = MarkedServer(self.marks[me], me, config, recovered, random.Random(me))
            self.ports[me] = network.join(me, 1, ServerClock(self.clock))
            links: Any = MarkedPorts(self.marks[me], self.ports[me])
            self.hosts[me] = Host(
                self.servers[me], store, links, self.clock, KeptSnapshots(), tick_ms=100, observe=_ignore
            )
            self.hosts[me].start()
        self.run_until(lambda: all(server.peer.phase.name == "BROADCAST" for server in self.servers.values()))
        self.leader = next(me for me, server in self.servers.items() if server.peer.state is ServerState.LEADING)
        self.attached = next(me for me, server in sorted(self.servers.items()) if server.peer.state is attach)
        self.client = self.ports[self.attached].connect_client(self._on_reply)
        self.ask(Connect(session, 1, 0))
        assert isinstance(self.replies.pop(), Connected)
        for marks in self.marks.values():
            marks.take()

    def _on_reply(self, frame: bytes | None) -> None:
        assert frame is not None
        self.replies += decode_replies(frame)

    def ask(self, *requests: Request) -> None:
        """Send one frame and let the ensemble work until as many replies have come."""
        wanted = len(self.replies) + len(requests)
        self.ports[self.attached].client_frame(self.client, encode_frame(requests))  # type: ignore[arg-type]
        self.run_until(lambda: len(self.replies) >= wanted)
        self.run_until(lambda: len({server.applied_zxid for server in self.servers.values()}) == 1)

    def run_until(self, done: Any) -> None:
        for _ in range(ROUNDS_MAX):
            if done():
                return
            self.network.deliver_due()
            worked = [host.turn() for host in self.hosts.values()]
            if not any(worked):
                self.clock.advance_to(self.clock.now_ms() + 1)
        raise AssertionError("the ensemble does not get there")

    def rows(self) -> list[Row]:
        """What all servers marked since the last call, in the order of time."""
        found = [Row(me, *row) for me, marks in self.marks.items() for row in ROW.iter_unpack(marks.take()[0])]
        return sorted(found, key=lambda row: row.at_ns)
