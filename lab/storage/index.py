"""What the log holds, in memory: its segments, and the runs of contiguous zxids."""

from bisect import bisect_right

from lab.storage.frame import SEGMENT_HEADER_BYTES
from lab.zab.constants import NO_ZXID
from lab.zab.zxid import Zxid, follows

_MARK_BYTES = 256 << 10  # a mark every so often: what reading from the middle of a segment may have to skip


class Segment:
    """One segment: what it holds and, coarsely, where."""

    def __init__(self, path: str, first: Zxid) -> None:
        self.path = path
        self.first = first
        self.last: Zxid = NO_ZXID
        self.end = SEGMENT_HEADER_BYTES
        self._marks = [(first, SEGMENT_HEADER_BYTES)]  # (first zxid, offset) of some frames, ascending

    def add(self, first: Zxid, last: Zxid, end: int) -> None:
        """A frame was added at the old `end`."""
        if self.end - self._marks[-1][1] >= _MARK_BYTES:
            self._marks.append((first, self.end))
        self.last = last
        self.end = end

    def cut(self, last: Zxid, end: int) -> None:
        """Everything after `last`, which is in here, is gone."""
        self.last = last
        self.end = end
        while len(self._marks) > 1 and self._marks[-1][0] > last:
            self._marks.pop()

    def offset_before(self, zxid: Zxid) -> int:
        """Offset of some frame that starts at or before `zxid`, or of the first one."""
        return self._marks[max(bisect_right(self._marks, zxid, key=_first) - 1, 0)][1]


def _first(mark: tuple[Zxid, int]) -> Zxid:
    return mark[0]


class Runs:
    """The zxids of a history: its base, then runs without a hole, one an epoch."""

    def __init__(self, base: Zxid) -> None:
        self.base = base
        self.last = base
        self._firsts: list[Zxid] = []
        self._lasts: list[Zxid] = []

    def add(self, first: Zxid, last: Zxid) -> None:
        assert follows(first, self.last), (first, self.last)
        if self._lasts and first == self.last + 1:
            self._lasts[-1] = last
        else:
            self._firsts.append(first)
            self._lasts.append(last)
        self.last = last

    def cut(self, last: Zxid) -> None:
        """Forget everything after `last`, which is held."""
        assert last in self, (last, self.base, self.last)
        while self._firsts and self._firsts[-1] > last:
            self._firsts.pop()
            self._lasts.pop()
        if self._lasts:
            self._lasts[-1] = last
        self.last = last

    def drop(self, upto: Zxid) -> None:
        """Forget everything up to `upto`, which is held and becomes the base."""
        assert upto in self, (upto, self.base, self.last)
        while self._lasts and self._lasts[0] <= upto:
            del self._firsts[0], self._lasts[0]
        if self._firsts and self._firsts[0] <= upto:
            self._firsts[0] = upto + 1
        self.base = upto

    def __contains__(self, zxid: Zxid) -> bool:
        return self.previous(zxid) == zxid

    def previous(self, zxid: Zxid) -> Zxid:
        """The greatest zxid held that is <= `zxid`, the base included; NO_ZXID if `zxid` lies before the base."""
        at = bisect_right(self._firsts, zxid) - 1
        if at >= 0:
            return min(zxid, self._lasts[at])
        return self.base if zxid >= self.base else NO_ZXID

    def as_list(self) -> list[tuple[Zxid, Zxid]]:
        """(first, last) of each run, after (0, base) for what the snapshot covers; empty if there is no history."""
        runs = list(zip(self._firsts, self._lasts, strict=True))
        return [(0, self.base), *runs] if self.base != NO_ZXID else runs
