"""What catches a mutant: random walks, seed after seed, then the scenario that was written for it, if there is one."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed

import msgspec

from lab.sim.errors import InvariantError
from lab.sim.explore import examine
from lab.sim.mutants.planting import every_mutant
from lab.sim.script import Script
from lab.sim.workers import working
from lab.storage.errors import StorageError

SEEDS_MAX = 2_000
SEEDS_BEFORE_SCENARIO = 25  # a scenario is there because more would find little


class Catch(msgspec.Struct, frozen=True):
    """`caught_by` is as `caught_by` below names it, or empty: it was missed."""

    name: str
    caught_by: str
    seeds: int  # that were walked; 0: the scenario alone
    how: str = ""  # the words of the finding


def hunt(name: str, seeds_max: int = SEEDS_MAX) -> Catch:
    """Plant the mutant in this process, and look for whatever objects to it."""
    mutant = every_mutant()[name]
    limit = min(seeds_max, SEEDS_BEFORE_SCENARIO) if mutant.scenario else seeds_max
    with mutant.planted():
        for seed in range(limit):
            finding = examine(seed, links=mutant.links)
            if finding is not None:
                return Catch(name, _by_words(finding.what), seed + 1, finding.what)
        if mutant.scenario:
            try:
                play(mutant.scenario)
            except Exception as error:  # noqa: BLE001 - whatever objects is what is looked for
                return Catch(name, f"{caught_by(error)} in scenario {mutant.scenario_name}", limit, str(error))
    return Catch(name, "", limit)


def play(commands: tuple[str, ...]) -> None:
    script = Script()
    for command in commands:
        script.run(command.removeprefix("> "))


def caught_by(error: Exception) -> str:
    """Whose objection it is: an invariant's, a server's own assertion, or recovery's, which refuses a damaged disk."""
    if isinstance(error, InvariantError):
        return error.invariant
    if isinstance(error, StorageError):
        return "recovery"
    return "assertion" if isinstance(error, AssertionError) else type(error).__name__


def _by_words(finding: str) -> str:
    """As `caught_by`, of an error in words: the name of the invariant stands first, or the type of the error."""
    first = finding.partition(": ")[0]
    if first == "liveness" or first.startswith(("INV-", "LINK-")):
        return first
    return "recovery" if re.fullmatch(r"(Corrupt|DataFolder|Disk)\w*Error", first) else "assertion"


def hunt_all(workers: int, lifeline: Callable[[], object], seeds_max: int = SEEDS_MAX) -> Iterator[Catch]:
    """Every mutant, in processes of their own that call `lifeline` first; as they are caught, in no order."""
    with working(workers, lifeline) as pool:
        hunts = [pool.submit(hunt, name, seeds_max) for name in every_mutant()]
        for done in as_completed(hunts):
            yield done.result()
