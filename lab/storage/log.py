"""The transaction log of one generation: append, flush, read back, truncate (zab.md 7.2, Z-6, Z-10).

The cost of appending is per batch, not per transaction.  A segment is never reopened for appending: after recovery and
truncation the next batch begins a new one.
"""

from collections.abc import Iterator

from lab.storage.disk import Disk, DiskFile
from lab.storage.errors import CorruptLogError
from lab.storage.frame import (
    BODY_BYTES_MAX,
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    BadFrameError,
    pack_frame_header,
)
from lab.storage.index import Segment
from lab.storage.layout import TMP, log_name
from lab.storage.scan import recover_log
from lab.storage.segment import read_frames
from lab.storage.writer import SegmentWriter
from lab.zab.batches import prefix_batch, split_batch
from lab.zab.constants import NO_ZXID
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid

_COPY_BYTES = 1 << 20


class Log:
    """What is logged in a generation's folder, without a hole: after its oldest snapshot, or after a later `base`."""

    def __init__(
        self, disk: Disk, folder: str, snapshot: Zxid, reach: Zxid = 0, *, fsync: bool, segment_bytes: int
    ) -> None:
        """Recovers what continues the snapshot of this zxid; on return it is durable, whatever `fsync` says (Z-7).

        Raises CorruptLogError, also if the log ends before `reach`.
        """
        self._disk = disk
        self._folder = folder
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._segments, self._runs = recover_log(disk, folder, snapshot, reach)
        self._durable_upto = self._runs.last  # with fsync off it stays behind (Z-6)
        self._writer: SegmentWriter | None = None

    @property
    def base(self) -> Zxid:
        return self._runs.base

    @property
    def last(self) -> Zxid:
        """The greatest zxid held: logged, or the base."""
        return self._runs.last

    def append(self, batch: TxnBatch) -> None:
        """Log a batch, which must follow `last`; in memory until `flush`."""
        assert len(batch.body) <= BODY_BYTES_MAX, (batch.first, len(batch.body))
        writer = self._writer
        if writer is None or not writer.has_room(batch):
            writer = self._begin_segment(batch)
        self._runs.add(batch.first, batch.last)  # asserts that the batch follows (INV-7)
        end = writer.add(batch, self._durable_upto)
        self._segments[-1].add(batch.first, batch.last, end)

    def flush(self) -> None:
        """Make everything appended durable: one write, and with `fsync` one fdatasync."""
        if self._writer is not None and self._durable_upto != self._runs.last:
            self._writer.flush()
            if self._fsync:
                self._durable_upto = self._runs.last

    def _begin_segment(self, batch: TxnBatch) -> SegmentWriter:
        self._end_segment()
        path = f"{self._folder}/{log_name(batch.first)}"
        capacity = max(self._segment_bytes, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + len(batch.body))
        writer = SegmentWriter(self._disk, path, batch.first, self._runs.last, capacity, fsync=self._fsync)
        self._writer = writer
        if self._fsync:  # else a flush could be true of a file that nobody finds
            self._disk.sync_dir(self._folder)
        self._segments.append(Segment(path, batch.first))
        return writer

    def _end_segment(self) -> None:
        if self._writer is not None:
            self.flush()  # a segment begins only when the one before is whole on disk
            self._writer.finish()
            self._writer = None

    def roll(self) -> None:
        """End the segment at the end of the log: so a purge can delete all that a snapshot covers (zab.md 7.2)."""
        self._end_segment()

    def purge(self, upto: Zxid) -> None:
        """Delete the segments that hold nothing after `upto`, oldest first (zab.md 7.6)."""
        ended = len(self._segments) - (self._writer is not None)
        gone = [segment for segment in self._segments[:ended] if segment.last <= upto]
        for segment in gone:
            self._disk.unlink(segment.path)
        if gone:
            self._disk.sync_dir(self._folder)
            self._runs.drop(gone[-1].last)
            del self._segments[: len(gone)]

    def __contains__(self, zxid: Zxid) -> bool:
        """Whether `zxid` is held or the base."""
        return zxid in self._runs

    def truncate(self, zxid: Zxid) -> None:
        """Drop everything after `zxid`, which is held or the base.

        Durable on return.  A crash on the way leaves the old history, the new one, or one between.
        """
        self._end_segment()
        while self._segments and self._segments[-1].first > zxid:
            self._disk.unlink(self._segments[-1].path)
            self._disk.sync_dir(self._folder)  # one by one: a younger file must never outlive an older one
            self._segments.pop()
        if self._segments and self._segments[-1].last > zxid:
            self._cut_segment(self._segments[-1], zxid)
        self._runs.cut(zxid)
        self._durable_upto = min(self._durable_upto, zxid)

    def _cut_segment(self, segment: Segment, zxid: Zxid) -> None:
        """Put the prefix of the segment that ends with `zxid`, which may lie inside a batch, in its place (Z-10)."""
        temporary = segment.path + TMP
        old, new = self._disk.open(segment.path), self._disk.create(temporary)
        try:
            end = _copy_prefix(old, new, segment, zxid)
            new.sync()
        finally:
            old.close()
            new.close()
        self._disk.rename(temporary, segment.path)
        self._disk.sync_dir(self._folder)
        segment.cut(zxid, end)

    def batches(self, after: Zxid, upto: Zxid | None = None) -> Iterator[TxnBatch]:
        """What is held now after `after`, up to and with `upto`; batches are cut where they reach beyond.

        Reads lazily: later appends do not matter, but do not truncate or purge meanwhile.  Raises CorruptLogError.
        """
        upto = self.last if upto is None else min(upto, self.last)
        return self._read(after, upto)

    def _read(self, after: Zxid, upto: Zxid) -> Iterator[TxnBatch]:
        if self._writer is not None:
            self._writer.write()
        for segment in list(self._segments):
            if after < segment.last and after < upto and segment.first <= upto:
                yield from self._read_segment(segment, after, upto)

    def _read_segment(self, segment: Segment, after: Zxid, upto: Zxid) -> Iterator[TxnBatch]:
        last, until = NO_ZXID, min(upto, segment.last)
        file = self._disk.open(segment.path)
        try:
            for _, batch in read_frames(file, segment.offset_before(after)):
                last = batch.last
                if last > after and batch.first <= upto:
                    yield prefix_batch(split_batch(batch, after), upto)
                if last >= until:
                    return
            raise BadFrameError(segment.end, "the frames end too early")
        except BadFrameError as bad:
            raise CorruptLogError(segment.path, bad.offset, bad.reason, max(last, self.base)) from bad
        finally:
            file.close()

    def previous(self, zxid: Zxid) -> Zxid:
        """The greatest zxid held that is <= `zxid`, the base included; NO_ZXID if there is none."""
        return self._runs.previous(zxid)

    def bytes_after(self, zxid: Zxid) -> int:
        """About how much `batches(zxid)` would read."""
        return sum(segment.end - segment.offset_before(zxid) for segment in self._segments if segment.last > zxid)

    def runs(self) -> list[tuple[Zxid, Zxid]]:
        return self._runs.as_list()

    def close(self) -> None:
        """Let go of the files; what was not flushed may be lost."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _copy_prefix(old: DiskFile, new: DiskFile, segment: Segment, zxid: Zxid) -> int:
    """Copy `old` up to the frame that holds `zxid`, and that one as far as `zxid`; returns the length of the copy."""
    try:
        frame, batch = next(pair for pair in read_frames(old, segment.offset_before(zxid)) if pair[0].last >= zxid)
    except BadFrameError as bad:
        raise CorruptLogError(segment.path, bad.offset, bad.reason, segment.first) from bad
    for start in range(0, frame.offset, _COPY_BYTES):
        new.write_at(start, [old.read_at(start, min(_COPY_BYTES, frame.offset - start))])
    kept = prefix_batch(batch, zxid)
    new.write_at(frame.offset, [pack_frame_header(kept, frame.offset, frame.durable_upto), kept.body])
    return frame.offset + FRAME_HEADER_BYTES + len(kept.body)
