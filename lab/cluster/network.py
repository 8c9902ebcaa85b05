"""Who is linked to whom: every server with every other one and with every load process, less what partitions cut."""

from collections.abc import Collection, Sequence
from itertools import combinations

from lab.cluster.endpoints import LoadProcess, Server
from lab.cluster.errors import ClusterError
from lab.cluster.wiring import cut, join

Pair = tuple[int, int]  # of servers, the smaller id first


class Network:
    """The processes that run, and the links between them.  A process belongs to whoever added it."""

    def __init__(self) -> None:
        self.servers: dict[int, Server] = {}  # frozen ones, too
        self.loads: dict[int, LoadProcess] = {}
        self._cuts: set[Pair] = set()

    def add_server(self, server: Server) -> None:
        """Link a new incarnation to everybody it may be linked to."""
        for _, other in sorted(self.servers.items()):
            if _pair(server.number, other.number) not in self._cuts:
                join(*sorted((server, other), key=lambda peer: peer.number))
        for load in self.loads.values():
            join(server, load)
        self.servers[server.number] = server

    def add_load(self, load: LoadProcess) -> None:
        for _, server in sorted(self.servers.items()):
            join(server, load)
        self.loads[load.number] = load

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        """Cut every link between servers of different groups; a server in none of them keeps its links."""
        listed = [server for group in groups for server in group]
        if len(set(listed)) != len(listed):
            raise ClusterError(f"partition {groups}: a server stands there twice")
        pairs = {_pair(one, other) for left, right in combinations(groups, 2) for one in left for other in right}
        for one, other in sorted(pairs - self._cuts):
            if one in self.servers and other in self.servers:
                cut(self.servers[one], self.servers[other])
        self._cuts |= pairs

    def heal(self) -> None:
        """Join again, by fresh links, whatever partitions cut."""
        cuts, self._cuts = self._cuts, set()
        for one, other in sorted(cuts):
            if one in self.servers and other in self.servers:
                join(self.servers[one], self.servers[other])


def _pair(one: int, other: int) -> Pair:
    return (min(one, other), max(one, other))
