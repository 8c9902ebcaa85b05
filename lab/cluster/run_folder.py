"""The private folder of one run: data, logs, and the list of what the run owns; swept later if it was left behind.

A run holds an exclusive `flock` on its folder for as long as its process lives, so a folder whose lock is free belongs
to nobody.  The base folder's lock is held for the moments in which a run folder exists but is not locked yet.
"""

import fcntl
import os
import re
import tempfile
import time
from pathlib import Path

from lab.cluster.cleanup import Estate, path_record
from lab.cluster.errors import ClusterError

PREFIX = "zab-lab-run-"  # beside it in --data-dir may stand anything else
OWNED = "owned"  # name of the file of `cleanup` records
LOCK_TIMEOUT_S = 10.0
SWEEP_TIMEOUT_S = 10.0
VOLATILE = frozenset({"tmpfs", "ramfs"})  # fsync means nothing there


def default_base() -> Path:
    """Where run folders go without --data-dir: on a disk (unlike /tmp on many machines) and private to the user."""
    return Path("/var/tmp") / f"zab-lab-{os.geteuid()}"


class RunFolder:
    """A new folder under `base`, mode 0700, locked until `release`; `base` is made if need be.  Sweeps `base` first.

    Raises ClusterError if no folder can be made there.
    """

    def __init__(self, base: Path | None = None) -> None:
        self.base = (base or default_base()).absolute()
        self.base_is_ours = base is None or not self.base.exists()  # then it goes with the last run
        try:
            sweep(self.base)
            self.path, self._lock_fd = self._make()
        except OSError as error:
            raise ClusterError(
                f"cannot make a run folder in {self.base}: {error.strerror}: "
                "name a folder that you may write to with --data-dir"
            ) from error
        self._owned_fd = os.open(self.path / OWNED, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def _make(self) -> tuple[Path, int]:
        while True:
            base_fd = _lock_base(self.base, private=self.base == default_base())
            try:
                path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.base))  # mode 0700
                lock_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return path, lock_fd
            except FileNotFoundError:
                continue  # another run ended and took the empty base along: make it again
            finally:
                os.close(base_fd)

    def records(self) -> bytes:
        """What the janitor has to know about the folders themselves."""
        return path_record("folder", self.path) + (path_record("base", self.base) if self.base_is_ours else b"")

    def note(self, record: bytes) -> None:
        """Write down that the run owns this, for a sweep.  Raises ClusterError when the disk takes no more."""
        try:
            os.write(self._owned_fd, record)
        except OSError as error:
            raise ClusterError(f"{self.path / OWNED}: {error.strerror}") from error

    def data_folder(self, server: int) -> Path:
        return self.path / "data" / str(server)

    def log_file(self, name: str) -> Path:
        return self.path / f"{name}.log"

    def release(self) -> None:
        """Give up the lock; whoever removes the folder does it before."""
        if self._lock_fd >= 0:
            os.close(self._owned_fd)
            os.close(self._lock_fd)
            self._lock_fd = -1

    def remove(self) -> None:
        """End a run that owns nothing but its folder."""
        self.release()
        estate = Estate()
        estate.read(self.records())
        if left := estate.clear(0.0):
            raise ClusterError("; ".join(left))


def _lock_base(base: Path, *, private: bool) -> int:
    """Make and lock the base folder; returns the descriptor that holds the lock."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if private else 0))
    try:
        if private:
            _insist_on_private(base, fd)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise ClusterError(f"{base}: another process keeps it locked: end it, or choose another --data-dir")
            time.sleep(0.002)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _insist_on_private(base: Path, fd: int) -> None:
    """In a folder that everybody may write to, somebody else may have made ours first."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        raise ClusterError(f"{base} belongs to user {status.st_uid}, not to you: choose another folder with --data-dir")
    if status.st_mode & 0o077:
        os.fchmod(fd, 0o700)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def sweep(base: Path) -> list[str]:
    """Remove run folders that ended runs left in `base`, with what they own; returns the names of those removed.

    Folders of living runs, and of other users, stay.
    """
    if not base.is_dir():
        return []
    swept = []
    for path in sorted(base.glob(PREFIX + "*")):
        lock_fd = _lock_stale(base, path)
        if lock_fd is None:
            continue
        try:
            estate = Estate()
            estate.read(path_record("folder", path))
            estate.read(_owned_by(path))
            if not estate.clear(SWEEP_TIMEOUT_S):
                swept.append(path.name)
        finally:
            os.close(lock_fd)
    return swept


def _lock_stale(base: Path, path: Path) -> int | None:
    """Lock a run folder that nobody holds; None if somebody does, or if it is not one of ours."""
    base_fd = _lock_base(base, private=base == default_base())
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None  # gone meanwhile, not a folder, or not readable for us
    finally:
        os.close(base_fd)
    if os.fstat(fd).st_uid == os.geteuid() and _is_run_folder(path) and _try_lock(fd):
        return fd
    os.close(fd)
    return None


def _is_run_folder(path: Path) -> bool:
    """Whether a run made it; one that ended at once left it empty."""
    return (path / OWNED).exists() or not any(path.iterdir())


def _owned_by(path: Path) -> bytes:
    try:
        return (path / OWNED).read_bytes()
    except FileNotFoundError:
        return b""


def filesystem_of(path: Path) -> str:
    """Type of the file system that holds `path` (ext4, tmpfs, ...); "unknown" where the kernel does not say."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "unknown"
    return _filesystem_in(mounts, os.path.realpath(path))


def _filesystem_in(mounts: list[str], path: str) -> str:
    """The deepest mount point above `path` decides; of several mounted over each other, the last."""
    best, kind = "", "unknown"
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split(" ")[4])  # \040 is a space
        if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
            best, kind = point, right.split(" ")[0]
    return kind


def refuse_volatile(path: Path) -> None:
    """Raise ClusterError if `path` is in memory: what is synced there does not survive anything."""
    kind = filesystem_of(path)
    if kind in VOLATILE:
        raise ClusterError(
            f"durability=fsync in {path}: that is {kind}, where fsync does nothing: "
            "choose a folder on a disk with --data-dir, or --durability buffered"
        )
