"""What a load process sent and got, kept raw while it measures and turned into a History afterwards.

While measuring, a batch that was sent costs four appends and a frame that arrived three.  Replies of a session come in
the order of its requests, so frames and batches are matched by counting; the numbers in the decoded replies must agree.

Reads beyond a limit are sampled: one frame in SAMPLE_EVERY is kept whole, of the others the replies to reads are
dropped.  Such reads are counted and timed, but have no zxid in the history, and nobody checks their value.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from lab.bench.handover import write_history
from lab.client.history import History, Kind, Outcome
from lab.targets.opening import Answers
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


class Decoding(Protocol):
    """What a recorder needs of sessions (`lab.targets.opening.Sessions`)."""

    @property
    def ids(self) -> list[int]: ...

    def decode(self, frame: bytes) -> Answers: ...

    def without_reads(self, frame: bytes) -> bytes: ...


class Intended(Protocol):
    """What a schedule says about operations that were sent (`lab.bench.schedule.Schedule`)."""

    @property
    def intended_ns(self) -> "array[int]": ...

    @property
    def held_ns(self) -> "array[int]": ...


class Sampler:
    """Lets frames of replies pass as long as there are few reads, then drops most reads from them."""

    def __init__(self, sessions: Decoding, read_share: float, reads_checked_max: int) -> None:
        """`read_share`: of all operations; 0 means that there is nothing to sample."""
        self._sessions = sessions
        self._read_share, self._whole_left, self._bytes_left = read_share, float(reads_checked_max), READ_BYTES_MAX
        self._frame = 0

    def sampled(self, frame: bytes | None, count: int) -> bytes | None:
        if frame is None or not self._read_share:
            return frame
        if self._whole_left > 0 and self._bytes_left > 0:
            self._whole_left -= count * self._read_share
            self._bytes_left -= len(frame)
            return frame
        self._frame += 1
        return frame if self._frame % SAMPLE_EVERY == 0 else self._sessions.without_reads(frame)


class _Log:
    """One session's batches and arrivals."""

    def __init__(self) -> None:
        self.arrived_ns = array("q")
        self.counts = array("q")
        self.frames: list[bytes | None] = []  # None: lost


class Recorder:
    """All operations of one client."""

    def __init__(self, sessions: Decoding, client: int, read_share: float, reads_checked_max: int) -> None:
        """As `Sampler`."""
        self._sessions, self.client = sessions, client
        self._logs = [_Log() for _ in sessions.ids]
        self.session = array("q")  # of each batch, in the order of sending; so are the next four
        self.first = array("q")
        self.count = array("q")
        self.sent_ns = array("q")
        self.part = array("q")
        self._sampled = Sampler(sessions, read_share, reads_checked_max).sampled if read_share else None

    def sent(self, session: int, first: int, count: int, sent_ns: int, part: Part) -> None:
        self.session.append(session)
        self.first.append(first)
        self.count.append(count)
        self.sent_ns.append(sent_ns)
        self.part.append(part)

    def unsent(self) -> None:
        """The last batch was not sent after all."""
        for column in (self.session, self.first, self.count, self.sent_ns, self.part):
            column.pop()

    def arrived(self, session: int, frame: bytes | None, count: int, now_ns: int) -> None:
        log = self._logs[session]
        if self._sampled is not None:
            frame = self._sampled(frame, count)
        log.arrived_ns.append(now_ns)
        log.counts.append(count)
        log.frames.append(frame)

    # -- afterwards

    def finish(self, generator: Generator, intended: Intended | None, path: Path) -> int:
        """Write the history to `path`; returns how many operations it holds.  As `history`; HandoverError."""
        history = self.history(generator, intended)
        write_history(history, path)
        return len(history)

    def history(self, generator: Generator, intended: Intended | None) -> History:
        """Decode everything, once: the frames are gone afterwards.

        `intended`: of the operations of Part.LOAD, if they were to be sent at given times.  Costs 0.5 us of CPU a
        write and 1.5 us a checked read.  Raises ReplyMismatchError.
        """
        answered = [self._answered(index, generator) for index in range(len(self._logs))]
        history = History(self.client, self._sessions.ids, open_loop=intended is not None)
        columns = history.columns
        for name in _ANSWERED:
            self._order(columns[name], [by_name.pop(name) for by_name in answered])  # popped: they are large
        self._add_requests(columns, generator)
        if intended is None:
            columns["sent_ns"].extend(self._actual_ns())
        else:
            self._add_intended(columns, intended)
        return history

    def _order(self, column: "array[int]", by_session: "list[array[int]]") -> None:
        """Merge a column of each session into one in the order of sending."""
        taken = [0] * len(by_session)
        for session, count, part in zip(self.session, self.count, self.part, strict=True):
            begin = taken[session]
            taken[session] = begin + count
            if part != Part.SYNC:
                column.extend(by_session[session][begin : begin + count])

    def _add_requests(self, columns: "dict[str, array[int]]", generator: Generator) -> None:
        """The columns that are known without an answer, less the times."""
        for session, first, count, _, part in self._batches():
            if part == Part.SYNC:
                continue
            columns["session"].extend(_constant(session, count))
            columns["cxid"].extend(array("q", range(first, first + count)))
            if part == Part.SETUP:
                columns["kind"].extend(_constant(Kind.WRITE, count))
                columns["key"].extend(_setup_keys(generator, first, count))
            else:
                columns["kind"].extend(generator.kinds(first, count))
                columns["key"].extend(generator.keys(first, count))

    def _actual_ns(self) -> "array[int]":
        """When each operation was sent."""
        column = array("q")
        for _, _, count, sent_ns, part in self._batches():
            if part != Part.SYNC:
                column.extend(_constant(sent_ns, count))
        return column

    def _add_intended(self, columns: "dict[str, array[int]]", intended: Intended) -> None:
        """The times of an open loop.  The set-up's operations were meant to be sent when they were."""
        actual = columns["actual_ns"] = self._actual_ns()
        held, before = columns["held_ns"], len(actual) - len(intended.intended_ns)
        columns["sent_ns"].extend(actual[:before])
        columns["sent_ns"].extend(intended.intended_ns)
        held.extend(_constant(0, before))
        batches = [count for _, _, count, _, part in self._batches() if part == Part.LOAD]
        for count, held_ns in zip(batches, intended.held_ns, strict=True):
            held.extend(_constant(held_ns, count))

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
        log.frames.clear()
        _add_unknown(columns, len(cxids) - begin)
        return columns

    def _cxids(self, session: int) -> "array[int]":
        cxids = array("q")
        for its_session, first, count, _, _ in self._batches():
            if its_session == session:
                cxids.extend(array("q", range(first, first + count)))
        return cxids

    def _add_answers(
        self, columns: "dict[str, array[int]]", frame: bytes, cxids: "array[int]", now_ns: int, generator: Generator
    ) -> None:
        answers, count = self._sessions.decode(frame), len(cxids)
        columns["done_ns"].extend(_constant(now_ns, count))
        if len(answers.cxids) != count:
            _add_sampled(columns, answers, cxids)
            return
        if array("q", answers.cxids) != cxids:
            raise ReplyMismatchError(f"replies to {list(answers.cxids)[:9]}, outstanding were {cxids.tolist()[:9]}")
        columns["outcome"].extend(answers.outcomes)
        columns["zxid"].extend(answers.zxids)
        columns["version"].extend(answers.versions)
        columns["mzxid"].extend(answers.mzxids)
        values = answers.values
        if values.count(None) == count:
            for name in ("writer", "writer_cxid", "intact"):
                columns[name].extend(_constant(-1, count))
            return
        for value in values:
            writer, writer_cxid, intact = (-1, -1, -1) if value is None else _examined(generator, value)
            columns["writer"].append(writer)
            columns["writer_cxid"].append(writer_cxid)
            columns["intact"].append(intact)


