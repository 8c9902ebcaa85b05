"""Where servers stand: what a supervisor needs of a machine that is to run one, and this machine."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from lab.cluster.cleanup import remove_tree
from lab.cluster.endpoints import Server, start_server
from lab.cluster.errors import ClusterError
from lab.cluster.janitor_process import Janitor
from lab.cluster.run_folder import RunFolder
from lab.cluster.wiring import Wiring
from lab.node.config import NodeConfig
from lab.node.control import Configure

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Ground(Protocol):
    """Raises ClusterError.  Names are of files in the run's folder there."""

    def data_folder(self, server: int) -> str: ...

    def make_data_folder(self, server: int, files: Sequence[str]) -> None:
        """For a server that is new: its folder, with these empty files."""

    def wipe(self, server: int) -> None:
        """An empty data folder in the place of what it had."""

    def launch(self, number: int, config_of: Callable[[int], NodeConfig]) -> Server:
        """Start a server and configure it; `config_of` is asked for its incarnation."""

    def path(self, name: str) -> str:
        """Where a server is to write a file."""

    def take(self, name: str) -> bytes:
        """What a server wrote there; the file is removed."""

    def rss_mb(self, server: Server) -> float:
        """Resident memory, the shared pages of links included; 0 once it has ended."""


class LocalGround:
    """This machine."""

    def __init__(self, folder: RunFolder, janitor: Janitor, wiring: Wiring, command: Sequence[str]) -> None:
        self._folder, self._janitor, self._wiring, self._command = folder, janitor, wiring, command

    def data_folder(self, server: int) -> str:
        return str(self._folder.data_folder(server))

    def make_data_folder(self, server: int, files: Sequence[str]) -> None:
        data = self._folder.data_folder(server)
        try:
            data.mkdir(mode=0o700, parents=True)
            for name in files:
                (data / name).touch(mode=0o600)
        except OSError as error:
            raise ClusterError(f"cannot make data folder {data}: {error.strerror}") from error

    def wipe(self, server: int) -> None:
        data = self._folder.data_folder(server)
        if left := remove_tree(str(data).encode()):
            raise ClusterError("; ".join(left))
        data.mkdir(mode=0o700, parents=True)

    def launch(self, number: int, config_of: Callable[[int], NodeConfig]) -> Server:
        server = start_server(number, self._command, self._folder.log_file(f"server-{number}"))
        try:
            self._janitor.owns_process(server.child.pid)
            assert server.bell is not None, "a process of this host"
            bell = server.bell.event_fd, server.bell.page_fd
            with self._wiring.socket_of(server) as fds:
                server.send(Configure(config_of(server.incarnation)), (*bell, *fds))
        except BaseException:
            server.crash()
            server.close()
            raise
        return server

    def path(self, name: str) -> str:
        return str(self._folder.path / name)

    def take(self, name: str) -> bytes:
        path = self._folder.path / name
        data = path.read_bytes()
        path.unlink()
        return data

    def rss_mb(self, server: Server) -> float:
        try:
            return int(Path(f"/proc/{server.child.pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
