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


class _Chain(msgspec.Struct, frozen=True):
    """Segments whose frames continue each other without a hole, from `files[start]` on, and what ended the chain."""

    start: int
    segments: list[Segment]
    runs: Runs
    stop: _Stop


def recover_log(disk: Disk, folder: str, base: Zxid, reach: Zxid = 0) -> tuple[list[Segment], Runs]:
    """The log of one generation that holds `base`, the zxid of a snapshot, and continues it without a hole.

    It may begin before `base`: the runs' own base is the zxid before its first.  The torn tail is cut, what lies before
    a hole below `base` goes, too, and all of it is durable on return.

    Raises CorruptLogError, having touched nothing, if something behind the intact part had been flushed, or if the log
    ends before `reach`, up to which the history is known to have been.
    """
    files = [(zxid, f"{folder}/{name}") for zxid, name in labelled(disk.listdir(folder), "log")]
    chain = _chain_that_holds(disk, files, base)
    last, stop = chain.runs.last, chain.stop
    if last < reach:
        where = files[stop.file][1] if stop.file < len(files) else folder
        raise CorruptLogError(where, stop.offset, f"{stop.reason}, but there was a snapshot of {show(reach)}", last)
    _refuse_if_flushed_behind(disk, files, chain)
    _cut_to(disk, folder, files, chain)
    return chain.segments, chain.runs


def _chain_that_holds(disk: Disk, files: Sequence[tuple[Zxid, str]], base: Zxid) -> _Chain:
    """The first chain that holds `base`; an empty one that begins with it if there is none.

    A chain that ends before `base` is of no use for recovery: an interrupted purge left it, or, after a power cut,
    transactions that were never flushed are missing from it, which the snapshot has.
    """
    start, stop = 0, _Stop(0, 0, "no log")
    while start < len(files):
        read = 0
        try:
            previous = _previous_of(disk, *files[start])
        except BadFrameError as bad:
            stop = _Stop(start, bad.offset, bad.reason)
        else:
            if previous <= base:
                chain = _follow_chain(disk, files, start, previous)
                if base in chain.runs:
                    return chain
                stop, read = chain.stop, len(chain.segments)
        start += max(read, 1)
    return _Chain(0, [], Runs(base), stop)


def _previous_of(disk: Disk, first: Zxid, path: str) -> Zxid:
    """The zxid that a segment continues.  Raises BadFrameError."""
    file = disk.open(path)
    try:
        return unpack_segment_header(file.read_at(0, SEGMENT_HEADER_BYTES), path, first)
    finally:
        file.close()


def _follow_chain(disk: Disk, files: Sequence[tuple[Zxid, str]], start: int, base: Zxid) -> _Chain:
    """The chain from `files[start]` on, which continues `base`."""
    segments, runs = list[Segment](), Runs(base)
    stop = _Stop(start, 0, "no log")
    for number in range(start, len(files)):
        first, path = files[number]
        segment = Segment(path, first)
        try:
            previous = _scan_segment(disk, segment, runs)
            reason = "zeros where a frame should be"
        except BadFrameError as bad:
            previous, reason = runs.last, bad.reason
            if segment.last == NO_ZXID:
                stop = _Stop(number, bad.offset, reason)
                break
        if previous > runs.last:  # the tail of the file before is missing: that is where the chain broke
            break
        if segment.last == NO_ZXID:
            stop = _Stop(number, SEGMENT_HEADER_BYTES, reason)
            break
        segments.append(segment)
        stop = _Stop(number, segment.end, reason)
    return _Chain(start, segments, runs, stop)


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


def _refuse_if_flushed_behind(disk: Disk, files: Sequence[tuple[Zxid, str]], chain: _Chain) -> None:
    """Z-6: a frame outside the chain that was written after a flush past its end proves that flushed ones are lost."""
    last, stop = chain.runs.last, chain.stop
    whole = {segment.path for segment in chain.segments[:-1]}
    ends = {segment.path: segment.end for segment in chain.segments[-1:]}
    for path in [path for _, path in files if path not in whole]:
        file = disk.open(path)
        try:
            start = ends.get(path, 0)
            proof = next((frame for frame in search_frames(file, start) if frame.durable_upto > last), None)
        finally:
            file.close()
        if proof is not None:
            reason = f"{stop.reason}, but {show(proof.durable_upto)} had been flushed"
            raise CorruptLogError(files[stop.file][1], stop.offset, reason, last)


def _cut_to(disk: Disk, folder: str, files: Sequence[tuple[Zxid, str]], chain: _Chain) -> None:
    """Delete the files behind the chain, newest first, and before it, cut its last segment after its last frame, flush.

    A power cut in between leaves what recovers to the same chain.
    """
    for _, path in reversed(files[chain.start + len(chain.segments) :]):
        disk.unlink(path)
        disk.sync_dir(folder)
    for _, path in files[: chain.start]:
        disk.unlink(path)
    for segment in chain.segments:
        file = disk.open(segment.path)
        try:
            if file.size() > segment.end:
                file.truncate(segment.end)
            file.sync()
        finally:
            file.close()
    disk.sync_dir(folder)
