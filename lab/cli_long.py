"""The commands that load an ensemble for long, and break it or look for growth: `torture` and `soak` (DESIGN 5)."""

from pathlib import Path
from typing import Any

import click

from lab.cli_options import (
    DATA_DIR,
    DEATH_DETECTION,
    DISTRIBUTION,
    JSON,
    LINKS,
    NETWORK,
    RELAYS,
    REPORTS,
    RESULTS,
    WORKLOAD,
    given,
    json_line,
    setting,
    workload_setting,
)


@click.command()
@setting("voters", "servers that vote", type=int)
@setting("observers", "servers that only learn", default=2, type=int)
@LINKS
@RELAYS
@setting("durability", "of an acknowledged write", type=click.Choice(["fsync", "buffered"]))
@WORKLOAD
@setting("reads", "share of operations that are reads  [default: 0.5]", default=None, show_default=False, type=float)
@workload_setting("value_bytes", "size of a value", int)
@workload_setting("keys", "how many", int)
@DISTRIBUTION
@setting("clients", "load processes, each with two sessions", default=4, type=int)
@setting("outstanding", "operations in flight per client", default=16, type=int)
@setting("rate", "operations/s over all clients, at most", default=10_000.0, type=float)
@setting("snap_count", "transactions between snapshots of a server's own disk; 0: none", default=10_000, type=int)
@setting("seconds", "length of the ordeal", default=60.0, type=float)
@setting("seed", "of the faults, the workload and the servers", type=int)
@DEATH_DETECTION
@NETWORK
@DATA_DIR
@click.option("--run", "name", metavar="NAME", help="of the new folder under results/  [default: date, time and seed]")
@RESULTS
@REPORTS
@JSON
def torture(as_json: bool, data_dir: Path | None, results: Path, reports: Path, name: str | None, **fields: Any) -> int:
    """Break a real ensemble in every way while clients use it, heal it, and verify that nothing was lost."""
    from lab.bench.limits import torture_settings
    from lab.bench.progress import reporter
    from lab.bench.summary import torture_summary
    from lab.bench.torture_run import EVIDENCE, torture_into
    from lab.report.torture import build_torture_report

    settings = torture_settings(given(fields))
    with reporter() as shown:
        folder, record = torture_into(results, name, settings, data_dir=data_dir, shown=shown)
    paths = build_torture_report(folder, reports)
    if as_json:
        click.echo(json_line(record))
    else:
        click.echo("\n".join([torture_summary(record), f"results: {folder}", *(f"report: {path}" for path in paths)]))
    if (folder / EVIDENCE).exists():
        click.echo(f"lab: logs, data and journals of the failure are in {folder / EVIDENCE}", err=True)
    return 0 if record.verified else 1


@click.command()
@setting("voters", "servers that vote", type=int)
@setting("observers", "servers that only learn", default=1, type=int)
@LINKS
@setting("durability", "of an acknowledged write", type=click.Choice(["fsync", "buffered"]))
@WORKLOAD
@workload_setting("value_bytes", "size of a value", int)
@workload_setting("keys", "how many", int)
@DISTRIBUTION
@setting("clients", "load processes, each with two sessions", default=2, type=int)
@setting("outstanding", "operations in flight per client", default=64, type=int)
@setting("rate", "writes/s over all clients, at most", default=3_000.0, type=float)
@setting("snap_count", "transactions between snapshots of a server's own disk", default=100_000, type=int)
@setting("seconds", "under load", default=3600.0, type=float)
@setting("seed", "of the workload and the servers", type=int)
@DEATH_DETECTION
@NETWORK
@DATA_DIR
@click.option("--run", "name", metavar="NAME", help="of the new folder under results/  [default: date and time]")
@RESULTS
@REPORTS
@JSON
def soak(as_json: bool, data_dir: Path | None, results: Path, reports: Path, name: str | None, **fields: Any) -> int:
    """Load an ensemble for a long time, look for growth of memory, disk and descriptors, and verify every write.

    Ctrl-C ends the load early; what there is by then is verified and reported.
    """
    from lab.bench.limits import soak_settings
    from lab.bench.progress import reporter
    from lab.bench.soak_run import EVIDENCE, soak_into
    from lab.bench.summary import soak_summary
    from lab.report.soak import build_soak_report

    settings = soak_settings(given(fields))
    with reporter() as shown:
        folder, record = soak_into(results, name, settings, data_dir=data_dir, shown=shown)
    paths = build_soak_report(folder, reports)
    if as_json:
        click.echo(json_line(record))
    else:
        click.echo("\n".join([soak_summary(record), f"results: {folder}", *(f"report: {path}" for path in paths)]))
    if (folder / EVIDENCE).exists():
        click.echo(f"lab: logs, data and journals of the failure are in {folder / EVIDENCE}", err=True)
    grows = any(found.verdict == "grows" for found in record.growth if found.process.startswith("server"))
    return 0 if record.verified and not grows else 1
