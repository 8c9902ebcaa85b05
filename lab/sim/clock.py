"""Time in the simulated world: it passes only when the world says so, and not for every server alike."""

_ROUNDING_MS = 1e-6  # a moment computed backwards must not be a hair too early: nothing would be due then


class VirtualClock:
    """`lab.service.host.Clock`: the world's own time."""

    def __init__(self) -> None:
        self._now_ms = 0.0

    def now_ms(self) -> float:
        return self._now_ms

    def advance_to(self, at_ms: float) -> None:
        assert at_ms >= self._now_ms, (at_ms, self._now_ms)
        self._now_ms = at_ms


class ServerClock:
    """One server's monotonic clock: it may run fast or slow and jump ahead, never back."""

    def __init__(self, world: VirtualClock) -> None:
        self._world = world
        self._rate = 1.0
        self._since_ms = 0.0  # of the world's time: when it showed `_shown_ms`
        self._shown_ms = 0.0

    @property
    def _is_right(self) -> bool:
        """Then it shows the world's time to the last bit: a moment computed there and back must be the same one."""
        return self._rate == 1.0 and self._shown_ms == self._since_ms

    def now_ms(self) -> float:
        if self._is_right:
            return self._world.now_ms()
        return self._shown_ms + (self._world.now_ms() - self._since_ms) * self._rate

    def run_at(self, rate: float) -> None:
        """From now on `rate` times as fast as the world."""
        assert rate > 0, rate
        self.jump(0.0)
        self._rate = rate

    def jump(self, ahead_ms: float) -> None:
        """At once so much time has passed."""
        assert ahead_ms >= 0, ahead_ms
        self._shown_ms, self._since_ms = self.now_ms() + ahead_ms, self._world.now_ms()

    def world_ms(self, shown_ms: float) -> float:
        """When, in the world's time, it shows this if it goes on as now."""
        if self._is_right:
            return shown_ms
        return self._since_ms + (shown_ms - self._shown_ms) / self._rate + _ROUNDING_MS
