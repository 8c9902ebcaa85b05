"""When this server takes a snapshot of its own disk (zab.md 7.3, Z-8); writing it is the host's business."""

from typing import TYPE_CHECKING

from lab.zab.effects import TakeSnapshot
from lab.zab.state import PeerState

if TYPE_CHECKING:
    import random

OVERDUE_TICKS = 10  # a second of the default tick: then the flush that it waits for is made (Z-8)
_NEVER = 1 << 62


class OwnSnapshots:
    """Counts what was applied since the last one, and allows one at a time."""

    def __init__(self, state: PeerState, rng: "random.Random") -> None:
        self._state = state
        self._rng = rng
        self._under_way = False
        self._ticks_due = 0
        self._threshold = self._draw()

    def _draw(self) -> int:
        """Between half of snap_count and all of it, so that servers do not snapshot at the same moment."""
        count = self._state.config.snap_count
        return self._rng.randint((count + 1) // 2, count) if count else _NEVER

    @property
    def is_due(self) -> bool:
        return self._state.applied.since_snapshot >= self._threshold and not self._under_way

    def is_overdue(self) -> bool:
        """Called once a tick: whether one has been due for too long."""
        self._ticks_due = self._ticks_due + 1 if self.is_due else 0
        return self._ticks_due > OVERDUE_TICKS

    def ask(self) -> None:
        """Somebody wants one: it is due with whatever is applied since the last one, or next."""
        self._threshold = 1

    def begin(self) -> TakeSnapshot:
        """Of all that is applied, and flushed."""
        self._under_way, self._ticks_due = True, 0
        self._threshold = self._draw()
        self._state.applied.since_snapshot = 0
        return TakeSnapshot(self._state.gen, self._state.applied.last)

    def end(self) -> None:
        """It is written, or will never be: the next trigger counts again."""
        self._under_way = False
