"""The servers as processes of ours: a run folder, a JVM each, and the three layers that end them (DESIGN 3)."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path

from lab.cluster.cpu import CpuBudgets, find_hierarchy
from lab.cluster.errors import ClusterError
from lab.cluster.interrupts import interrupts_deferred
from lab.cluster.janitor_process import Janitor
from lab.cluster.process import Child, start_program
from lab.cluster.run_folder import RunFolder, refuse_volatile
from lab.targets.zookeeper.config import LOGBACK, Ensemble, command, zoo_cfg
from lab.targets.zookeeper.install import Installation

END_TIMEOUT_S = 10.0
MYID = "myid"


class Servers:
    """JVMs that belong to this object: after `close`, nothing of them is left.  Errors are ClusterError."""

    def __init__(self, installed: Installation, ensemble: Ensemble, data_dir: Path | None) -> None:
        """Makes the run folder and starts nothing yet.  The ensemble's ports are those of the servers it shall have."""
        self.ensemble = ensemble
        self._installed = installed
        self._children: dict[int, Child] = {}
        self._frozen: set[int] = set()
        self._ended: dict[int, str] = {}  # by themselves, with their last words
        self._closed = False
        self._folder = RunFolder(data_dir)
        self._janitor: Janitor | None = None
        try:
            if ensemble.durability == "fsync":
                refuse_volatile(self._folder.path)
            self._janitor = Janitor(self._folder)
            self._budgets = CpuBudgets(self._folder.path.name, self._janitor.owns_group, find_hierarchy())
        except BaseException:
            self.close()
            raise

    @property
    def folder(self) -> Path:
        """The run's private folder: data, logs and whatever the harness wants removed with them."""
        return self._folder.path

    @property
    def budgets(self) -> CpuBudgets:
        return self._budgets

    def pids(self) -> dict[int, int]:
        return {number: child.pid for number, child in sorted(self._children.items())}

    def answering(self) -> list[int]:
        """The servers that run and are not frozen."""
        return sorted(self._children.keys() - self._frozen)

    def start(self, number: int) -> int:
        """Start a server that does not run, on the data that it left."""
        assert self._janitor is not None
        if number in self._children:
            raise ClusterError(f"server {number} is running already: crash it first")
        scratch = self._prepared(number)
        config = scratch / "zoo.cfg"
        at_ns = time.monotonic_ns()
        line = command(self._installed, self.ensemble, config, scratch)
        child = self._children[number] = start_program(line, self._folder.log_file(f"server-{number}"))
        self._janitor.owns_process(child.pid)
        self._ended.pop(number, None)
        self._budgets.add(number, child.pid)
        return at_ns

    def crash(self, number: int) -> int:
        """SIGKILL; returns once the process is gone."""
        child, at_ns = self._running(number), time.monotonic_ns()
        child.kill(END_TIMEOUT_S)
        self._forget(number)
        return at_ns

    def freeze(self, number: int) -> int:
        child, at_ns = self._running(number), time.monotonic_ns()
        child.stop(END_TIMEOUT_S)
        self._frozen.add(number)
        return at_ns

    def thaw(self, number: int) -> int:
        child, at_ns = self._running(number), time.monotonic_ns()
        child.resume()
        self._frozen.discard(number)
        return at_ns

    def look_out(self) -> None:
        """Raise ClusterError if a server has ended by itself; returns at once."""
        for number, child in list(self._children.items()):
            if child.wait(0.0):
                self._ended[number] = child.last_words()
                self._forget(number)
        if self._ended:
            raise ClusterError("; ".join(f"server {number} ended: {how}" for number, how in self._ended.items()))

    def close(self) -> None:
        """End every process and remove everything; a second call does nothing.  Ctrl-C waits until then."""
        with interrupts_deferred(), ExitStack() as steps:  # each step is taken even if another one fails; last first
            if self._closed:
                return
            self._closed = True
            steps.callback(self._folder.remove if self._janitor is None else self._janitor.finish)
            for child in self._children.values():
                steps.callback(child.close)
                steps.callback(child.kill, END_TIMEOUT_S)
            for child in self._children.values():  # all at once; `kill` then only waits
                child.send_signal(signal.SIGKILL)
            if self._children:
                steps.callback(self._budgets.lift)  # first of all: a server that is held back dies slowly
            self._children = {}

    def _running(self, number: int) -> Child:
        if number not in self._children:
            how = self._ended.get(number)
            raise ClusterError(f"server {number} does not run{f' ({how})' if how else ''}: restart it first")
        return self._children[number]

    def _forget(self, number: int) -> None:
        self._frozen.discard(number)
        self._children.pop(number).close()

    def _prepared(self, number: int) -> Path:
        """The folder of a server's configuration, which stands beside its data; both are made at its first start."""
        data, scratch = self._folder.data_folder(number), self._folder.path / "conf" / str(number)
        try:
            if not scratch.exists():
                data.mkdir(mode=0o700, parents=True)
                scratch.mkdir(mode=0o700, parents=True)
                (data / MYID).write_text(f"{number}\n")
                (scratch / "zoo.cfg").write_text(zoo_cfg(self.ensemble, number, data))
                (scratch / "logback.xml").write_text(LOGBACK)
        except OSError as error:
            raise ClusterError(f"cannot make the folders of server {number} in {data}: {error.strerror}") from error
        return scratch
