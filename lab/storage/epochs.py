"""acceptedEpoch and currentEpoch: the promises of a voter (zab.md 1.3, 7.1)."""

from lab.storage.disk import Disk, read_file, replace_file
from lab.storage.errors import DataFolderError
from lab.storage.layout import TMP
from lab.storage.line import LINE_BYTES_MAX, open_line, seal_line
from lab.zab.constants import EPOCH_MAX
from lab.zab.zxid import Epoch


def save_epoch(disk: Disk, data_dir: str, name: str, epoch: Epoch) -> None:
    """Durable on return; a crash leaves the old or the new epoch."""
    assert 0 <= epoch <= EPOCH_MAX, epoch
    replace_file(disk, data_dir, name, seal_line(name, str(epoch)))


def load_epoch(disk: Disk, data_dir: str, name: str) -> Epoch:
    """0 if it was never saved.  Raises DataFolderError, naming the file, for anything but an epoch.

    A whole `.tmp` is adopted where the file itself is missing, else it is dropped: nobody was ever told of its content,
    and what it was written after is durable.
    """
    path = f"{data_dir}/{name}"
    temporary = path + TMP
    if disk.exists(temporary):
        content = read_file(disk, temporary, LINE_BYTES_MAX)
        if not disk.exists(path) and _parse(name, content) is not None:
            replace_file(disk, data_dir, name, content)
        else:
            disk.unlink(temporary)
            disk.sync_dir(data_dir)
    if not disk.exists(path):
        return 0
    content = read_file(disk, path, LINE_BYTES_MAX)
    epoch = _parse(name, content)
    if epoch is None:
        raise DataFolderError(path, f"holds {content!r}, not an epoch with its checksum")
    return epoch


def _parse(name: str, content: bytes) -> Epoch | None:
    value = open_line(name, content)
    return int(value) if value is not None and value.isdecimal() and int(value) <= EPOCH_MAX else None
