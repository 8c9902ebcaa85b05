"""A Dask cluster of real processes on loopback, whose workers stand for machines."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cluster.host_file import Host, Hosts
from lab.hosts.pool import HostPool

sys.path.append(str(Path(__file__).parents[1] / "cluster"))
from stub_clusters import DEADLINE_S, open_descriptors, wait_until

pytest.importorskip("distributed", reason="the extra `hosts` is not installed")


README = Path(__file__).parents[2] / "README.md"


class Dask:
    """A scheduler and workers, started as the README says, but for ports and folders."""

    @staticmethod
    def documented(program: str) -> list[str]:
        """What the README has behind `dask PROGRAM`."""
        (line,) = [line for line in README.read_text().splitlines() if line.startswith(f"dask {program} ")]
        return shlex.split(line, comments=True)[2:]

    def __init__(self, folder: Path, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._file = folder / "scheduler.json"
        self._start("scheduler", "dask_scheduler", *self.documented("scheduler"), "--port", "0",
                    "--scheduler-file", str(self._file))  # fmt: skip

    def add(self, name: str, host: str = "127.0.0.1") -> None:
        """Start a worker; it may take its time to come."""
        scheduler, *options = self.documented("worker")
        assert scheduler.startswith("tcp://127.0.0.1:"), scheduler
        options[options.index("--name") + 1] = name
        options[options.index("--host") + 1] = host
        self._start(name, "dask_worker", "--scheduler-file", str(self._file), *options,
                    "--local-directory", str(self.folder), "--death-timeout", "60")  # fmt: skip

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(DEADLINE_S)

    def address(self) -> str:
        wait_until(lambda: self._file.exists() and self._file.read_text().endswith("}"), "the scheduler listens")
        return str(json.loads(self._file.read_text())["address"])

    def hosts(self, *names: str) -> Hosts:
        return Hosts(self.address(), [Host(name, "127.0.0.1") for name in names])

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(DEADLINE_S)

    def _start(self, name: str, module: str, *options: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip


@pytest.fixture(scope="session")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Workers a and b, which every test leaves alive."""
    cluster = Dask(tmp_path_factory.mktemp("dask"))
    for name in "ab":
        cluster.add(name)
    yield cluster
    cluster.close()


@pytest.fixture
def pools() -> Iterator[Callable[..., HostPool]]:
    """Makes pools of workers that have come; insists that nothing of them is left open in this process."""
    from distributed import Client

    before = open_descriptors()
    made: list[HostPool] = []

    def make(dask: Dask, *names: str) -> HostPool:
        with Client(dask.address(), set_as_default=False) as client:
            client.wait_for_workers(len(names), timeout=DEADLINE_S)
        made.append(HostPool(dask.hosts(*names)))
        return made[-1]

    yield make
    for pool in made:
        pool.close()
    assert open_descriptors() <= before


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Callable[..., Dask]]:
    """Makes a cluster of which workers may be killed."""
    made: list[Dask] = []

    def make(*names: str) -> Dask:
        made.append(Dask(tmp_path))
        for name in names:
            made[-1].add(name)
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
