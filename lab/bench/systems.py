"""From settings to the system under test and the processes that load it."""

from pathlib import Path
from typing import Any

from lab.bench.anatomy import EVERY, MARKS_MAX
from lab.bench.crew import PATIENCE_MS, Crew
from lab.bench.limits import workload_of_settings
from lab.bench.loaders import Loaders
from lab.bench.record import Settings
from lab.targets.own import OwnTarget
from lab.targets.target import Connector


def make_target(settings: Settings, data_dir: Path | None, **more: Any) -> OwnTarget:
    """The target that the settings name, not started yet; `more`: what only this target can be told."""
    assert settings.target == "own", settings.target
    return OwnTarget(
        voters=settings.voters,
        observers=settings.observers,
        durability=settings.durability,
        death_detection=settings.death_detection,
        wait=settings.wait,
        tick_ms=settings.tick_ms,
        sync_limit_ticks=settings.sync_limit_ticks,
        init_limit_ticks=settings.init_limit_ticks,
        max_outstanding=settings.max_outstanding,
        batch_txns_max=settings.batch_txns_max,
        snap_count=settings.snap_count,
        leader_serves=settings.leader_serves,
        finalize_early=settings.finalize_early,
        data_dir=data_dir,
        seed=settings.seed,
        marks_max=MARKS_MAX if settings.anatomy else 0,
        marks_every=EVERY,
        **more,
    )


class LoadMaker:
    """Makes the load processes of a running target; their files go into the target's run folder and with it."""

    def __init__(self, settings: Settings, target: OwnTarget) -> None:
        self._settings = settings
        self._target = target

    def __call__(self, connectors: list[Connector]) -> Loaders:
        _, params = workload_of_settings(self._settings)
        folder = self._target.cluster.folder / "load"
        folder.mkdir()
        return Loaders(self._settings, params, connectors, folder, self._settings.seed, self._target.look_out)


class CrewMaker:
    """As `LoadMaker`, for the clients of a torture or a soak."""

    def __init__(self, settings: Settings, target: OwnTarget, patience_ms: float = PATIENCE_MS) -> None:
        self._settings = settings
        self._target = target
        self._patience_ms = patience_ms

    def __call__(self) -> Crew:
        settings, target = self._settings, self._target
        _, params = workload_of_settings(settings)
        folder = target.cluster.folder / "load"
        folder.mkdir()
        servers = range(1, settings.voters + settings.observers + 1)
        return Crew(settings, params, servers, target.connector, folder, target.look_out, self._patience_ms)
