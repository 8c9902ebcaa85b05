"""The commands (DESIGN 5): options in, one call, results out.  Whatever is worth a unit test is elsewhere.

stdout is data, progress and complaints go to stderr.  Exit status: 0 done, 1 a measurement failed its checks or a
comparison found a regression, 2 it could not be done (one line, `lab: ...`), 128 + n ended by signal n.
Nothing heavy is imported before a command is chosen.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lab import cli_hosts, cli_long, cli_sim
from lab.bench.record import Settings
from lab.cli_options import (
    DATA_DIR,
    DEATH_DETECTION,
    DISTRIBUTION,
    ENSEMBLE,
    JSON,
    LINKS,
    NETWORK,
    REPORTS,
    RESULTS,
    WORKLOAD,
    given,
    json_line,
    on_command_line,
    setting,
    workload_setting,
)

BY = ("target", "shape", "durability", "transport", "network", "max-outstanding", "batch-txns-max", "leader-serves",
      "relays", "wait", "placement", "anatomy")  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """A benchmark and performance lab for Zab, the atomic broadcast behind ZooKeeper."""


commands.add_command(cli_sim.sim)
commands.add_command(cli_sim.selftest)
commands.add_command(cli_long.torture)
commands.add_command(cli_long.soak)


@commands.command()
@ENSEMBLE
@NETWORK
@WORKLOAD
@workload_setting("reads", "share of operations that are reads", float)
@workload_setting("value_bytes", "size of a value", int)
@workload_setting("keys", "how many", int)
@DISTRIBUTION
@setting("clients", "load processes", type=int)
@setting("outstanding", "operations in flight per client", type=int)
@setting("seconds", "length of the measured window", type=float)
@setting("warmup", "seconds of load before it", type=float)
@setting("rate", "operations/s over all clients: open loop  [default: closed loop]", type=float, show_default=False)
@setting(
    "arrivals",
    "how that rate arrives: constant, poisson, burst[:size=100], step[:low=0.5,at=0.5], ramp[:low=0], "
    "sine[:depth=0.5,cycles=2]; the last three follow the window, with the rate as their mean",
    type=str,
)
@setting("cpu_share", "of one CPU for each server  [default: no limit]", type=float, show_default=False)
@setting("max_outstanding", "uncommitted batches at the leader; 0: unbounded", type=int)
@setting("batch_txns_max", "transactions in one proposal", type=int)
@setting("snap_count", "transactions between snapshots of a server's own disk; 0: none", type=int)
@setting("leader_serves", "clients, too, beside leading", type=bool)
@setting(
    "placement",
    "of servers and clients on CPUs",
    type=click.Choice(["free", "together", "spread", "leader-client", "leader-alone"]),
)
@setting("anatomy", "mark sampled writes on their way, and say where their time goes", is_flag=True)
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="as --anatomy; and for a trace viewer")
@click.option(
    "--find-max-rate",
    is_flag=True,
    help="find the highest rate at which --slo holds: windows of 2 s and Poisson arrivals from 10,000/s on, "
    "unless --seconds, --arrivals or --rate are typed",
)
@click.option("--slo", metavar="BOUNDS", help="p50, p90, p99 or p999 with us, ms or s: p99=10ms, or p50=1ms,p99=10ms")
@cli_hosts.OPTION
@JSON
def trial(
    as_json: bool,
    data_dir: Path | None,
    hosts: Path | None,
    trace: Path | None,
    find_max_rate: bool,
    slo: str | None,
    **fields: Any,
) -> int:
    """Measure one workload on one ensemble, and verify it."""
    if find_max_rate or slo is not None:
        cli_hosts.refuse(hosts, "--find-max-rate")
        return _find_max_rate(as_json, data_dir, trace, find_max_rate, slo, fields)
    settings = _settings({**fields, "anatomy": fields["anatomy"] or trace is not None})
    from lab.bench.progress import reporter
    from lab.bench.trial import trial as measure

    if hosts is not None:
        return _print_record(cli_hosts.trial(hosts, settings, data_dir, on_command_line(fields)), as_json)
    with reporter() as shown:
        record = measure(settings, data_dir=data_dir, trace=trace, shown=shown)
    return _print_record(record, as_json)


@commands.command()
@ENSEMBLE
@NETWORK
@WORKLOAD
@DISTRIBUTION
@setting("fault", "what befalls the leader", default="crash", type=click.Choice(["crash", "freeze", "partition"]))
@setting("repeats", "failovers of the one ensemble", default=20, type=int)
@cli_hosts.OPTION
@JSON
def failover(as_json: bool, data_dir: Path | None, hosts: Path | None, **fields: Any) -> int:
    """Measure how long a client is without a leader, phase by phase, and verify that no write was lost."""
    settings = _settings({"outstanding": 1, "reads": 0.0, **fields})  # a preset lends its values and keys only
    from lab.bench.failover import failover as measure
    from lab.bench.progress import counting, reporter

    if hosts is not None:
        return _print_record(cli_hosts.failover(hosts, settings, data_dir, on_command_line(fields)), as_json)
    with reporter() as shown:
        record = measure(settings, data_dir=data_dir, progress=counting(shown, settings.repeats, "ms"))
    return _print_record(record, as_json)


@commands.command()
@click.option("--profile", type=click.Choice(["smoke", "quick", "full"]), default="quick", show_default=True,
              help="under a minute, 6 minutes, about 7 hours")  # fmt: skip
@click.option(
    "--only",
    metavar="SUITE,...",
    help="of election, write-latency, read-scaling, speed, network, or of these two speed/bar, network/snapshot and so "
    "on  [all, these two only in full]",
)
@click.option("--run", "name", metavar="NAME", help="of the new folder under results/  [default: date and time]")
@click.option("--seed", type=int, default=1, show_default=True, help="of the order of measuring and the workloads")
@WORKLOAD
@DISTRIBUTION
@DEATH_DETECTION
@LINKS
@NETWORK
@DATA_DIR
@click.option(
    "--prototype",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a reference pipeline to run beside ours in speed, see lab/bench/reference.py",
)
@cli_hosts.OPTION
@RESULTS
@REPORTS
def bench(results: Path, reports: Path, hosts: Path | None, **asked: Any) -> int:
    """Measure a whole profile, then write results/NAME/ and reports/NAME/."""
    from lab.bench.command import run_bench
    from lab.report.build import build_report

    with cli_hosts.fleet(hosts, asked["data_dir"], asked["prototype"]) as machines:
        argv, typed = cli_hosts.argv_of(sys.argv[1:], hosts), on_command_line(asked)
        outcome = run_bench(results, argv=argv, machines=machines, typed=typed, **asked)
    report = build_report(outcome.folder, reports)
    for line in (*report.sentences, *report.printed):
        click.echo(line)
    click.echo(f"results: {outcome.folder}")
    for path in report.entries:
        click.echo(f"report: {path}")
    for failure in outcome.failures:
        click.echo(f"lab: failed: {failure}", err=True)
    return 1 if outcome.failures else 0


@commands.command()
@click.argument("run")
@RESULTS
@REPORTS
def report(run: str, results: Path, reports: Path) -> int:
    """Rebuild reports/RUN from results/RUN alone."""
    from lab.report.build import build_report
    from lab.report.reading import find_run
    from lab.report.soak import build_soak_report, is_soak
    from lab.report.torture import build_torture_report, is_torture

    folder = find_run(run, results)
    if is_soak(folder):
        for path in build_soak_report(folder, reports):
            click.echo(f"report: {path}")
        return 0
    if is_torture(folder):
        for path in build_torture_report(folder, reports):
            click.echo(f"report: {path}")
        return 0
    built = build_report(folder, reports)
    for line in (*built.sentences, *built.printed):
        click.echo(line)
    for path in built.entries:
        click.echo(f"report: {path}")
    return 0


@commands.command()
@click.argument("runs", metavar="A B | RUN", nargs=-1, required=True)
@click.option("--by", type=click.Choice(BY), help="of one run, along this")
@click.option("--force", is_flag=True, help="compare what was measured on other machines or with other settings, too")
@RESULTS
def compare(runs: tuple[str, ...], by: str | None, force: bool, results: Path) -> int:
    """Put two runs, or the configurations of one, side by side; exit status 1 on a regression."""
    from lab.report.compare import compare_by, compare_runs
    from lab.report.reading import find_run, load_run

    if len(runs) != (2 if by is None else 1):
        allowed = "A B, or one RUN with --by" if by is None else "one RUN with --by"
        raise click.UsageError(f"{len(runs)} runs given, allowed: {allowed}")
    loaded = [load_run(find_run(run, results)) for run in runs]
    found = compare_runs(*loaded, force=force) if by is None else compare_by(loaded[0], by, force=force)
    for line in found.lines:
        click.echo(line)
    return 1 if found.regressions else 0


@commands.command()
@click.argument("names", metavar="[PRESET|FILE.toml]...", nargs=-1)
def networks(names: tuple[str, ...]) -> int:
    """Show networks, by default the presets: round trips between their sites, losses, who stands where, sources."""
    from lab.networks import load_network, network_lines, presets

    for place, network in enumerate([load_network(name) for name in names] or presets()):
        click.echo("\n".join([*([""] if place else []), *network_lines(network)]))
    return 0


@commands.command()
@JSON
@DATA_DIR
def doctor(as_json: bool, data_dir: Path | None) -> int:
    """What this machine can do, and what to do about what it cannot."""
    from lab.cluster.advice import checkup_text
    from lab.cluster.facts import gather_facts, with_target
    from lab.targets.zookeeper.install import find_zookeeper, why_not

    facts = gather_facts(data_dir)
    refused = why_not()
    facts = with_target(facts, "zookeeper", "not there" if refused else find_zookeeper().text, refused)
    click.echo(json_line(facts) if as_json else checkup_text(facts))
    return 0


def _find_max_rate(
    as_json: bool, data_dir: Path | None, trace: Path | None, asked: bool, slo: str | None, fields: dict[str, Any]
) -> int:
    from lab.bench.max_rate import find_max_rate, max_rate_lines, search_fields
    from lab.bench.progress import reporter
    from lab.bench.trial import trial as measure

    if slo is None or not asked:
        raise click.UsageError("--find-max-rate and --slo go together: --find-max-rate --slo p99=10ms")
    fields = search_fields(fields, on_command_line(fields))
    settings = _settings({**fields, "anatomy": fields["anatomy"] or trace is not None})
    with reporter() as shown:
        record = find_max_rate(settings, slo, lambda each: measure(each, suite="max-rate", data_dir=data_dir), shown)
    click.echo(json_line(record) if as_json else "\n".join(max_rate_lines(record)))
    return 0 if record.verified else 1


def _settings(fields: dict[str, Any]) -> Settings:
    """Typed options over what the workload and the target lend over the defaults."""
    from lab.bench.limits import check_failover, check_settings, suited, target_settings, workload_settings
    from lab.bench.networks import network_settings

    typed = given(suited(fields["target"], fields, on_command_line(fields)))
    lent = {
        **workload_settings(typed.pop("workload", None)),
        **target_settings(typed["target"]),
        **network_settings(typed["network"]),
    }
    settings = Settings(**{**lent, **typed})
    return check_settings(settings) if settings.fault is None else check_failover(settings)


def _print_record(record: Any, as_json: bool) -> int:
    from lab.bench.summary import summary

    click.echo(json_line(record) if as_json else summary(record))
    return 0 if record.verified else 1


def _expected_errors() -> tuple[type[Exception], ...]:
    """What is told in one line: bad input, and a world that does not do what was asked."""
    from lab.bench.limits import SettingsError
    from lab.bench.record import RecordError
    from lab.cluster.errors import ClusterError
    from lab.networks import NetworkError
    from lab.targets.target import TargetError
    from lab.zab.errors import ConfigError
    from workloads import WorkloadError

    return SettingsError, RecordError, ConfigError, WorkloadError, NetworkError, TargetError, ClusterError, OSError


def _in_one_line(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        text, context = error.format_message(), getattr(error, "ctx", None)
        if isinstance(error, click.NoSuchOption | click.UsageError) and not isinstance(error, click.BadParameter):
            text += f" (see {context.command_path if context else 'lab'} --help)"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return " ".join(text.split())


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    from lab.bench.lifeline import Interrupted, interruptible

    try:
        with interruptible():
            arguments = list(sys.argv[1:] if argv is None else argv)
            with commands.make_context("lab", arguments) as context:  # click's own main would eat the signal's number
                status = commands.invoke(context)
    except click.exceptions.Exit as done:
        status = done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = 2
    except click.ClickException as error:
        click.echo(f"lab: {_in_one_line(error)}", err=True)
        status = 2
    except Interrupted as error:
        click.echo(f"lab: interrupted by {error}; nothing is left running", err=True)
        status = error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        status = 141
    except _expected_errors() as error:
        click.echo(f"lab: {_in_one_line(error)}", err=True)
        status = 2
    sys.exit(status)
