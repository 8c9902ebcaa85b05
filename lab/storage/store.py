"""One server's durable state on a disk: epochs, snapshots, the log.  Satisfies `lab.service.host.Store`."""

from collections.abc import Iterable, Iterator

from lab.storage.disk import Disk, Lock, RealDisk, file_bytes
from lab.storage.epochs import load_epoch, save_epoch
from lab.storage.errors import DataFolderError
from lab.storage.generations import (
    Generation,
    Installation,
    drop_leftovers,
    history_files,
    load_current,
    remove_generation,
)
from lab.storage.layout import ACCEPTED_EPOCH, CURRENT, CURRENT_EPOCH, INITIALIZE, LOCK, TMP, UNSYNCED
from lab.storage.log import Log
from lab.storage.reading import read_slice
from lab.storage.snapshot import read_snapshot
from lab.storage.snapshots import (
    OwnSnapshot,
    Report,
    StartWriter,
    WrittenAtOnce,
    drop_newer,
    find_whole,
    purge_snapshots,
)
from lab.zab.config import PeerId
from lab.zab.constants import NO_ZXID
from lab.zab.events import Flushed, History, LogRead, Recovered, Session, Truncated
from lab.zab.events import Generation as LogGeneration
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Epoch, Zxid, epoch_of, show

SEGMENT_BYTES = 64 << 20
SNAP_RETAIN_COUNT = 3


def _say_nothing(line: str) -> None: ...


