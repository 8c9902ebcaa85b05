"""What one micro benchmark is: some work of one part of a server, that times itself and can be checked."""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec

# CPU time of this process: what else the machine does costs a part its caches, but is not counted as its work.
now = time.process_time


class WrongAnswerError(Exception):
    """The part did not do what it was timed for: its numbers mean nothing."""


class Work(Protocol):
    """One part, set up and warm enough to be timed."""

    def run(self, rounds: int) -> float:
        """CPU seconds of so many rounds, and of nothing around them."""

    def check(self) -> None:
        """Raises WrongAnswerError unless what `run` did has the right outcome."""


class Part(msgspec.Struct, frozen=True):
    """A benchmark: `rounds` of them are one loop of pyperf's, some 7 ms; in each of them are `operations`."""

    name: str
    what: str  # is done to one operation
    per: str  # what an operation is
    operations: int
    rounds: int
    build: Callable[[], Work]


class Timed:
    """pyperf's time function of a part: built when it is first called, checked once after that was timed."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._work: Work | None = None

    def __call__(self, loops: int) -> float:
        if self._work is not None:
            return self._work.run(loops * self._part.rounds)
        work = self._part.build()
        seconds = work.run(loops * self._part.rounds)
        try:
            work.check()
        except WrongAnswerError as error:
            raise WrongAnswerError(f"{self._part.name}: {error}") from error
        self._work = work
        return seconds


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise WrongAnswerError(f"{what}: {_short(found)} instead of {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
