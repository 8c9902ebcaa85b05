"""The option `--hosts` of the commands: several machines in the place of this one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
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
