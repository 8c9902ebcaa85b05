"""Another host's monotonic clock, read by ours: monotonic clocks of two hosts have nothing in common but their pace."""

from collections import deque

DRIFT_PPM = 100  # two quartz clocks may part by so much: 50 ppm each
SAMPLES_MAX = 600


class RemoteClock:
    """What its clock shows, by samples as NTP takes them: asked at, answered with, heard at (RFC 5905, 8).

    The answer lies between question and answer, nothing else is known: the offset is taken for the middle, and half of
    the round trip is its uncertainty, growing by DRIFT_PPM with the distance from the sample.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=SAMPLES_MAX)  # ours (middle), offset, half round trip

    def add(self, asked_ns: int, theirs_ns: int, heard_ns: int) -> None:
        """All in nanoseconds; `theirs_ns` is the answer."""
        assert heard_ns >= asked_ns, (asked_ns, heard_ns)
        middle = (asked_ns + heard_ns) // 2
        self._samples.append((middle, theirs_ns - middle, (heard_ns - asked_ns + 1) // 2))

    def __len__(self) -> int:
        return len(self._samples)

    def ours(self, theirs_ns: int) -> int:
        """That moment on this host's clock."""
        return theirs_ns - self._best(theirs_ns)[0]

    def offset_ns(self) -> int:
        """Theirs less ours, by the latest samples."""
        return self._best(self._latest())[0]

    def uncertainty_ns(self, theirs_ns: int | None = None) -> int:
        """By how much `ours` may be wrong; by default of this moment."""
        return self._best(self._latest() if theirs_ns is None else theirs_ns)[1]

    def _latest(self) -> int:
        middle, offset, _ = self._samples[-1]
        return middle + offset

    def _best(self, theirs_ns: int) -> tuple[int, int]:
        """Offset and its uncertainty by the sample that says most about that moment."""
        assert self._samples, "no sample of that clock"
        return min(
            (
                (offset, half + abs(theirs_ns - offset - middle) * DRIFT_PPM // 1_000_000)
                for middle, offset, half in self._samples
            ),
            key=lambda found: found[1],
        )
