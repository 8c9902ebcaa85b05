"""How far a long measurement is, on stderr: a bar on a terminal (`lab.bench.bar`), plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO


def duration_text(seconds: float) -> str:
    """`3:07` or `1:02:30`."""
    whole = max(0, round(seconds))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Reporter(Protocol):
    """Takes what a person wants to know while waiting.  Used as a context manager."""

    def __enter__(self) -> "Reporter": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def doing(self, what: str, done: float, left_s: float) -> None:
        """`what` is being measured now; `done` is the finished share (0 to 1), `left_s` an estimate."""

    def note(self, line: str) -> None:
        """One line that stays."""


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def doing(self, what: str, done: float, left_s: float) -> None:
        self.note(f"{done:4.0%}  {duration_text(left_s):>7} left  {what}")

    def note(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class Silent:
    """Tells nobody."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def doing(self, what: str, done: float, left_s: float) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""


def counting(shown: Reporter, total: int, unit: str) -> Callable[[int, float], None]:
    """Show a series of measurements as they end: called with the number of each, from 1, and its value in `unit`."""
    started = time.monotonic()

    def ended(number: int, value: float) -> None:
        spent_s = time.monotonic() - started
        shown.doing(f"{number} of {total}: {value:,.1f} {unit}", number / total, spent_s / number * (total - number))

    return ended


def reporter() -> Reporter:
    """What suits standard error."""
    if not sys.stderr.isatty():
        return Lines()
    from lab.bench.bar import Bar  # rich takes longer to load than the rest of a measuring process

    return Bar()
