"""What a load process sent and got, kept raw while it measures and turned into a History afterwards.

While measuring, a batch that was sent costs four appends and a frame that arrived three.  Replies of a session come in
the order of its requests, so frames and batches are matched by counting; the numbers in the decoded replies must agree.

Reads beyond a limit are sampled: one frame in SAMPLE_EVERY is kept whole, of the others the replies to reads are
dropped.  Such reads are counted and timed, but have no zxid in the history, and nobody checks their value.
"""

from array import array
from collections.abc import Iterator, Sequence
from enum import IntEnum

from lab.client.history import History, Kind, Outcome
from lab.targets.opening import Sessions
from workloads import Generator

SAMPLE_EVERY = 16
READ_BYTES_MAX = 256 << 20  # of frames with reads that are kept whole

_ANSWERED = ("done_ns", "outcome", "zxid", "mzxid", "writer", "writer_cxid", "version", "intact")


class Part(IntEnum):
    """Where in a run a batch was sent."""

    SETUP = 0  # creates: keys in order, after the parents
    SYNC = 1  # not in the history
    LOAD = 2


class ReplyMismatchError(Exception):
    """A server answered another request than the oldest outstanding one."""


class _Log:
    """One session's batches and arrivals."""

    def __init__(self) -> None:
        self.arrived_ns = array("q")
        self.counts = array("q")
        self.frames: list[bytes | None] = []  # None: lost


