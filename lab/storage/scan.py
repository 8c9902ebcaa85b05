"""What a log holds after a crash: find its intact end, tell a torn tail from corruption, cut the tail (Z-6, Z-7)."""

from collections.abc import Sequence

import msgspec

from lab.storage.disk import Disk
from lab.storage.errors import CorruptLogError
from lab.storage.frame import SEGMENT_HEADER_BYTES, BadFrameError, unpack_segment_header
from lab.storage.index import Runs, Segment
from lab.storage.layout import labelled
from lab.storage.segment import read_frames, search_frames
from lab.zab.constants import NO_ZXID
from lab.zab.zxid import Zxid, follows, show


class _Stop(msgspec.Struct, frozen=True):
    """Where the chain of frames ends, and why."""

    file: int  # which file of the list
    offset: int
    reason: str


def recover_log(disk: Disk, folder: str, base: Zxid) -> tuple[list[Segment], Runs]:
    """The log of one generation, whose snapshot is of `base`; its torn tail is cut and all of it is durable on return.

    Raises CorruptLogError, having touched nothing, if something behind the intact part had been flushed.
    """
    files = [(zxid, f"{folder}/{name}") for zxid, name in labelled(disk.listdir(folder), "log")]
    runs = Runs(base)
    segments, stop = _follow_chain(disk, files, runs)
    _refuse_if_flushed_behind(disk, files, stop, runs.last)
    _cut_tail(disk, folder, files, segments)
    return segments, runs


def _follow_chain(disk: Disk, files: Sequence[tuple[Zxid, str]], runs: Runs) -> tuple[list[Segment], _Stop]:
    """The segments whose frames continue each other without a hole, which extend `runs`, and what ended the chain."""
    segments: list[Segment] = []
    stop = _Stop(0, 0, "no log")
    for number, (first, path) in enumerate(files):
        segment = Segment(path, first)
        try:
            previous = _scan_segment(disk, segment, runs)
            reason = "zeros where a frame should be"
        except BadFrameError as bad:
            previous, reason = runs.last, bad.reason
            if segment.last == NO_ZXID:
                return segments, _Stop(number, bad.offset, reason)
        if previous > runs.last:  # the tail of the file before is missing: that is where the chain broke
            return segments, stop
        if segment.last == NO_ZXID:
            return segments, _Stop(number, SEGMENT_HEADER_BYTES, reason)
        segments.append(segment)
        stop = _Stop(number, segment.end, reason)
    return segments, stop


def _scan_segment(disk: Disk, segment: Segment, runs: Runs) -> Zxid:
    """Add the frames that continue `runs` to it and to `segment`; returns the zxid that the segment continues.

    Raises BadFrameError where something else than blank space follows the last of them.
    """
    file = disk.open(segment.path)
    try:
        previous = unpack_segment_header(file.read_at(0, SEGMENT_HEADER_BYTES), segment.path, segment.first)
        if previous > runs.last:
            return previous
        if previous < runs.last:
            raise BadFrameError(0, f"segment continues {show(previous)}, not {show(runs.last)}")
        for frame, _ in read_frames(file, SEGMENT_HEADER_BYTES):
            if not follows(frame.first, runs.last):
                raise BadFrameError(frame.offset, f"{show(frame.first)} does not follow {show(runs.last)}")
            runs.add(frame.first, frame.last)
            segment.add(frame.first, frame.last, frame.end)
    finally:
        file.close()
    return previous


def _refuse_if_flushed_behind(disk: Disk, files: Sequence[tuple[Zxid, str]], stop: _Stop, last: Zxid) -> None:
    """Z-6: a frame behind the stop that was written after a flush past `last` proves that flushed ones are lost."""
    for number in range(stop.file, len(files)):
        file = disk.open(files[number][1])
        try:
            start = stop.offset if number == stop.file else 0
            proof = next((frame for frame in search_frames(file, start) if frame.durable_upto > last), None)
        finally:
            file.close()
        if proof is not None:
            reason = f"{stop.reason}, but {show(proof.durable_upto)} had been flushed"
            raise CorruptLogError(files[stop.file][1], stop.offset, reason, last)


def _cut_tail(disk: Disk, folder: str, files: Sequence[tuple[Zxid, str]], segments: Sequence[Segment]) -> None:
    """Delete the files behind the last segment, newest first, cut that segment after its last frame, flush all."""
    for _, path in reversed(files[len(segments) :]):
        disk.unlink(path)
        disk.sync_dir(folder)
    for segment in segments:
        file = disk.open(segment.path)
        try:
            if file.size() > segment.end:
                file.truncate(segment.end)
            file.sync()
        finally:
            file.close()
    disk.sync_dir(folder)
