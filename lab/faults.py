"""The fault vocabulary: data that the simulator and the supervisor of real processes both understand (DESIGN 1).

A `Shape` says what one directed link does to the datagrams that pass it; `lab.transport.shaping` does it.
"""

import msgspec

DELAY_MS_MAX = 60_000.0
SIGMA_MAX = 5.0  # a lognormal that is wider is no network any more
SAMPLES_MAX = 1_000  # of an empirical delay: a shape travels in a control record, to a process that may be frozen
BYTES_PER_S_MAX = 1e12
QUEUE_BYTES_MIN = 1 << 16  # room for one datagram, whatever its size
QUEUE_BYTES_MAX = 1 << 30


class Delay(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower, forbid_unknown_fields=True):
    """How long a datagram is under way: a distribution, in milliseconds."""

    @property
    def typical_ms(self) -> float:
        """Its median."""
        raise NotImplementedError


class Constant(Delay, frozen=True):
    ms: float

    def __post_init__(self) -> None:
        _check("ms", self.ms, 0, DELAY_MS_MAX)

    @property
    def typical_ms(self) -> float:
        return self.ms


class Uniform(Delay, frozen=True):
    low_ms: float
    high_ms: float

    def __post_init__(self) -> None:
        _check("low_ms", self.low_ms, 0, DELAY_MS_MAX)
        _check("high_ms", self.high_ms, self.low_ms, DELAY_MS_MAX)

    @property
    def typical_ms(self) -> float:
        return (self.low_ms + self.high_ms) / 2


class Normal(Delay, frozen=True):
    """Truncated at 0: what would be below is drawn again."""

    mean_ms: float
    sd_ms: float

    def __post_init__(self) -> None:
        _check("mean_ms", self.mean_ms, 0, DELAY_MS_MAX)
        _check("sd_ms", self.sd_ms, 0, DELAY_MS_MAX)

    @property
    def typical_ms(self) -> float:
        return self.mean_ms  # a little more, if much is cut off


class LogNormal(Delay, frozen=True):
    """`base_ms` of way, and a queueing delay on top whose logarithm is normal with standard deviation `sigma`."""

    median_ms: float  # of what comes on top
    sigma: float
    base_ms: float = 0.0

    def __post_init__(self) -> None:
        _check("median_ms", self.median_ms, 0, DELAY_MS_MAX)
        _check("sigma", self.sigma, 0, SIGMA_MAX)
        _check("base_ms", self.base_ms, 0, DELAY_MS_MAX)

    @property
    def typical_ms(self) -> float:
        return self.base_ms + self.median_ms


class Empirical(Delay, frozen=True):
    """One of the samples, each as likely as any other."""

    samples_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.samples_ms) <= SAMPLES_MAX:
            raise ValueError(f"samples_ms: {len(self.samples_ms):,} of them, allowed: 1 to {SAMPLES_MAX:,}")
        for sample in self.samples_ms:
            _check("samples_ms", sample, 0, DELAY_MS_MAX)

    @property
    def typical_ms(self) -> float:
        return sorted(self.samples_ms)[len(self.samples_ms) // 2]


AnyDelay = Constant | Uniform | Normal | LogNormal | Empirical


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one directed link does to datagrams; without arguments: nothing.

    In this order: `blocked`, `loss`, `duplicate`, then the queue before the bottleneck, then the way.  Datagrams keep
    their order whatever their delays, as on one path, but for the share `reorder`.  That order is why a delay is held:
    were it drawn for each of many datagrams a millisecond, all would wait for the slowest of their neighbours.
    """

    delay: AnyDelay | None = None  # None: none
    hold_ms: float = 10.0  # how long a drawn delay is the link's, as queues on the way change; 0: drawn per datagram
    loss: float = 0.0  # share of datagrams
    duplicate: float = 0.0  # share that arrives twice
    reorder: float = 0.0  # share that takes only a part of its delay, and so overtakes what was sent before it
    bytes_per_s: float | None = None  # bandwidth; None: unlimited
    queue_bytes: int = 1 << 18  # what may wait for the bandwidth; a datagram that finds no room is lost (drop-tail)
    blocked: bool = False  # cut: everything is lost

    def __post_init__(self) -> None:
        for field in ("loss", "duplicate", "reorder"):
            _check(field, getattr(self, field), 0, 1)
        _check("hold_ms", self.hold_ms, 0, DELAY_MS_MAX)
        if self.reorder and self.delay is None:
            raise ValueError(f"reorder: {self.reorder:g} without a delay, allowed: 0, for there is nobody to overtake")
        if self.bytes_per_s is not None:
            _check("bytes_per_s", self.bytes_per_s, 1, BYTES_PER_S_MAX)
        _check("queue_bytes", self.queue_bytes, QUEUE_BYTES_MIN, QUEUE_BYTES_MAX)

    @property
    def does_nothing(self) -> bool:
        return self == Shape(hold_ms=self.hold_ms, queue_bytes=self.queue_bytes)


def _check(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # not a number is refused, too
        raise ValueError(f"{field}: {value!r}, allowed: {least:,g} to {most:,g}")


class Fault(msgspec.Struct, frozen=True, tag_field="fault", tag=str.lower, forbid_unknown_fields=True):
    """Base of the faults; `server` is the server's id."""


class Crash(Fault, frozen=True):
    """SIGKILL: the process ends at some instruction; what it wrote without fsync survives unless power fails too."""

    server: int


class Restart(Fault, frozen=True):
    """Start a crashed server again, with the disk that it left (durability=memory: wiped, Z-12)."""

    server: int


class Freeze(Fault, frozen=True):
    """SIGSTOP: the process keeps its links and answers nothing."""

    server: int


class Thaw(Fault, frozen=True):
    """SIGCONT."""

    server: int


class Partition(Fault, frozen=True):
    """Cut every link between servers of different groups, both ways; clients keep theirs."""

    groups: tuple[tuple[int, ...], ...]


class Heal(Fault, frozen=True):
    """Join again what a Partition or a Cut cut."""


class Reshape(Fault, frozen=True):
    """From now on the link from `source` to `target`, between servers, does this to datagrams; None: what it did."""

    source: int
    target: int
    shape: Shape | None


class Cut(Fault, frozen=True):
    """Nothing that `source` sends to `target` arrives any more, while the other direction works (until Heal)."""

    source: int
    target: int


class FillDisk(Fault, frozen=True):
    """The server's data folder has no room left: its next write there fails, and the server ends, naming the file."""

    server: int


class FreeDisk(Fault, frozen=True):
    """There is room again; a server that has ended meanwhile waits for its Restart."""

    server: int


AnyFault = Crash | Restart | Freeze | Thaw | Partition | Heal
DiskFault = FillDisk | FreeDisk
LinkFault = Reshape | Cut  # only where links carry datagrams
TargetFault = AnyFault | DiskFault | LinkFault  # what real processes may suffer
