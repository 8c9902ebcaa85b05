"""Processes of an ensemble on other hosts, in the places of local ones.

Their links are UDP's, so what the supervisor tells them is bytes, and their ends are seen by the agents.  Nobody there
is told of another process's end: what tells is silence, as between machines it must be.
"""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lab.cluster.endpoints import Server, new_incarnation
from lab.cluster.errors import ClusterError
from lab.cluster.host_link import HostLink
from lab.cluster.remote_child import RemoteChild
from lab.cluster.wiring import Endpoint
from lab.node.config import NodeConfig
from lab.node.control import Command, Configure, Datagrams, Welcome, encode_control
from lab.transport.control import ControlSocket

LOAD = ("-m", "lab.bench.load")


class Station:
    """One host that takes part in a run."""

    def __init__(self, host: HostLink, address: str) -> None:
        self.host = host
        self.address = address  # where its processes bind

    @property
    def name(self) -> str:
        return self.host.name


def insist_on_one_key(stations: Mapping[str, Station]) -> None:
    """Servers that hold different keys never hear each other.  Raises ClusterError, naming two of them."""
    first = next(iter(stations.values()))
    for station in stations.values():
        if station.host.key != first.host.key:
            raise ClusterError(
                f"hosts {first.name} and {station.name} hold different keys: copy one key file to every host"
            )


class Elsewhere(Protocol):
    """The hosts of one run; `stations` and the rest once it is open."""

    servers: Mapping[int, str]  # the name of each one's host
    clients: Mapping[int, str]

    def open(self, *, data_dir: str, durable: bool) -> Mapping[str, Station]:
        """By name; each has its run's folder.  Raises ClusterError."""

    def close(self) -> None:
        """End everything there."""


class RemoteServer(Server):
    """As Server.  Its end is the agent's to see."""

    child: RemoteChild

    def __init__(self, number: int, incarnation: int, child: RemoteChild, station: Station) -> None:
        super().__init__(number, incarnation, child, _control_of(child), None)
        self.child = child
        self.host = station.name
        self.address = (station.address, child.port)
        self._clock = station.host.clock

    def ours(self, at_ns: int) -> int:
        return self._clock.ours(at_ns)

    def struck_ns(self, asked_ns: int) -> int:
        return max(asked_ns, self.child.struck_ns)

    def send(self, record: Command | Welcome, fds: Sequence[int] = ()) -> None:
        assert not fds, f"descriptors do not reach {self.name} on {self.host}"
        super().send(record)


class RemoteLoad(Endpoint):
    """A load process that was started with its place: `lab.targets.target.Far`."""

    def __init__(
        self, number: int, station: Station, servers: list[tuple[int, str]], datagrams: Datagrams | None
    ) -> None:
        """Start it.  Raises ClusterError."""
        incarnation = secrets.randbits(64) or 1
        welcome = encode_control(Welcome(number, incarnation, servers, datagrams))
        self._station = station
        self.child = station.host.start("load", f"load-{number}", LOAD, welcome)
        super().__init__("client", number, incarnation, _control_of(self.child), None)
        self.control.set_blocking(False)
        self.life_fd = self.child.pidfd
        self.host = station.name
        self.address = (station.address, self.child.port)
        self.channel_fd = self.child.channels[0].detach()  # of the harness, who takes it over
        self.control_fd = self.child.fds[1]  # there
        self.history = station.host.folder / f"history-{number}"  # there

    def send(self, record: Command | Welcome, fds: Sequence[int] = ()) -> None:
        assert not fds, f"descriptors do not reach {self.name} on {self.host}"
        super().send(record)

    def close(self) -> None:
        super().close()
        self.child.close()

    def ours(self, at_ns: int) -> int:
        return self._station.host.clock.ours(at_ns)

    def theirs(self, at_ns: int) -> int:
        """A reading of this host's clock as its own would show it."""
        clock = self._station.host.clock
        return at_ns + clock.offset_ns()

    def doubt_ns(self, at_ns: int) -> int:
        """By how much `ours` of that reading may be wrong."""
        return self._station.host.clock.uncertainty_ns(at_ns)

    def fetch_history(self) -> bytes:
        """The file that it wrote, which is removed there."""
        data = self._station.host.fetch(self.history.name)
        self._station.host.remove(self.history.name)
        return data

    def kill(self, timeout_s: float) -> None:
        self.child.kill(timeout_s)

    def wait(self, timeout_s: float) -> bool:
        return self.child.wait(timeout_s)

    def last_words(self) -> str:
        return self.child.last_words()


def _control_of(child: RemoteChild) -> ControlSocket:
    """The last channel is the control socket (`agent_protocol.Start`)."""
    return ControlSocket.adopt(child.channels[-1].detach())


class RemoteGround:
    """Where some servers stand: `lab.cluster.ground.Ground` on another host."""

    def __init__(self, station: Station, command: Sequence[str]) -> None:
        self._station, self._host, self._command = station, station.host, command

    def data_folder(self, server: int) -> str:
        return str(self._host.folder / _data(server))

    def make_data_folder(self, server: int, files: Sequence[str]) -> None:
        self._host.make_folder(_data(server), files)

    def wipe(self, server: int) -> None:
        self._host.remove(_data(server))
        self._host.make_folder(_data(server))

    def launch(self, number: int, config_of: Callable[[int], NodeConfig]) -> Server:
        incarnation = new_incarnation()
        configure = encode_control(Configure(config_of(incarnation)))
        child = self._host.start("server", f"server-{number}", self._command, configure)
        return RemoteServer(number, incarnation, child, self._station)

    def path(self, name: str) -> str:
        return str(self._host.folder / name)

    def take(self, name: str) -> bytes:
        data = self._host.fetch(name)
        self._host.remove(name)
        return data

    def rss_mb(self, server: Server) -> float:
        assert isinstance(server, RemoteServer), server
        return server.child.rss_bytes() / 1e6


def _data(server: int) -> str:
    return os.path.join("data", str(server))
