"""The commands that break the protocol on purpose, in a deterministic world: `sim` and `selftest` (DESIGN 5)."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lab.sim.explore import Finding
    from lab.sim.mutants.hunt import Catch
    from lab.sim.plan import Links


def _fault_numbers(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """`3,17` or `none`."""
    if value is None:
        return None
    numbers = [] if value == "none" else value.split(",")
    if not all(number.isdecimal() for number in numbers):
        raise click.BadParameter(f"{value!r} is no list of numbers as 3,17, and not `none`", context, option)
    return tuple(map(int, numbers))


def _first_seed(context: click.Context, option: click.Parameter, value: str) -> int:
    """A number, or `today`: other seeds on every day, so that nobody tunes anything to a list of them."""
    if value == "today":
        return int(time.time() / 86_400) * 100_000
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number from 0 on nor `today`", context, option)
    return int(value)


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=500, show_default=True, help="how many, one after the other")
@click.option("--from", "first", callback=_first_seed, default="0", help="the first, or today: by the date  [0]")
@click.option("--seed", type=click.IntRange(0), help="this one only")
@click.option(
    "--links",
    type=click.Choice(["ideal", "window"]),
    default="ideal",
    show_default=True,
    help="what carries frames between servers: window is sessions over a network that loses datagrams",
)
@click.option("--trace", "is_traced", is_flag=True, help="with --seed: print what every server did")
@click.option("--coverage", "is_covered", is_flag=True, help="print what the seeds reached, and what they never did")
@click.option("--shrink", "is_shrunk", is_flag=True, help="with --seed: reduce what happens as long as the fault shows")
@click.option("--faults", callback=_fault_numbers, help="with --seed: these faults of its plan only, as 3,17 or none")
@click.option("--ticks", type=click.IntRange(0), help="with --seed: that many ticks of chaos")
@click.option("--clients", type=click.IntRange(0), help="with --seed: that many clients")
@click.option("--operations", type=click.IntRange(0), help="with --seed: that many operations of each client")
def sim(
    seeds: int,
    first: int,
    seed: int | None,
    links: "Links",
    is_traced: bool,
    is_covered: bool,
    is_shrunk: bool,
    **reduced: Any,
) -> int:
    """Break the protocol on purpose in a deterministic world; stop at the first seed that shows a fault in it."""
    from lab.sim.explore import examine, trace
    from lab.sim.plan import Reduction

    if seed is None:
        for option, given in (("trace", is_traced), ("shrink", is_shrunk), *reduced.items()):
            if given not in (None, False):
                raise click.UsageError(f"--{option} needs --seed: which of them?")
        finding = (_covered if is_covered else _first_finding)(range(first, first + seeds), links)
    else:
        reduction = Reduction(**reduced)
        finding = trace(seed, click.echo, reduction, links) if is_traced else examine(seed, reduction, links=links)
        if finding is not None and is_shrunk:
            finding = _shrunk(finding)
    if finding is not None:
        click.echo("\n".join(finding.lines()), err=True)
        return 1
    click.echo(f"{seeds} seeds from {first}: nothing found" if seed is None else f"seed {seed}: nothing found")
    return 0


def _covered(seeds: range, links: "Links") -> "Finding | None":
    from contextlib import closing

    from lab.sim.coverage import Counts, cover_many, table

    total = Counts()
    with closing(cover_many(seeds, *_workers(), links)) as outcomes:
        for finding, counts in outcomes:
            total.update(counts)
            if finding is not None:
                return finding
    click.echo(table(total, len(seeds), links))
    return None


def _shrunk(finding: "Finding") -> "Finding":
    from lab.bench.progress import reporter
    from lab.sim.shrink import Shrinker, describe_plan

    with reporter() as shown:
        smallest = Shrinker(finding, shown.note).shrink()
    click.echo("\n".join(describe_plan(smallest)))
    return smallest


def _first_finding(seeds: range, links: "Links") -> "Finding | None":
    from lab.bench.progress import reporter
    from lab.sim.explore import examine_many

    started = time.monotonic()
    every = max(1, len(seeds) // 20)
    with reporter() as shown:
        outcomes = examine_many(seeds, *_workers(), links)
        for done, finding in enumerate(outcomes, 1):
            if finding is not None:
                outcomes.close()
                return finding
            if done % every == 0:
                left_s = (time.monotonic() - started) / done * (len(seeds) - done)
                shown.doing(f"{done} of {len(seeds)} seeds", done / len(seeds), left_s)
    return None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print one line of JSON, nothing else")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="write the table there, as Markdown")
def selftest(as_json: bool, page: Path | None) -> int:
    """Known-broken variants of the protocol: which check catches each; exit status 1 if one is missed."""
    import orjson

    from lab.sim.mutants import outcome

    catches = outcome.in_order(_hunts())
    if page is not None:
        page.write_text(outcome.page(catches))
    found = outcome.record(catches)
    click.echo(orjson.dumps(found).decode() if as_json else outcome.table(catches))
    return 1 if found["missed"] else 0


def _hunts() -> "list[Catch]":
    from lab.bench.progress import reporter
    from lab.sim.mutants.hunt import hunt_all
    from lab.sim.mutants.planting import every_mutant

    started, total, catches = time.monotonic(), len(every_mutant()), list["Catch"]()
    with reporter() as shown:
        for catch in hunt_all(*_workers()):
            catches.append(catch)
            left_s = (time.monotonic() - started) / len(catches) * (total - len(catches))
            shown.doing(f"{catch.name}: {catch.caught_by or 'missed'}", len(catches) / total, left_s)
    return catches


def _workers() -> tuple[int, Callable[[], object]]:
    """How many processes to share the work out to, and what each of them calls first."""
    from functools import partial

    from lab.bench.lifeline import die_with_parent

    return len(os.sched_getaffinity(0)), partial(die_with_parent, os.getpid())
