"""`bench --hosts`: the measurements of a profile, spread over machines, one at a time on each.

Each is what the driver runs on one machine, wholly on its host; its records and pyperf's files come back into the run's
folder.  A host that is lost fails the measurement under way, which is tried once more on another one.
"""

import contextlib
import io
import threading
import time
from pathlib import Path

import msgspec
import orjson
import pyperf

from lab.bench.ledger import Ledger
from lab.bench.micro.filing import FILE as MICRO_FILE
from lab.bench.micro.filing import keep_reference
from lab.bench.plan import Command, Plan, Step, command_of, pyperf_command
from lab.bench.progress import Reporter
from lab.bench.record import RunInfo
from lab.bench.results import RunFolder, append_lines, write_whole
from lab.bench.trial import DEFAULT_DATA_DIR
from lab.cluster.errors import ClusterError
from lab.cluster.host_file import Host, Hosts
from lab.cluster.host_link import HostLink
from lab.hosts.blocks import Block, Blocks
from lab.hosts.job import Outcome, Work
from lab.hosts.pool import HostPool
from lab.targets.target import TargetError

LOOK_EVERY_S = 0.2
SAID_BYTES_MAX = 1 << 16


class Sweep:
    """One run over several hosts.  `measure` may be interrupted; what had come back by then is in the folder."""

    def __init__(
        self, plan: Plan, folder: RunFolder, reporter: Reporter, pool: HostPool, command: Command = pyperf_command
    ) -> None:
        """Every host of the pool has been described; none has been opened yet.  The pool is closed by `measure`."""
        self.folder = folder
        self._plan, self._reporter, self._pool, self._command = plan, reporter, pool, command
        about = pool.about
        self._blocks = Blocks(plan, {name: about[name].machine.id for name in about})
        self._ledger = Ledger(plan, folder, reporter)
        first = next(iter(about.values()))
        self._ledger.info = msgspec.structs.replace(
            self._ledger.info,
            machine=first.machine,
            commit=first.commit,
            dirty=first.dirty,
            hosts={name: its.machine for name, its in about.items()},
        )
        self._changed = threading.Condition()  # guards everything but what a thread does on its own host
        self._doing: dict[str, str] = {}  # by host
        self._broken: BaseException | None = None  # what ends the run
        self._stopping = False

    @property
    def info(self) -> RunInfo:
        return self._ledger.info

    @property
    def failures(self) -> list[str]:
        """One line each."""
        return self.info.failures

    def measure(self) -> RunInfo:
        """All rounds that the profile's budget allows.  Raises TargetError if there is nothing left to measure with."""
        self._ledger.update()
        self._started = time.monotonic()
        threads: list[threading.Thread] = []
        try:
            with self._reporter:
                for host in self._pool.hosts.host:
                    link = self._pool.open(host)
                    thread = threading.Thread(target=self._serve, args=(host, link), name=f"sweep {host.name}")
                    threads.append(thread)
                    thread.start()
                while any(thread.is_alive() for thread in threads):
                    for thread in threads:
                        thread.join(LOOK_EVERY_S)
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._pool.close()
            for thread in threads:
                thread.join()
        if self._broken is not None:
            raise self._broken
        self._ledger.finish()
        return self.info

    # -- one thread a host

    def _serve(self, host: Host, link: HostLink) -> None:
        try:
            link.prepare(data_dir=self._data_dir(host))
            while (block := self._take(host.name)) is not None:
                self._measure_block(host, link, block)
        except ClusterError as error:
            self._lose(host.name, None, 0, str(error))
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            with self._changed:
                self._broken = self._broken or error
                self._changed.notify_all()

    def _take(self, host: str) -> Block | None:
        """The next block for a host that has nothing to do; waits for those that others may have to leave."""
        with self._changed:
            while not self._stopping and self._broken is None and host in self._blocks.hosts:
                block = self._blocks.next(host, time.monotonic() - self._started)
                if block is not None:
                    return block
                self._doing.pop(host, None)
                if self._blocks.is_done:
                    self._changed.notify_all()
                    return None
                self._changed.wait(LOOK_EVERY_S)
            return None

    def _measure_block(self, host: Host, link: HostLink, block: Block) -> None:
        for index, step in enumerate(block.steps):
            if self._stopping or self._broken is not None:
                return
            self._report(host.name, block, step)
            left: dict[str, bytes] = {}
            try:
                outcome, left = self._measure(host, link, step, block.round_)
            except ClusterError as error:
                if self._stopping:
                    return
                if link.lost:
                    self._lose(host.name, block, index, link.lost)
                    return
                outcome = Outcome(1, str(error), [])  # that host cannot, but it is there
            with self._changed:
                self._file(host.name, left)
                self._ledger.ended(step, block.round_, outcome.status, outcome.said)
                self._blocks.measured()
        with self._changed:
            self._blocks.ended()
            self._ledger.round_done(block.steps)
            self._changed.notify_all()

    def _measure(self, host: Host, link: HostLink, step: Step, round_: int) -> tuple[Outcome, dict[str, bytes]]:
        """One measurement there, and the files that it left."""
        name = f"{step.id.replace('/', '_')}-{round_ + 1}"
        there, folder = f"sweep/{name}", RunFolder(link.folder / "sweep" / name)
        link.make_folder(f"{there}/pyperf")
        where = Path(host.data_dir) if host.data_dir else self._plan.data_dir
        command = command_of(step, round_, folder, seed=self._plan.seed, data_dir=where, command=self._command)
        work = Work(command[1:], str(folder.path))  # Python is that host's own
        child = link.start("job", name, ["-m", "lab.hosts.job"], msgspec.msgpack.encode(work))
        (channel,) = child.channels
        try:
            while not child.wait(LOOK_EVERY_S):
                pass
            said = channel.recv(SAID_BYTES_MAX)
            if not said:
                raise ClusterError(child.last_words())
            outcome = msgspec.msgpack.decode(said, type=Outcome)
            left = {file: link.fetch(f"{there}/{file}") for file in outcome.files}
            link.remove(there)
        finally:
            channel.close()
            child.close()
        return outcome, left

    def _file(self, host: str, left: dict[str, bytes]) -> None:
        """Bring into the run's folder what a measurement left on that host."""
        for name, data in left.items():
            path = self.folder.path / name
            if path == self.folder.trials:
                records = [{**orjson.loads(line), "host": host} for line in data.splitlines()]
                append_lines(path, b"".join(orjson.dumps(record) + b"\n" for record in records))
            elif path.suffix == ".jsonl":
                append_lines(path, data)
            elif path.suffix == ".json":
                self._merge(path, data)

    def _merge(self, path: Path, data: bytes) -> None:
        """Add pyperf's runs, as its --append does."""
        if path.name == MICRO_FILE:
            keep_reference(self.folder.path)
        suite = pyperf.BenchmarkSuite.loads(data.decode())
        if path.exists():
            known = pyperf.BenchmarkSuite.load(str(path))
            known.add_runs(suite)
            suite = known
        whole = io.StringIO()
        suite.dump(whole)
        write_whole(path, whole.getvalue().encode())

    def _lose(self, host: str, block: Block | None, index: int, why: str) -> None:
        with self._changed:
            if self._stopping or host not in self._blocks.hosts:
                return
            again = self._blocks.lost(host, block, index)
            self._doing.pop(host, None)
            if block is None:
                line = why
            else:
                then = "it is measured once more on another one" if again else "it is left out"
                line = f"{block.steps[index].id}, round {block.round_ + 1}: {why}; {then}"
            with contextlib.suppress(TargetError):  # three hosts that are lost are not three measurements that fail
                self._ledger.fail(line)
            if not self._blocks.hosts:
                self._broken = self._broken or TargetError(f"no host is left: {line}")
            self._changed.notify_all()

    def _report(self, host: str, block: Block, step: Step) -> None:
        with self._changed:
            self._doing[host] = f"{host}: round {block.round_ + 1} {step.id}"
            spent_s, done = time.monotonic() - self._started, self._blocks.share_done()
            left_s = spent_s / done - spent_s if done else self._plan.profile.budget_s
            self._reporter.doing("  ".join(self._doing[name] for name in sorted(self._doing)), done, left_s)

    def _data_dir(self, host: Host) -> str:
        return host.data_dir or ("" if self._plan.data_dir is None else str(self._plan.data_dir))


class Fleet:
    """The hosts of a file as `lab.bench.command.Machines`; a context manager, which ends everything there."""

    def __init__(self, hosts: Hosts, data_dir: Path | None) -> None:
        """Raises ClusterError if one cannot be used."""
        self._pool = HostPool(hosts)
        try:
            for host in hosts.host:
                self._pool.describe(host.name, host.data_dir or str(data_dir or DEFAULT_DATA_DIR))
        except BaseException:
            self._pool.close()
            raise
        about = self._pool.about.values()
        self.cpus = min(its.machine.cores for its in about)
        self.missing = {target: why for its in about for target, why in its.missing.items()}

    def bench(self, plan: Plan, folder: RunFolder, shown: Reporter) -> Sweep:
        return Sweep(plan, folder, shown, self._pool)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()