def _add_sampled(columns: "dict[str, array[int]]", answers: Answers, cxids: "array[int]") -> None:
    """A frame whose replies to reads were dropped: what it does not mention are reads that were answered."""
    said = zip(answers.outcomes, answers.zxids, answers.versions, strict=True)
    mentioned = dict(zip(answers.cxids, said, strict=True))
    for name, column in zip(("outcome", "zxid", "version"), _merged(mentioned, cxids), strict=True):
        columns[name].extend(column)
    if mentioned:
        raise ReplyMismatchError(f"replies to {sorted(mentioned)[:9]}, which were not outstanding")
    for name in ("mzxid", "writer", "writer_cxid", "intact"):
        columns[name].extend(_constant(-1, len(cxids)))


def _merged(mentioned: dict[int, tuple[int, int, int]], cxids: "array[int]") -> "Iterable[Sequence[int]]":
    """Outcomes, zxids and versions of all of `cxids`; takes those that are mentioned out of `mentioned`."""
    unsaid = (Outcome.ACKNOWLEDGED, -1, -1)
    if not mentioned:
        return [_constant(value, len(cxids)) for value in unsaid]
    return zip(*[mentioned.pop(cxid, unsaid) for cxid in cxids], strict=True)


def _constant(value: int, count: int) -> "array[int]":
    """A column of one value; copied in one piece, where a list would be converted number by number."""
    return array("q", (value,)) * count


def _examined(generator: Generator, value: bytes) -> tuple[int, int, int]:
    """(writer, its cxid, whether the value is exactly what it wrote)."""
    writer = generator.writer(value)
    if writer is None:
        return -1, -1, 0
    return *writer, int(generator.is_intact(value, *writer))


def _add_unknown(columns: "dict[str, array[int]]", count: int) -> None:
    columns["done_ns"].extend(_constant(0, count))
    columns["outcome"].extend(_constant(Outcome.UNKNOWN, count))
    for name in ("zxid", "mzxid", "writer", "writer_cxid", "version", "intact"):
        columns[name].extend(_constant(-1, count))


def _setup_keys(generator: Generator, first: int, count: int) -> range:
    """Keys of creates; a parent's is negative.  The set-up's requests are numbered from 1, parents first."""
    shift = 1 + len(generator.parents)
    return range(first - shift, first - shift + count)
