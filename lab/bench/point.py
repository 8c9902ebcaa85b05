"""What a grid is made of: points, jobs beside them, profiles.  Data, and nothing about which there are.

A *point* is one configuration of one suite.  The same id means the same configuration in every profile; profiles differ
in which points they hold, how long a window is and how many rounds there are.  A *job* is something else that is
measured within a round and leaves records of its own: floors, for example.
"""

import msgspec

from lab.bench.record import Settings

SUITES = ("election", "write-latency", "read-scaling", "speed", "network")
BY_NAME = ("speed", "network")  # measured where they are asked for, or everything is
PROFILES = ("smoke", "quick", "full")

LOOPS = {suite: 1 if suite == "election" else 1000 for suite in SUITES}  # operations behind a pyperf value

Shape = tuple[int, int]  # voters, observers


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration; `values` are shared out over `rounds` as evenly as may be."""

    id: str
    suite: str
    settings: Settings
    rounds: int
    values: int

    def values_in(self, round_: int) -> int:
        """How many pyperf values round `round_` (from 0) measures; rounds past the plan repeat the first."""
        if round_ >= self.rounds:
            round_ = 0
        return self.values // self.rounds + (round_ < self.values % self.rounds)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement that is no trial: `python -m MODULE ARGUMENTS --folder RUN --round N`, which appends its records.

    The driver adds `--data-dir` where one was given, and `--parent`; a job ends with status 0, or says why not in a
    line `lab: ...` and its status.
    """

    id: str
    suite: str
    module: str
    arguments: tuple[str, ...] = ()
    rounds: int
    seconds: float  # what one run takes, about
    beside: str = ""  # the id of a point: measured right after it or, in every other round, right before it


class Timing(msgspec.Struct, frozen=True):
    """Seconds of a window and of the load before it."""

    seconds: float
    warmup: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one invocation measures."""

    name: str
    budget_s: float  # of measuring; rounds past the plan are added while the next one fits
    rounds_least: int
    rounds_most: int | None  # None: as many as fit the budget
    points: tuple[Point, ...]
    jobs: tuple[Job, ...] = ()


def shape_text(shape: Shape) -> str:
    return f"{shape[0]}+{shape[1]}"


def settings_of(shape: Shape, timing: Timing, **more: object) -> Settings:
    base = Settings(voters=shape[0], observers=shape[1], seconds=timing.seconds, warmup=timing.warmup)
    return msgspec.structs.replace(base, **more)


def point_of(name: str, suite: str, settings: Settings, rounds: int) -> Point:
    """A point with one value a round."""
    return Point(id=name, suite=suite, settings=settings, rounds=rounds, values=rounds)
