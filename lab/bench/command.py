"""What `bench` does between its options and the report: a plan, a folder, a measurement."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from lab.bench.driver import Bench
from lab.bench.grid import families
from lab.bench.grid import profile as profile_of
from lab.bench.lifeline import Interrupted
from lab.bench.limits import LINKED, TARGETS, SettingsError, check_settings, deaf_to, option, workload_settings
from lab.bench.network_grid import SUITE as NETWORK
from lab.bench.networks import carries_datagrams, network_settings
from lab.bench.placement import available_cpus, check_placement
from lab.bench.plan import Plan
from lab.bench.point import SUITES
from lab.bench.progress import Reporter, reporter
from lab.bench.record import RunInfo
from lab.bench.reference import reference_jobs
from lab.bench.results import RunFolder, default_name
from lab.bench.systems import missing_targets


class Outcome(msgspec.Struct, frozen=True):
    """A finished run's folder, and what failed in it, one line each."""

    folder: Path
    failures: list[str]


class Measuring(Protocol):
    """What measures a plan (`lab.bench.driver.Bench`)."""

    @property
    def failures(self) -> list[str]:
        """One line each."""

    def measure(self) -> RunInfo: ...


class Machines(Protocol):
    """Where it is measured."""

    @property
    def cpus(self) -> int:
        """As many as there are at least."""

    @property
    def missing(self) -> Mapping[str, str]:
        """The targets that cannot be measured, with what is missing."""

    def bench(self, plan: Plan, folder: RunFolder, shown: Reporter) -> Measuring: ...


class ThisMachine:
    """Implements `Machines`."""

    def __init__(self) -> None:
        self.cpus, self.missing = len(available_cpus()), missing_targets()

    def bench(self, plan: Plan, folder: RunFolder, shown: Reporter) -> Bench:
        return Bench(plan, folder, shown)


def run_bench(
    results: Path,
    *,
    argv: tuple[str, ...],
    profile: str,
    only: str | None,
    name: str | None,
    seed: int,
    workload: str | None,
    distribution: str | None,
    death_detection: str,
    data_dir: Path | None,
    prototype: Path | None = None,
    machines: Machines | None = None,
    typed: Collection[str],
    **links: object,
) -> Outcome:
    """Measure; `results` gets a new folder.  What ends it early is raised, and stderr says what was kept.

    `links`: settings of links, for all points whose target can be told, of which only those that were `typed` count:
    what was typed stands against what a network brings, even if it is as usual.
    """
    machines = machines or ThisMachine()
    overrides: dict[str, object] = {**workload_settings(workload), "death_detection": death_detection}
    asked = {field: value for field, value in links.items() if field in typed}
    overrides |= {**network_settings(str(asked["network"])), **asked} if "network" in asked else asked
    overrides.pop("reads", None)  # an axis of the grid, as are voters, durability and attachment
    if distribution is not None:
        overrides["distribution"] = distribution
    suites = parse_only(only)
    wanted, note = _wanted(profile, suites, asked)
    chosen = profile_of(profile, wanted)
    if not chosen.points and not chosen.jobs:
        raise SettingsError(f"--only {only}: the profile {profile} holds nothing of it, allowed: another profile")
    if prototype is not None:
        chosen = msgspec.structs.replace(chosen, jobs=(*chosen.jobs, *reference_jobs(chosen.points, prototype)))
        argv = _without_folder(argv, prototype)
    plan = Plan(profile=chosen, only=suites, overrides=overrides, seed=seed, data_dir=data_dir, argv=argv)
    for point in plan.points:
        check_settings(point.settings)
    if "udp_mtu" in asked and not any(carries_datagrams(point.settings) for point in plan.points):
        raise SettingsError("--udp-mtu: no link carries datagrams, allowed with --transport udp or a network")
    plan, left_out = within(plan, machines.cpus, machines.missing)
    for line in (*note, *left_out):
        sys.stderr.write(f"lab: {line}\n")
    created = RunFolder.create(results, name or default_name())
    run, folder = machines.bench(plan, created, reporter()), created.path
    try:
        run.measure()
    except (Interrupted, OSError):
        sys.stderr.write(f"lab: partial results are in {folder}; `python -m lab report {folder}` shows them\n")
        raise
    sys.stderr.write(f"100%  measured: results are in {folder}; now the report\n")
    return Outcome(folder, run.failures)


def within(plan: Plan, cpus: int, missing: Mapping[str, str]) -> tuple[Plan, list[str]]:
    """The plan less the points that cannot be measured here, or as was asked, and lines about these.

    `cpus` are those that there are, `missing` says of each target that is not installed how to get it.  A target that
    cannot be told of links or a network that was asked for would be measured without, beside ours with them.
    """
    kept, left_out = [], []
    deaf = {target: why for target in TARGETS if (why := deaf_to(target, plan.overrides))}
    missing = {**deaf, **missing}
    for target, why in missing.items():
        if gone := [point.id for point in plan.profile.points if point.settings.target == target]:
            left_out.append(f"left out: {len(gone)} points of {target}, {gone[0]} and so on: {why}")
    for point in plan.profile.points:
        if point.settings.target in missing:
            continue
        try:
            check_placement(point.settings, cpus)
            kept.append(point)
        except SettingsError as error:
            left_out.append(f"left out: {point.id}: {error}")
    profile = msgspec.structs.replace(plan.profile, points=tuple(kept))
    return msgspec.structs.replace(plan, profile=profile), left_out


def _wanted(profile: str, suites: tuple[str, ...], asked: Collection[str]) -> tuple[tuple[str, ...], list[str]]:
    """What to measure: all but the suite network if one of its axes was asked for, and a line where that is left out.

    Told the same transport or network, its points would answer nothing.  Raises SettingsError if it was asked for, too.
    """
    axis = next((option(field) for field in LINKED if field in asked), None)
    if axis is None:
        return suites, []
    others = tuple(suite for suite in SUITES if suite != NETWORK)
    if any(name.partition("/")[0] == NETWORK for name in suites):
        raise SettingsError(f"{axis}: an axis of the suite {NETWORK}, allowed with --only {', '.join(others)}")
    if suites or profile != "full":  # the only one that measures it unasked
        return suites, []
    return others, [f"left out: the suite {NETWORK}, of which {axis} is an axis"]


def _without_folder(argv: tuple[str, ...], script: Path) -> tuple[str, ...]:
    """Results are made to be shared: of the reference they keep its name, not where it lies on this machine."""
    return tuple(word.replace(str(script), script.name) for word in argv)


def parse_only(text: str | None) -> tuple[str, ...]:
    """The suites, and the families of speed and network, of `--only a,b`, in the grid's order; empty means all."""
    if text is None:
        return ()
    asked = {part.strip() for part in text.split(",")}
    allowed = [*SUITES, *families()]
    if unknown := sorted(asked - set(allowed)):
        raise SettingsError(f"--only: {unknown[0]!r}, allowed: {', '.join(allowed)}, separated by commas")
    return tuple(name for name in allowed if name in asked)
