"""How far a long measurement is, on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


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


class Bar:
    """One bar with the time left and what is being measured; notes scroll above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(), BarColumn(bar_width=30), TextColumn("{task.percentage:3.0f}%"), TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left  {task.description}", markup=False),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("starting", total=1.0, left="?")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def doing(self, what: str, done: float, left_s: float) -> None:
        self._progress.update(self._task, completed=done, description=what, left=duration_text(left_s))

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def counting(shown: Reporter, total: int, unit: str) -> Callable[[int, float], None]:
    """Show a series of measurements as they end: called with the number of each, from 1, and its value in `unit`."""
    started = time.monotonic()

    def ended(number: int, value: float) -> None:
        spent_s = time.monotonic() - started
        shown.doing(f"{number} of {total}: {value:,.1f} {unit}", number / total, spent_s / number * (total - number))

    return ended


def reporter() -> Reporter:
    """What suits standard error."""
    return Bar() if sys.stderr.isatty() else Lines()