class Recorder:
    """All operations of one client."""

    def __init__(self, sessions: Sessions, client: int, read_share: float, reads_checked_max: int) -> None:
        """`read_share`: of all operations; 0 means that there is nothing to sample."""
        self._sessions, self.client = sessions, client
        self._logs = [_Log() for _ in sessions.ids]
        self.session = array("q")  # of each batch, in the order of sending; so are the next four
        self.first = array("q")
        self.count = array("q")
        self.sent_ns = array("q")
        self.part = array("q")
        self._read_share, self._whole_left, self._bytes_left = read_share, float(reads_checked_max), READ_BYTES_MAX
        self._frame = 0

    def sent(self, session: int, first: int, count: int, sent_ns: int, part: Part) -> None:
        self.session.append(session)
        self.first.append(first)
        self.count.append(count)
        self.sent_ns.append(sent_ns)
        self.part.append(part)

    def arrived(self, session: int, frame: bytes | None, count: int, now_ns: int) -> None:
        log = self._logs[session]
        if self._read_share and frame is not None:
            frame = self._sampled(frame, count)
        log.arrived_ns.append(now_ns)
        log.counts.append(count)
        log.frames.append(frame)

    def _sampled(self, frame: bytes, count: int) -> bytes:
        if self._whole_left > 0 and self._bytes_left > 0:
            self._whole_left -= count * self._read_share
            self._bytes_left -= len(frame)
            return frame
        self._frame += 1
        return frame if self._frame % SAMPLE_EVERY == 0 else self._sessions.without_reads(frame)

    # -- afterwards

    def history(self, generator: Generator, intended_ns: Sequence[int] | None) -> History:
        """Decode everything.  `intended_ns`: for the operations of Part.LOAD, if they were to be sent at given times.

        Raises ReplyMismatchError.
        """
        answered = [self._answered(index, generator) for index in range(len(self._logs))]
        taken, intended_taken = [0] * len(self._logs), 0
        history = History(self.client, self._sessions.ids)
        columns = history.columns
        for session, first, count, sent_ns, part in self._batches():
            begin, end = taken[session], taken[session] + count
            taken[session] = end
            if part == Part.SYNC:
                continue
            for name in _ANSWERED:
                columns[name].extend(answered[session][name][begin:end])
            columns["session"].extend([session] * count)
            columns["cxid"].extend(range(first, first + count))
            if part == Part.SETUP:
                columns["kind"].extend([Kind.WRITE] * count)
                columns["key"].extend(_setup_keys(generator, first, count))
            else:
                columns["kind"].extend(generator.kinds(first, count))
                columns["key"].extend(generator.keys(first, count))
            if intended_ns is not None and part == Part.LOAD:
                columns["sent_ns"].extend(intended_ns[intended_taken : intended_taken + count])
                intended_taken += count
            else:
                columns["sent_ns"].extend([sent_ns] * count)
        return history

    def _batches(self) -> Iterator[tuple[int, int, int, int, int]]:
        return zip(self.session, self.first, self.count, self.sent_ns, self.part, strict=True)

    def _answered(self, session: int, generator: Generator) -> "dict[str, array[int]]":
        """The columns that answers decide, for everything sent in one session, in that order."""
        columns = {name: array("q") for name in _ANSWERED}
        cxids = self._cxids(session)
        log, begin = self._logs[session], 0
        for now_ns, count, frame in zip(log.arrived_ns, log.counts, log.frames, strict=True):
            if frame is None:
                _add_unknown(columns, count)
            else:
                self._add_answers(columns, frame, cxids[begin : begin + count], now_ns, generator)
            begin += count
        _add_unknown(columns, len(cxids) - begin)
        return columns

    def _cxids(self, session: int) -> "array[int]":
        cxids = array("q")
        for its_session, first, count, _, _ in self._batches():
            if its_session == session:
                cxids.extend(range(first, first + count))
        return cxids

    def _add_answers(
        self, columns: "dict[str, array[int]]", frame: bytes, cxids: "array[int]", now_ns: int, generator: Generator
    ) -> None:
        answers, count = self._sessions.decode(frame), len(cxids)
        columns["done_ns"].extend([now_ns] * count)
        if len(answers.cxids) != count:
            self._add_sampled(columns, frame, cxids)
            return
        if array("q", answers.cxids) != cxids:
            raise ReplyMismatchError(f"replies to {list(answers.cxids)[:9]}, outstanding were {cxids.tolist()[:9]}")
        columns["outcome"].extend(answers.outcomes)
        columns["zxid"].extend(answers.zxids)
        columns["version"].extend(answers.versions)
        columns["mzxid"].extend(answers.mzxids)
        values = answers.values
        if not any(value is not None for value in values):
            for name in ("writer", "writer_cxid", "intact"):
                columns[name].extend([-1] * count)
            return
        for value in values:
            writer, writer_cxid, intact = (-1, -1, -1) if value is None else _examined(generator, value)
            columns["writer"].append(writer)
            columns["writer_cxid"].append(writer_cxid)
            columns["intact"].append(intact)

    def _add_sampled(self, columns: "dict[str, array[int]]", frame: bytes, cxids: "array[int]") -> None:
        """A frame whose replies to reads were dropped: what it does not mention are reads that were answered."""
        answers = self._sessions.decode(frame)
        said = zip(answers.outcomes, answers.zxids, answers.versions, strict=True)
        mentioned = dict(zip(answers.cxids, said, strict=True))
        rows = [mentioned.pop(cxid, (Outcome.ACKNOWLEDGED, -1, -1)) for cxid in cxids]
        if mentioned:
            raise ReplyMismatchError(f"replies to {sorted(mentioned)[:9]}, which were not outstanding")
        for name, column in zip(("outcome", "zxid", "version"), zip(*rows, strict=True), strict=True):
            columns[name].extend(column)
        for name in ("mzxid", "writer", "writer_cxid", "intact"):
            columns[name].extend([-1] * len(cxids))


def _examined(generator: Generator, value: bytes) -> tuple[int, int, int]:
    """(writer, its cxid, whether the value is exactly what it wrote)."""
    writer = generator.writer(value)
    if writer is None:
        return -1, -1, 0
    return *writer, int(generator.is_intact(value, *writer))


def _add_unknown(columns: "dict[str, array[int]]", count: int) -> None:
    columns["done_ns"].extend([0] * count)
    columns["outcome"].extend([Outcome.UNKNOWN] * count)
    for name in ("zxid", "mzxid", "writer", "writer_cxid", "version", "intact"):
        columns[name].extend([-1] * count)


def _setup_keys(generator: Generator, first: int, count: int) -> range:
    """Keys of creates; a parent's is negative.  The set-up's requests are numbered from 1, parents first."""
    shift = 1 + len(generator.parents)
    return range(first - shift, first - shift + count)
