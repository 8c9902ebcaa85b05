"""Writing one log segment: frames gather in memory, one positioned write and one fdatasync make them durable."""

from lab.storage.disk import Disk
from lab.storage.frame import FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, pack_frame_header, pack_segment_header
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid

PENDING_BYTES_MAX = 8 << 20  # gathered frames are written, though not flushed, beyond this

# Zeros written ahead of the frames.  Reserved blocks are "unwritten" extents on ext4 and XFS: the first write to each
# makes fdatasync commit the journal.  34 KB per flush on ext4: 215 us without zeros, 150 us with (p50 200 and 118 us);
# steps of 4 MiB and a whole segment at once win no more and stall one flush for 10 to 30 ms.
_ZEROS = bytes(512 << 10)


class SegmentWriter:
    """The segment at the end of the log; it is given frames only in order.

    With `fsync` false nothing here is ever made durable.
    """

    def __init__(self, disk: Disk, path: str, first: Zxid, previous: Zxid, capacity: int, *, fsync: bool) -> None:
        """Make the file, in which `capacity` bytes are reserved; its name is not durable yet."""
        self.path = path
        self.end = SEGMENT_HEADER_BYTES  # where the next frame goes
        self._capacity = capacity
        self._fsync = fsync
        self._zeroed_upto = 0
        self._written_upto = 0
        self._pending = [pack_segment_header(first, previous)]
        self._file = disk.create(path)
        try:
            self._file.allocate(capacity)
        except BaseException:
            self._file.close()
            raise

    def has_room(self, batch: TxnBatch) -> bool:
        return self.end + FRAME_HEADER_BYTES + len(batch.body) <= self._capacity

    def add(self, batch: TxnBatch, durable_upto: Zxid) -> int:
        """Gather a frame; returns where the next one goes."""
        self._pending.append(pack_frame_header(batch, self.end, durable_upto))
        self._pending.append(batch.body)
        self.end += FRAME_HEADER_BYTES + len(batch.body)
        if self.end - self._written_upto > PENDING_BYTES_MAX:
            self.write()
        return self.end

    def write(self) -> None:
        """Hand what has gathered to the operating system: it survives this process, no power cut."""
        if not self._pending:
            return
        if self._fsync and self.end > self._zeroed_upto:
            self._zero_ahead()
        self._file.write_at(self._written_upto, self._pending)
        self._written_upto = self.end
        self._pending = []

    def _zero_ahead(self) -> None:
        start = max(self._zeroed_upto, self.end)  # what this very write covers needs no zeros
        stop = min(start + len(_ZEROS), self._capacity)
        if start < stop:
            self._file.write_at(start, [_ZEROS[: stop - start]])
        self._zeroed_upto = max(stop, self.end)

    def flush(self) -> None:
        """Write, and with `fsync` make durable."""
        self.write()
        if self._fsync:
            self._file.datasync()

    def finish(self) -> None:
        """Write what has gathered, give back unused space and close; durable only after a `flush` before."""
        self.write()
        self._file.truncate(self.end)
        self._file.close()

    def close(self) -> None:
        """Let go of the file; what has gathered is dropped."""
        self._pending = []
        self._file.close()
