"""Where the processes of one ensemble stand in a network, and what that alone makes reads and writes wait.

What is said of waiting is a floor: typical round trips and nothing else, no processing, no disk, no lost datagram.
"""

from collections.abc import Sequence

import msgspec

from lab.networks.network import Network


class Layout(msgspec.Struct, frozen=True):
    """Servers are numbered from 1, voters first; clients from 0."""

    network: Network
    voters: int

    def server_site(self, server: int) -> str:
        if server <= self.voters:
            return self.network.site_of("voter", server - 1)
        return self.network.site_of("observer", server - self.voters - 1)

    def client_site(self, client: int) -> str:
        return self.network.site_of("client", client)

    def nearest(self, client: int, servers: Sequence[int]) -> list[int]:
        """Those of the servers that answer this client first; several where round trips are alike."""
        least = min(self._to_server_ms(client, server) for server in servers)
        return [server for server in servers if self._to_server_ms(client, server) == least]

    def quorum_ms(self, leader: int) -> float:
        """From a proposal to the acknowledgement that completes a majority; the leader's own disk counts at once."""
        others = sorted(self._between_ms(leader, voter) for voter in range(1, self.voters + 1) if voter != leader)
        return others[self.voters // 2 - 1] if others else 0.0

    def read_ms(self, client: int, server: int) -> float:
        """From the request to the reply, of the server's own state."""
        return self._to_server_ms(client, server)

    def write_ms(self, client: int, server: int, leader: int) -> float:
        """The way to the server, on to the leader, a quorum's round trip, and all the way back."""
        onward = 0.0 if server == leader else self._between_ms(server, leader)
        return self._to_server_ms(client, server) + onward + self.quorum_ms(leader)

    def _to_server_ms(self, client: int, server: int) -> float:
        return self.network.rtt_ms(self.client_site(client), self.server_site(server))

    def _between_ms(self, one: int, other: int) -> float:
        return self.network.rtt_ms(self.server_site(one), self.server_site(other))
