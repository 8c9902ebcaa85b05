"""A disk in memory that is written to and read back, and never asks the operating system (`lab.storage.disk.Disk`)."""

from collections.abc import Sequence


class HeldFile:
    """One file; several may be open on the same content.  With `forgets`, what is written is dropped."""

    def __init__(self, content: bytearray, *, forgets: bool) -> None:
        self._content = content
        self._forgets = forgets

    def write_at(self, offset: int, buffers: Sequence[bytes]) -> None:
        if not self._forgets:
            data = b"".join(buffers)
            if len(self._content) < offset:
                self._content.extend(bytes(offset - len(self._content)))
            self._content[offset : offset + len(data)] = data

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._content[offset : offset + size])

    def size(self) -> int:
        return len(self._content)

    def regions(self, offset: int) -> list[tuple[int, int]]:
        return [(offset, len(self._content))] if offset < len(self._content) else []

    def allocate(self, size: int) -> None:
        """Memory is there when it is needed."""

    def truncate(self, size: int) -> None:
        del self._content[size:]

    def datasync(self) -> None:
        """Nothing here survives this process, whatever is done."""

    sync = close = datasync


class HeldDisk:
    """Folders are names among the others.  `forgets_logs`: of log segments only their names are kept."""

    def __init__(self, *, forgets_logs: bool = False) -> None:
        self.files: dict[str, bytearray] = {}
        self._forgets_logs = forgets_logs

    def create(self, path: str) -> HeldFile:
        self.files[path] = bytearray()
        return self.open(path)

    def open(self, path: str) -> HeldFile:
        forgets = self._forgets_logs and path.rpartition("/")[2].startswith("log.")
        return HeldFile(self.files[path], forgets=forgets)

    def lock(self, path: str) -> HeldFile:
        return self.create(path)

    def exists(self, path: str) -> bool:
        return path in self.files

    def listdir(self, path: str) -> list[str]:
        inside = (name.removeprefix(f"{path}/") for name in self.files if name.startswith(f"{path}/"))
        return sorted(name for name in inside if "/" not in name)

    def mkdir(self, path: str) -> None:
        self.files[path] = bytearray()

    def unlink(self, path: str) -> None:
        del self.files[path]

    rmdir = unlink

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def sync_dir(self, path: str) -> None:
        """Names are as durable as all the rest."""