class FileStore:
    """Durable state in the folder `data_dir`; `recover` first, everything else after it.

    `fsync` false leaves the log's appends to the operating system's own pace ("buffered": they survive the process, no
    power cut); epochs, snapshots and truncations are rare and flushed always, like ZooKeeper's with forceSync=no.
    Every method blocks until it is done, and raises StorageError when the disk fails; the process must then end.  Only
    snapshots of its own are written by somebody else meanwhile, whom `start_writer` starts.
    """

    def __init__(
        self,
        data_dir: str,
        *,
        fsync: bool,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        snap_retain_count: int = SNAP_RETAIN_COUNT,
        incarnation: int = 0,
        start_writer: StartWriter = WrittenAtOnce,
        report: Report = _say_nothing,
    ) -> None:
        """`report` is told what is odd but no reason to stop."""
        self._data_dir = data_dir.rstrip("/") or "/"
        self._fsync = fsync
        self._disk: Disk = disk if disk is not None else RealDisk()
        self._segment_bytes = segment_bytes
        self._snap_retain_count = snap_retain_count
        self._incarnation = incarnation
        self._start_writer = start_writer
        self._report = report
        self._own_snapshot: OwnSnapshot | None = None  # on its way
        self._lock: Lock | None = None
        self._generation: Generation | None = None
        self._log: Log | None = None
        self._installation: Installation | None = None
        self._accepted_epoch: Epoch = 0
        self._unsynced = False
        self._unreported: Flushed | None = None

    # -- start and end

    def recover(self) -> Recovered:
        """Lock the folder, make a new server's disk if it is marked so, cut a torn tail, check all (zab.md 7.4, Z-7).

        Raises StorageError, one line that names the file, if the folder is in use, damaged or contradicts itself.
        """
        disk, data_dir = self._disk, self._data_dir
        if not disk.exists(data_dir):
            disk.mkdir(data_dir)
        self._lock = disk.lock(f"{data_dir}/{LOCK}")
        try:
            return self._recover()
        except BaseException:
            self.close()
            raise

    def _recover(self) -> Recovered:
        self._disk.sync_dir(self._data_dir)  # a process that died before it did so may have left a new epoch (Z-7)
        self._generation = self._load_or_format()
        drop_leftovers(self._disk, self._data_dir, self._generation)
        if self._generation is not None:
            self._log = self._open_log(self._generation)
            self._drop_damaged(self._generation)
        self._accepted_epoch = load_epoch(self._disk, self._data_dir, ACCEPTED_EPOCH)
        current_epoch = load_epoch(self._disk, self._data_dir, CURRENT_EPOCH)
        self._check_epochs(current_epoch)
        return Recovered(self._accepted_epoch, current_epoch, self._history(), not self._unsynced)

    def close(self) -> None:
        """Let go of files and lock; what was appended and not flushed may be lost."""
        if self._own_snapshot is not None:
            self._own_snapshot.kill()
            self._own_snapshot = None
        for held in (self._installation, self._log, self._lock):
            if held is not None:
                held.close()
        self._installation = self._log = self._lock = None

    def _load_or_format(self) -> Generation | None:
        """The generation in force; a new one holding snapshot.0 in a folder marked so; None if it is empty (Z-12)."""
        disk, data_dir = self._disk, self._data_dir
        self._drop_temporary(CURRENT)
        generation = load_current(disk, data_dir)
        is_new = disk.exists(f"{data_dir}/{INITIALIZE}")
        if generation is None:
            self._refuse_lost_history()
        if generation is None and is_new:
            drop_leftovers(disk, data_dir, None)
            generation = Installation(disk, data_dir, 0).finish()
        if is_new:  # only now: the empty history that may vote is durable
            disk.unlink(f"{data_dir}/{INITIALIZE}")
            disk.sync_dir(data_dir)
        self._unsynced = disk.exists(f"{data_dir}/{UNSYNCED}")
        if generation is None and not self._unsynced:
            self._mark_unsynced()
        return generation

    def _drop_temporary(self, name: str) -> None:
        temporary = f"{self._data_dir}/{name}{TMP}"
        if self._disk.exists(temporary):
            self._disk.unlink(temporary)
            self._disk.sync_dir(self._data_dir)

    def _refuse_lost_history(self) -> None:
        """Without CURRENT a generation may only be one that was never in force: a first one, unfinished."""
        disk, data_dir = self._disk, self._data_dir
        marked = any(disk.exists(f"{data_dir}/{name}") for name in (INITIALIZE, UNSYNCED))
        lost = history_files(disk, data_dir, "log" if marked else "snapshot")
        if lost:
            raise DataFolderError(f"{data_dir}/{CURRENT}", f"missing, yet there is a history ({lost[0]})")

    def _mark_unsynced(self) -> None:
        file = self._disk.create(f"{self._data_dir}/{UNSYNCED}")
        file.close()
        self._disk.sync_dir(self._data_dir)
        self._unsynced = True

    def _open_log(self, generation: Generation) -> Log:
        """Raises CorruptLogError if a damaged snapshot was passed over and the log does not reach as far as it did."""
        reach = max((zxid for zxid, _ in generation.damaged), default=0)
        folder, base = generation.folder, generation.base
        return Log(self._disk, folder, base, reach, fsync=self._fsync, segment_bytes=self._segment_bytes)

    def _drop_damaged(self, generation: Generation) -> None:
        """The history is whole without them, and the next start need not read them again."""
        for _, error in generation.damaged:
            where = f"{error.path}: byte {error.offset}: {error.reason}"
            self._report(f"{where}; deleted: an older snapshot and the log hold the same")
            self._disk.unlink(error.path)
        if generation.damaged:
            self._disk.sync_dir(generation.folder)

    def _check_epochs(self, current: Epoch) -> None:
        """The order of zab.md 1.3, but for a currentEpoch behind the log, which the core repairs (Z-2)."""
        accepted = self._accepted_epoch
        path = f"{self._data_dir}/{ACCEPTED_EPOCH}"
        if current > accepted:
            raise DataFolderError(path, f"is {accepted}, below {CURRENT_EPOCH} {current}")
        last = self._log.last if self._log is not None else NO_ZXID
        if last != NO_ZXID and epoch_of(last) > accepted:
            raise DataFolderError(path, f"is {accepted}, below the epoch of the last logged zxid {show(last)}")

    def _history(self) -> History:
        if self._log is None or self._generation is None:
            return History(NO_ZXID, (), (), NO_ZXID)
        generation, log = self._generation, self._log
        chunks: Iterable[bytes] = read_snapshot(self._disk, generation.snapshot, generation.base)
        return History(generation.base, chunks, log.batches(generation.base), log.last)

    # -- the log

    def append(self, gen: LogGeneration, batch: TxnBatch) -> None:
        assert self._log is not None, "nothing can be logged before a snapshot is installed (Z-12)"
        self._log.append(batch)
        self._unreported = Flushed(gen, batch.last)

    def flush(self) -> Flushed | None:
        flushed = self._unreported
        if flushed is not None:
            self.barrier()
        return flushed

    def barrier(self) -> None:
        if self._log is not None:
            self._log.flush()
        self._unreported = None

    def truncate(self, gen: LogGeneration, zxid: Zxid) -> Truncated:
        """Rebuilds from the newest whole snapshot that is not above `zxid` and has the log up to it (Z-11, H-5)."""
        self.barrier()
        log, generation = self._log, self._generation
        if log is None or generation is None or zxid not in log:
            return Truncated(gen, None)
        found = find_whole(self._disk, generation.folder, zxid)
        if not found.path or found.zxid < log.base:
            return Truncated(gen, None)
        drop_newer(self._disk, generation.folder, zxid)  # before the log is cut: never a snapshot of what is gone
        log.truncate(zxid)
        self._generation = Generation(generation.folder, found.zxid, found.path)
        return Truncated(gen, self._history())

    def read_log(self, learner: PeerId, session: Session, after: Zxid, until: Zxid, bytes_max: int) -> LogRead:
        log, generation = self._log, self._generation
        previous = log.previous(after) if log is not None else NO_ZXID
        if log is None or generation is None or previous == NO_ZXID:
            return LogRead(learner, session, NO_ZXID, None)
        batches = read_slice(previous, log.batches(previous, until), bytes_max)
        snapshot_bytes = file_bytes(self._disk, generation.snapshot)
        return LogRead(learner, session, previous, batches, log.bytes_after(previous), snapshot_bytes)

    # -- snapshots and epochs

    def install(self, gen: LogGeneration, zxid: Zxid, data: bytes, *, first: bool, last: bool) -> None:  # noqa: ARG002
        """As `Store.install`; an attempt that is not ended leaves the old history in force."""
        self.barrier()
        if first:
            if self._installation is not None:
                self._installation.discard()
            self._installation = Installation(self._disk, self._data_dir, zxid)
        installation = self._installation
        assert installation is not None, f"snapshot {show(zxid)} goes on without having begun"
        assert installation.generation.base == zxid, (installation.generation.base, zxid)
        installation.add(data)
        if last:
            self._switch_to(installation.finish())

    def _switch_to(self, generation: Generation) -> None:
        old, self._generation, self._installation = self._generation, generation, None
        if self._log is not None:
            self._log.close()
        self._log = self._open_log(generation)
        if old is not None:
            remove_generation(self._disk, self._data_dir, old.folder)

    def begin_snapshot(self, zxid: Zxid, chunks: Iterable[bytes]) -> None:
        assert self._log is not None, "there is nothing to take a snapshot of"
        assert self._generation is not None
        assert self._own_snapshot is None, f"snapshot {show(self._own_snapshot.zxid)} is still being written"
        self._log.roll()
        folder, start_writer, report = self._generation.folder, self._start_writer, self._report
        self._own_snapshot = OwnSnapshot(self._disk, folder, zxid, self._incarnation, chunks, start_writer, report)

    def snapshot_outcome(self) -> bool | None:
        assert self._own_snapshot is not None, "no snapshot was begun"
        return self._own_snapshot.outcome()

    def end_snapshot(self, *, keep: bool, log_after: Zxid | None) -> None:
        snapshot, self._own_snapshot = self._own_snapshot, None
        assert snapshot is not None, "no snapshot was begun"
        if not keep:
            snapshot.drop()
            return
        assert self._log is not None
        assert self._generation is not None
        folder = self._generation.folder
        self._generation = Generation(folder, snapshot.zxid, snapshot.keep())
        oldest = purge_snapshots(self._disk, folder, self._snap_retain_count)
        self._log.purge(oldest if log_after is None else min(oldest, log_after))

    def save_accepted_epoch(self, epoch: Epoch) -> None:
        self.barrier()
        save_epoch(self._disk, self._data_dir, ACCEPTED_EPOCH, epoch)
        self._accepted_epoch = epoch

    def save_current_epoch(self, epoch: Epoch) -> None:
        """As `Store.save_current_epoch`; reaching the accepted epoch ends the time without a vote (Z-12)."""
        self.barrier()
        save_epoch(self._disk, self._data_dir, CURRENT_EPOCH, epoch)
        if self._unsynced and epoch == self._accepted_epoch:
            self._disk.unlink(f"{self._data_dir}/{UNSYNCED}")
            self._disk.sync_dir(self._data_dir)
            self._unsynced = False

    # -- inspection

    def log_runs(self) -> list[tuple[Zxid, Zxid]]:
        """(first, last) of each run of contiguous zxids held, after (0, base) for what snapshots alone cover."""
        return self._log.runs() if self._log is not None else []

    def batches(self, after: Zxid = NO_ZXID) -> Iterator[TxnBatch]:
        """Everything logged after `after`, lazily; the log must not be truncated or purged meanwhile."""
        return self._log.batches(after) if self._log is not None else iter(())
