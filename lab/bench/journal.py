"""What a load process sends and gets, noted as it happens in a file that outlives its kill.

A note is one write, made before the requests that it speaks of leave, so that whatever reached a server is known: what
the operating system was handed survives SIGKILL.  Only the last note can be torn; its requests were not sent.  What
was sent and has no answer in the journal is of unknown outcome, whether the answer never came or was never noted.
"""

import errno
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from lab.bench.handover import HandoverError
from lab.bench.recorder import Decoding, Intended, Part, Recorder, Sampler
from lab.client.history import History
from lab.targets.opening import Answers
from workloads import Generator

_LENGTH = struct.Struct("<I")


class _Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class _Began(_Note, tag=0, frozen=True, gc=False):
    client: int
    sessions: list[int]


class _Sent(_Note, tag=1, frozen=True, gc=False):
    session: int
    first: int
    count: int
    sent_ns: int
    part: int


class _Unsent(_Note, tag=2, frozen=True, gc=False):
    """The batch noted last was not sent after all."""


class _Arrived(_Note, tag=3, frozen=True, gc=False):
    session: int
    count: int
    now_ns: int
    frame: bytes | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Began | _Sent | _Unsent | _Arrived).decode


class Journal:
    """Takes the place of a `Recorder` in a load process, and keeps nothing in memory.  Raises HandoverError."""

    def __init__(self, path: Path, client: int, sessions: Decoding, read_share: float, reads_checked_max: int) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HandoverError(path, error) from error
        self._sampler = Sampler(sessions, read_share, reads_checked_max)
        self._operations = self._last = 0
        self._note(_Began(client, sessions.ids))

    def sent(self, session: int, first: int, count: int, sent_ns: int, part: Part) -> None:
        self._operations, self._last = self._operations + count, count
        self._note(_Sent(session, first, count, sent_ns, part))

    def unsent(self) -> None:
        self._operations -= self._last
        self._note(_Unsent())

    def arrived(self, session: int, frame: bytes | None, count: int, now_ns: int) -> None:
        self._note(_Arrived(session, count, now_ns, self._sampler.sampled(frame, count)))

    def finish(self, generator: Generator, intended: Intended | None, path: Path) -> int:  # noqa: ARG002
        """It is all there already; returns how many operations were noted."""
        os.close(self._fd)
        return self._operations

    def _note(self, note: _Note) -> None:
        body = _encode(note)
        data = _LENGTH.pack(len(body)) + body
        try:
            if os.write(self._fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise HandoverError(self._path, error) from error


class _Replayed:
    """`Decoding` of sessions that are gone."""

    def __init__(self, ids: list[int], decode: Callable[[bytes], Answers]) -> None:
        self.ids = ids
        self.decode = decode

    def without_reads(self, frame: bytes) -> bytes:  # noqa: ARG002
        raise AssertionError("reads were dropped before they were noted")


def read_journal(
    path: Path, decode: Callable[[bytes], Answers], make_generator: Callable[[int], Generator]
) -> History | None:
    """What the process did and saw, up to its end, however it ended; None if that came before it could send anything.

    `decode` reads the target's frames, `make_generator` is told the client.  Raises OSError, ReplyMismatchError.
    """
    return next(read_slices(path, decode, make_generator, operations_min=None), None)


def read_slices(
    path: Path,
    decode: Callable[[bytes], Answers],
    make_generator: Callable[[int], Generator],
    operations_min: int | None,
) -> Iterator[History]:
    """As `read_journal`, in slices, so that memory does not grow with the journal.

    A slice ends at the first moment after `operations_min` operations (None: never) at which nothing was outstanding,
    so an operation and its answer are in one slice.  A paced load has many such moments; one that never pauses is one
    slice.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        notes = _notes(file)
        began = next(notes, None)
        if began is None:
            return
        assert isinstance(began, _Began), f"{path} begins with {began}"
        generator, sessions = make_generator(began.client), _Replayed(began.sessions, decode)

        def recorder_of_a_slice() -> Recorder:
            return Recorder(sessions, began.client, read_share=0.0, reads_checked_max=0)

        recorder, operations, outstanding, last = recorder_of_a_slice(), 0, 0, 0
        for note in notes:
            match note:
                case _Sent(session, first, count, sent_ns, part):
                    if operations_min is not None and operations >= operations_min and not outstanding:
                        yield recorder.history(generator, None)
                        recorder, operations = recorder_of_a_slice(), 0
                    recorder.sent(session, first, count, sent_ns, Part(part))
                    operations, outstanding, last = operations + count, outstanding + count, count
                case _Unsent():
                    recorder.unsent()
                    operations, outstanding = operations - last, outstanding - last
                case _Arrived(session, count, now_ns, frame):
                    recorder.arrived(session, frame, count, now_ns)
                    outstanding -= count
                case _Began():
                    raise AssertionError(f"two processes wrote into {path}")
        yield recorder.history(generator, None)


def _notes(file: BinaryIO) -> Iterator[_Began | _Sent | _Unsent | _Arrived]:
    """The whole notes, in order; a torn one at the end is left out."""
    while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        if len(body := file.read(length)) < length:
            return
        yield _decode(body)
