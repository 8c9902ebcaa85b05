"""Progress on a terminal: one bar, the time left, and what is being measured."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from lab.bench.progress import duration_text

REDRAWS_PER_S = 2.0  # each takes a millisecond of a CPU that the measurement needs


class _Left(ProgressColumn):
    """The time left, which goes on between two reports."""

    def render(self, task: Task) -> Text:
        until = task.fields["until"]
        return Text("" if until is None else f"{duration_text(until - time.monotonic())} left")


class Bar:
    """`lab.bench.progress.Reporter`; notes scroll above the bar, which is gone at the end."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(), BarColumn(bar_width=30), TextColumn("{task.percentage:3.0f}%"), TimeElapsedColumn(),
            _Left(), TextColumn("{task.description}", markup=False),
            console=self._console, transient=True, refresh_per_second=REDRAWS_PER_S,
        )  # fmt: skip
        self._task = self._progress.add_task("starting", total=1.0, until=None)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def doing(self, what: str, done: float, left_s: float) -> None:
        self._progress.update(self._task, completed=done, description=what, until=time.monotonic() + left_s)

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
