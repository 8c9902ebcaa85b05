"""Network namespaces as machines: each with one wire to a switch in a namespace of its own, none to this machine."""

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Sequence

NETWORK = "10.213.77"  # nobody else sees it
REFUSALS = ("Operation not permitted", "Permission denied", "not supported")  # anything else is a mistake of ours


class Namespaces:
    """Made by `make`, removed by `remove` with everything in them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 1)}
        self._switch = _space("switch")

    def make(self) -> None:
        """Raises PermissionError, saying why, where that is not permitted."""
        if shutil.which("ip") is None:
            raise PermissionError("there is no command `ip`")
        self._sweep()
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for name, address in self.addresses.items():
            space = _space(name)
            _ip("netns", "add", space)
            _ip("link", "add", "wire", "netns", space, "type", "veth", "peer", "name", f"to-{name}", "netns",
                self._switch)  # fmt: skip
            _ip("-n", self._switch, "link", "set", "dev", f"to-{name}", "master", "switch", "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "wire")
            _ip("-n", space, "link", "set", "lo", "up")
            self.plug(name)

    def unplug(self, name: str) -> None:
        """Take its wire down: nothing comes, nothing goes, nobody is told."""
        _ip("-n", _space(name), "link", "set", "wire", "down")

    def plug(self, name: str) -> None:
        _ip("-n", _space(name), "link", "set", "wire", "up")

    def inside(self, name: str) -> tuple[str, ...]:
        """What stands before a command that is to run there."""
        return ("ip", "netns", "exec", _space(name))

    def remove(self) -> None:
        for space in _made(os.getpid()):
            _ip("netns", "del", space)

    def _sweep(self) -> None:
        """Remove what tests that were killed have left."""
        for pid in {int(space.split("-")[2]) for space in _made("*")}:
            if not os.path.exists(f"/proc/{pid}"):
                for space in _made(pid):
                    _ip("netns", "del", space)


def _made(pid: int | str) -> list[str]:
    there = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    return fnmatch.filter(there, f"zab-test-{pid}-*")


def _space(name: str) -> str:
    return f"zab-test-{os.getpid()}-{name}"


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = f"ip {' '.join(arguments)}: {done.stderr.strip()}"
        raise PermissionError(said) if any(word in said for word in REFUSALS) else RuntimeError(said)
