"""From settings to the system under test and the processes that load it."""

from pathlib import Path
from typing import Any, Protocol

from lab.bench.anatomy import EVERY, marks_max
from lab.bench.crew import PATIENCE_MS, Crew
from lab.bench.limits import workload_of_settings
from lab.bench.loaders import Loaders
from lab.bench.networks import network_of_settings, with_patience_ms
from lab.bench.record import Settings
from lab.targets.null import NullTarget
from lab.targets.own import OwnTarget
from lab.targets.target import Connector, Target


class Local(Target, Protocol):
    """A target whose servers are processes of this host, with a run folder of its own."""

    @property
    def folder(self) -> Path:
        """The run's private folder; what the harness puts there goes with it."""

    def look_out(self) -> None:
        """Raise TargetError if a server has ended by itself; returns at once."""


def make_target(settings: Settings, data_dir: Path | None) -> Local:
    """The target that the settings name, not started yet.  TargetError if there is none of that name here."""
    if settings.target == "zookeeper":
        return make_zookeeper(settings, data_dir)
    assert settings.target in ("own", "null"), settings.target
    return make_own(settings, data_dir)


def missing_targets() -> dict[str, str]:
    """The targets that cannot be measured here, with what is missing."""
    from lab.targets.zookeeper.install import why_not

    return {"zookeeper": why} if (why := why_not()) else {}


def make_own(settings: Settings, data_dir: Path | None, **more: Any) -> OwnTarget:
    """Our own ensemble, or its null server; `more`: what settings do not say."""
    kind = NullTarget if settings.target == "null" else OwnTarget
    return kind(
        voters=settings.voters,
        observers=settings.observers,
        durability=settings.durability,
        death_detection=settings.death_detection,
        wait=settings.wait,
        transport=settings.transport,
        udp_mtu=settings.udp_mtu,
        sealed=settings.sealed,
        tick_ms=settings.tick_ms,
        sync_limit_ticks=settings.sync_limit_ticks,
        init_limit_ticks=settings.init_limit_ticks,
        max_outstanding=settings.max_outstanding,
        batch_txns_max=settings.batch_txns_max,
        snap_count=settings.snap_count,
        leader_serves=settings.leader_serves,
        relays=settings.relays,
        finalize_early=settings.finalize_early,
        network=network_of_settings(settings),
        data_dir=data_dir,
        seed=settings.seed,
        marks_max=marks_max(settings.seconds) if settings.anatomy else 0,
        marks_every=EVERY,
        **more,
    )


def make_zookeeper(settings: Settings, data_dir: Path | None) -> Local:
    from lab.targets.zookeeper.target import ZooKeeperTarget

    return ZooKeeperTarget(
        voters=settings.voters,
        observers=settings.observers,
        durability=settings.durability,
        tick_ms=settings.tick_ms,
        sync_limit_ticks=settings.sync_limit_ticks,
        init_limit_ticks=settings.init_limit_ticks,
        snap_count=settings.snap_count,
        leader_serves=settings.leader_serves,
        data_dir=data_dir,
    )


class LoadMaker:
    """Makes the load processes of a running target; their files go into the target's run folder and with it."""

    def __init__(self, settings: Settings, target: Local) -> None:
        self._settings = settings
        self._target = target

    def __call__(self, connectors: list[Connector]) -> Loaders:
        _, params = workload_of_settings(self._settings)
        folder = self._target.folder / "load"
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
        folder = target.folder / "load"
        folder.mkdir()
        servers = range(1, settings.voters + settings.observers + 1)
        patience_ms = with_patience_ms(settings, self._patience_ms)
        return Crew(settings, params, servers, target.connector, folder, target.look_out, patience_ms)
