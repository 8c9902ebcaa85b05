"""Hosts of an ensemble without Dask: agents that this process starts itself, each behind a socket pair."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.cluster.host_file import Places
from lab.cluster.host_link import HostLink
from lab.cluster.process import SOURCE_ROOT
from lab.cluster.remote import Station

DEADLINE_S = 30.0


class LocalAgents:
    """Implements `lab.cluster.remote.Elsewhere`."""

    def __init__(
        self,
        places: Places,
        addresses: Mapping[str, str],
        key_file: str,
        folder: Path,
        inside: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """`inside`: what stands before the command of the agent of that name."""
        self.servers, self.clients = places.servers, places.clients
        self._inside = inside
        self._addresses, self._key_file, self._folder = addresses, key_file, folder
        self.links: dict[str, HostLink] = {}
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def open(self, *, data_dir: str, durable: bool) -> Mapping[str, Station]:
        for name in sorted({*self.servers.values(), *self.clients.values()}):
            ours, its_end = socket.socketpair()
            with its_end:
                self.agents[name] = subprocess.Popen(
                    [*self._inside(name), sys.executable, "-m", "lab.cluster.agent", str(its_end.fileno())],
                    pass_fds=(its_end.fileno(),),
                    env={**os.environ, "PYTHONPATH": SOURCE_ROOT},
                )
            self.links[name] = HostLink(name, ours)
        for name, link in self.links.items():
            link.prepare(
                data_dir=str(self._folder / name),
                durable=durable,
                address=self._addresses[name],
                key_file=self._key_file,
            )
        return {name: Station(link, self._addresses[name]) for name, link in self.links.items()}

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        for agent in self.agents.values():
            agent.wait(DEADLINE_S)
