"""What one run of `bench` is to measure: steps, their order, and the command of each."""

import random
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from lab.bench.grid import estimate_s, find_point
from lab.bench.limits import known_to
from lab.bench.networks import carries_datagrams
from lab.bench.point import LOOPS, Job, Point, Profile
from lab.bench.record import Settings
from lab.bench.results import RunFolder
from lab.bench.suite import MODULES, difference

TIMEOUT_FACTOR, TIMEOUT_EXTRA_S = 5.0, 60.0  # a run that takes this much longer than estimated hangs

Step = Point | Job
Command = Callable[[Point, int, RunFolder, list[str]], list[str]]  # point, round, where, extra options


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one invocation was asked to measure."""

    profile: Profile
    only: tuple[str, ...] = ()  # what was asked for; the profile holds nothing else
    overrides: dict[str, object] = {}  # settings of every point whose target knows them
    seed: int = 1
    data_dir: Path | None = None
    argv: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(
            msgspec.structs.replace(point, settings=self._told(point.settings)) for point in self.profile.points
        )

    def _told(self, settings: Settings) -> Settings:
        told = msgspec.structs.replace(settings, **known_to(settings.target, self.overrides))
        return told if carries_datagrams(told) else msgspec.structs.replace(told, udp_mtu=settings.udp_mtu)


def pyperf_command(point: Point, round_: int, folder: RunFolder, extra: list[str]) -> list[str]:
    """One worker process of one point (DESIGN 4); calibration and pyperf's own warm-up are off."""
    values = point.values_in(round_)
    return [
        sys.executable, "-m", MODULES[point.suite], "--point", point.id, "--records", str(folder.trials),
        "--round", str(round_), "--processes", "1", "--values", str(values), "--warmups", "0",
        "--loops", str(LOOPS[point.suite]), "--append", str(folder.pyperf(point.suite)), "--quiet",
        "--timeout", str(round(estimate_s(point, values) * TIMEOUT_FACTOR + TIMEOUT_EXTRA_S)),
        "--inherit-environ", "ZOOKEEPER_HOME,JAVA_HOME", *extra,
    ]  # fmt: skip


def job_command(job: Job, round_: int, folder: RunFolder, data_dir: Path | None) -> list[str]:
    extra = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return [
        sys.executable, "-m", job.module, *job.arguments, "--folder", str(folder.path), "--round", str(round_), *extra
    ]  # fmt: skip


def in_order(steps: Sequence[Step], rng: random.Random, round_: int) -> list[Step]:
    """Points and jobs at random, but a job that belongs beside a point right there: behind it or, every other round,
    before it, so that neither of the two always finds the machine as the other left it."""
    points = {step.id for step in steps if isinstance(step, Point)}
    beside = [step for step in steps if isinstance(step, Job) and step.beside in points]
    order = [step for step in steps if step not in beside]
    rng.shuffle(order)
    for job in beside:
        place = next(i for i, step in enumerate(order) if isinstance(step, Point) and step.id == job.beside)
        order.insert(place + 1 if round_ % 2 == 0 else place, job)
    return order


def command_of(
    step: Step, round_: int, folder: RunFolder, *, seed: int, data_dir: Path | None, command: Command = pyperf_command
) -> list[str]:
    """What measures that step once, into that folder; `seed` is the run's."""
    if isinstance(step, Job):
        return job_command(step, round_, folder, data_dir)
    base = find_point(step.id)
    own_seed = zlib.crc32(f"{seed}/{step.id}/{round_}".encode())
    settings = msgspec.structs.replace(step.settings, seed=own_seed)
    pairs = difference(settings, base.settings if base else step.settings)
    extra = [option for pair in pairs for option in ("--set", pair)]
    if data_dir is not None:
        extra += ["--data-dir", str(data_dir)]
    return command(step, round_, folder, extra)


def guess_s(step: Step, round_: int) -> float:
    """Seconds that it takes, about, before it was ever measured."""
    return step.seconds if isinstance(step, Job) else estimate_s(step, step.values_in(round_))
