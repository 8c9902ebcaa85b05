"""What a mutant is: a function that patches the lab, named after the mistake, with the rule or JIRA it breaks."""

import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import lab.sim.mutants
from lab.sim.plan import Links


class Patch:
    """Replaces attributes of classes and modules, and puts them back."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any]] = []

    def __call__(self, owner: Any, name: str, value: Any) -> None:
        self._replaced.append((owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    def undo(self) -> None:
        for owner, name, value in reversed(self._replaced):
            setattr(owner, name, value)
        self._replaced.clear()


Plant = Callable[[Patch], None]


@dataclass(frozen=True)
class Mutant:
    """`breaks` names the rule; `scenario` is a script that shows the mistake where random walks rarely do."""

    name: str
    breaks: str
    what: str
    plant: Plant
    links: Links = "ideal"  # over which walks look for it
    scenario_name: str = ""
    scenario: tuple[str, ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        patch = Patch()
        try:
            self.plant(patch)
            yield
        finally:
            patch.undo()


_found: dict[str, Mutant] = {}


def mutant(
    breaks: str, *, links: Links = "ideal", scenario_name: str = "", scenario: str = ""
) -> Callable[[Plant], Plant]:
    """Registers the function as a mutant; its docstring says what goes wrong."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__
        assert name not in _found, f"two mutants are called {name}"
        commands = tuple(line for line in scenario.strip().splitlines() if line and not line.startswith("#"))
        what = " ".join((plant.__doc__ or "").split())
        assert what, f"{name} does not say what it breaks"
        _found[name] = Mutant(name, breaks, what, plant, links, scenario_name, commands)
        return plant

    return register


@cache
def every_mutant() -> dict[str, Mutant]:
    """By name, in the order of the modules and within them."""
    for info in sorted(pkgutil.iter_modules(lab.sim.mutants.__path__), key=lambda info: info.name):
        import_module(f"{lab.sim.mutants.__name__}.{info.name}")
    return dict(_found)
