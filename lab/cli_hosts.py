"""The option `--hosts` of the commands: several machines in the place of this one."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.bench.record import FailoverRecord, Settings, TrialRecord

if TYPE_CHECKING:
    from lab.cluster.host_file import Hosts
    from lab.hosts.sweep import Fleet

OPTION = click.option(
    "--hosts",
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    help="on several machines, workers of a Dask cluster (README: several hosts)",
)


@contextmanager
def fleet(hosts: Path | None, data_dir: Path | None, prototype: Path | None) -> "Iterator[Fleet | None]":
    """The machines of the file for `bench`; None without one."""
    if hosts is None:
        yield None
        return
    if prototype is not None:
        raise click.UsageError("--prototype: the script is on this machine only; with --hosts leave it out")
    from lab.cluster.host_file import read_hosts
    from lab.hosts.sweep import Fleet

    with Fleet(read_hosts(hosts), data_dir) as machines:
        yield machines


def argv_of(argv: list[str], hosts: Path | None) -> tuple[str, ...]:
    """What was typed, to be shared: of the file its name, not where it lies on this machine."""
    return tuple(word.replace(str(hosts), hosts.name) if hosts is not None else word for word in argv)


def trial(path: Path, settings: Settings, data_dir: Path | None, typed: Collection[str]) -> TrialRecord:
    from lab.bench.progress import reporter
    from lab.hosts.ensemble import trial_on

    hosts, settings = _on(path, settings, typed)
    with reporter() as shown:
        return trial_on(hosts, settings, data_dir=data_dir, shown=shown)


def failover(path: Path, settings: Settings, data_dir: Path | None, typed: Collection[str]) -> FailoverRecord:
    from lab.bench.progress import counting, reporter
    from lab.hosts.ensemble import failover_on

    hosts, settings = _on(path, settings, typed)
    with reporter() as shown:
        return failover_on(hosts, settings, data_dir=data_dir, progress=counting(shown, settings.repeats, "ms"))


def _on(path: Path, asked: Settings, typed: Collection[str]) -> "tuple[Hosts, Settings]":
    """The hosts, and the settings as they make them; stderr is told where that is not as it was typed."""
    from lab.cluster.host_file import read_hosts
    from lab.hosts.ensemble import overruled, settings_on

    hosts = read_hosts(path)
    made = settings_on(hosts, asked)
    for line in overruled(asked, made, typed):
        click.echo(f"lab: {line}", err=True)
    return hosts, made


def refuse(hosts: Path | None, option: str) -> None:
    if hosts is not None:
        raise click.UsageError(f"{option}: not available with --hosts")
