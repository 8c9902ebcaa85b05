"""What can go wrong with durable state; every message is one line that names the file and what to do."""

import errno

from lab.zab.zxid import Zxid, show

_REJOIN = "to rejoin with a copy of the leader's state, stop the server and empty its data folder"

_NEXT_STEP = {
    errno.ENOSPC: "free space there or choose another --data-dir",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f) or choose another --data-dir",
    errno.EDQUOT: "raise the quota or choose another --data-dir",
    errno.EACCES: "make it accessible to this user or choose another --data-dir",
    errno.EPERM: "make it accessible to this user or choose another --data-dir",
    errno.EROFS: "choose a --data-dir on a writable file system",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the device failed: " + _REJOIN,
}


class StorageError(Exception):
    """Base: the server cannot go on with this disk, so its process ends (ZOOKEEPER-2247)."""


class DiskError(StorageError):
    """A system call failed.  `errno` is its error number."""

    def __init__(self, path: str, action: str, cause: OSError) -> None:
        step = _NEXT_STEP.get(cause.errno or 0)
        super().__init__(f"{path}: cannot {action}: {cause.strerror or cause}" + (f"; {step}" if step else ""))
        self.path = path
        self.errno = cause.errno


class CorruptLogError(StorageError):
    """Transactions that were flushed are damaged: not a torn tail, so nothing may be cut (Z-6)."""

    def __init__(self, path: str, offset: int, reason: str, intact_upto: Zxid) -> None:
        super().__init__(f"{path}: byte {offset}: {reason}; everything up to {show(intact_upto)} is intact; {_REJOIN}")
        self.path = path
        self.offset = offset
        self.intact_upto = intact_upto


class CorruptSnapshotError(StorageError):
    """A snapshot cannot be loaded whole."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: byte {offset}: {reason}; {_REJOIN}")
        self.path = path
        self.offset = offset
        self.reason = reason


class DataFolderError(StorageError):
    """Files of a data folder are missing, unreadable or contradict each other: the server may not vote with it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; {_REJOIN}")
        self.path = path


class DataFolderInUseError(StorageError):
    """Another process, perhaps a frozen one, holds this server's data folder (Z-8)."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"{path}: in use by {holder}; end that process or choose another --data-dir")
        self.path = path
