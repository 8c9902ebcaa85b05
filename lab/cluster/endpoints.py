"""The processes that links join: servers, which the supervisor starts, and load processes, which others start."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from lab.cluster.process import Child, start_child
from lab.cluster.remote_child import RemoteChild
from lab.cluster.wiring import Endpoint, Wiring
from lab.node.control import Transition, Welcome
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket

END_TIMEOUT_S = 10.0
EXIT_TIMEOUT_S = 5.0


def new_incarnation() -> int:
    """64 random bits, never 0: nothing sent to or by an earlier process is taken for a later one's (Z-9)."""
    return secrets.randbits(64) or 1


class Server(Endpoint):
    """One incarnation of a server process."""

    def __init__(
        self, number: int, incarnation: int, child: Child | RemoteChild, control: ControlSocket, bell: Bell | None
    ) -> None:
        """Takes over everything."""
        super().__init__("server", number, incarnation, control, bell)
        control.set_blocking(False)
        self.child = child
        self.life_fd = child.pidfd
        self.frozen = False
        self.entered: Transition | None = None  # the state and phase that it reported last

    def struck_ns(self, asked_ns: int) -> int:
        """When the signal that was asked for at `asked_ns` reached it, by this host's clock."""
        return asked_ns

    def freeze(self) -> None:
        self.child.stop(END_TIMEOUT_S)
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        self.child.resume()

    def crash(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.child.kill(END_TIMEOUT_S)

    def ask_to_exit(self) -> None:
        """EOF on its control socket means exit; one that does not within EXIT_TIMEOUT_S is killed."""
        self.control.close()
        if self.frozen or not self.child.wait(EXIT_TIMEOUT_S):
            self.crash()

    def close(self) -> None:
        super().close()
        self.child.close()


def start_server(number: int, command: Sequence[str], log: Path) -> Server:
    """Start `python *command FD` here.  Raises ClusterError if the system starts no more processes."""
    control, childs_end = ControlSocket.pair()
    bell = Bell.create()
    try:
        child = start_child(command, childs_end.fileno(), log)
    except BaseException:
        control.close()
        bell.close()
        raise
    finally:
        childs_end.close()
    return Server(number, new_incarnation(), child, control, bell)


class LoadProcess(Endpoint):
    """A process that somebody else starts, with one end of a control socket; it learns everything from that.

    Its end is seen as the end of a pipe, whose other end travels to it in Welcome and is held by nobody else.
    """

    def __init__(self, number: int, servers: list[tuple[int, str]], wiring: Wiring) -> None:
        """`servers` are all members of the ensemble, each with "voter" or "observer"."""
        control, its_end = ControlSocket.pair()
        bell = Bell.create()
        super().__init__("client", number, new_incarnation(), control, bell)
        self.inherited_fd = os.dup(its_end.fileno())  # for the process; belongs to whoever starts it
        its_end.close()
        control.set_blocking(False)
        self.life_fd, held_by_process = os.pipe()
        try:
            welcome = Welcome(number, self.incarnation, servers, wiring.datagrams)
            with wiring.socket_of(self) as fds:
                self.send(welcome, (bell.event_fd, bell.page_fd, held_by_process, *fds))
        except BaseException:
            self.close()
            os.close(self.inherited_fd)
            raise
        finally:
            os.close(held_by_process)

    def close(self) -> None:
        super().close()
        os.close(self.life_fd)
