"""Who is linked to whom: every server with every other one and with every load process, less what partitions cut.

A cut ends a link that carries frames; one that carries datagrams is there and silent, as on a network.
"""

from collections.abc import Collection, Sequence
from itertools import combinations

import msgspec

from lab.cluster.endpoints import Server
from lab.cluster.errors import ClusterError
from lab.cluster.spec import ClusterSpec
from lab.cluster.wiring import Endpoint, Wiring
from lab.faults import Shape

Way = tuple[int, int]  # of what one server sends to another: source, target


class Network:
    """The processes that run, and the links between them.  A process belongs to whoever added it."""

    def __init__(self, spec: ClusterSpec, wiring: Wiring) -> None:
        """`spec` says what a directed link does to datagrams unless it is told otherwise."""
        self.servers: dict[int, Server] = {}  # frozen ones, too
        self.loads: dict[int, Endpoint] = {}
        self._wiring = wiring
        self._spec = spec
        self._told: dict[Way, Shape | None] = {}  # shapes that are not the usual ones
        self._cuts: set[Way] = set()

    def add_server(self, server: Server) -> None:
        """Link a new incarnation to everybody it may be linked to."""
        for _, other in sorted(self.servers.items()):
            one, two = sorted((server, other), key=lambda peer: peer.number)
            if self._wiring.carries_datagrams or not self._is_cut(one.number, two.number):
                self._wiring.join(one, two, self._shape)
        for load in self.loads.values():
            self._wiring.join(server, load, self._shape)
        self.servers[server.number] = server

    def add_load(self, load: Endpoint) -> None:
        for _, server in sorted(self.servers.items()):
            self._wiring.join(server, load, self._shape)
        self.loads[load.number] = load

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        """Cut every link between servers of different groups; a server in none of them keeps its links."""
        listed = [server for group in groups for server in group]
        if len(set(listed)) != len(listed):
            raise ClusterError(f"partition {groups}: a server stands there twice")
        pairs = {
            (min(one, other), max(one, other))
            for left, right in combinations(groups, 2)
            for one in left
            for other in right
        }
        for one, other in sorted(pairs):
            if self._wiring.carries_datagrams:
                self.cut_way(one, other)
                self.cut_way(other, one)
            elif not self._is_cut(one, other) and one in self.servers and other in self.servers:
                self._wiring.cut(self.servers[one], self.servers[other])
            self._cuts |= {(one, other), (other, one)}

    def cut_way(self, source: int, target: int) -> None:
        """Nothing that `source` sends to `target` arrives any more.  Raises ClusterError for links of frames."""
        self._check_datagrams("a cut in one direction")
        self._cuts.add((source, target))
        self._refresh(source, target)

    def heal(self) -> None:
        """Join again whatever was cut: links that ended by fresh ones."""
        cuts, self._cuts = self._cuts, set()
        for source, target in sorted(cuts):
            if self._wiring.carries_datagrams:
                self._refresh(source, target)
            elif source < target and source in self.servers and target in self.servers:
                self._wiring.join(self.servers[source], self.servers[target], self._shape)

    def reshape(self, source: int, target: int, shape: Shape | None) -> None:
        """From now on this is done to what one server sends to another; None: what was done to it at first."""
        self._check_datagrams("a shape")
        if shape is None:
            self._told.pop((source, target), None)
        else:
            self._told[source, target] = shape
        self._refresh(source, target)

    def _refresh(self, source: int, target: int) -> None:
        """Let the receiver know what is to be done; a server that does not run learns it when it is linked."""
        if source in self.servers and target in self.servers:
            sender, receiver = self.servers[source], self.servers[target]
            self._wiring.reshape(sender, receiver, self._shape(sender, receiver))

    def _shape(self, source: Endpoint, target: Endpoint) -> Shape | None:
        usual = self._spec.shape(source.place, target.place)
        if source.kind != target.kind:
            return usual
        way = (source.number, target.number)
        shape = self._told.get(way, usual)
        if way in self._cuts:
            return msgspec.structs.replace(shape or Shape(), blocked=True)
        return shape

    def _is_cut(self, one: int, other: int) -> bool:
        return (one, other) in self._cuts

    def _check_datagrams(self, what: str) -> None:
        if not self._wiring.carries_datagrams:
            raise ClusterError(f"{what} takes links that carry datagrams: those of the transport udp, or shaped ones")
