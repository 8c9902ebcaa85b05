"""Time in the simulated world: it passes only when the world says so."""


class VirtualClock:
    """`lab.service.host.Clock`, one for all servers."""

    def __init__(self) -> None:
        self._now_ms = 0.0

    def now_ms(self) -> float:
        return self._now_ms

    def advance_to(self, at_ms: float) -> None:
        assert at_ms >= self._now_ms, (at_ms, self._now_ms)
        self._now_ms = at_ms
