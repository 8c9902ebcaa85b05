"""Reducing the plan of a seed that shows a fault to a small one that still shows it (delta debugging)."""

from collections.abc import Callable, Sequence

import msgspec

from lab.sim.explore import Finding, examine, set_out
from lab.sim.machine import TICK_MS
from lab.sim.plan import Plan, Planned, Weather
from lab.sim.window_network import WindowNetwork

Progress = Callable[[str], object]


class Shrinker:
    """Tries smaller plans of one seed, and keeps the smallest that ends with the same kind of finding."""

    def __init__(self, finding: Finding, progress: Progress) -> None:
        self.best = finding
        self._progress = progress

    def shrink(self) -> Finding:
        """Fewer faults first, then a shorter walk, fewer clients and operations, and once more the faults."""
        self._cut_the_rest_off()
        size = None
        while size != (size := self._size()):
            self._drop_faults()
            self._lower("clients", 0)
            self._lower("operations", 1)
            self._cut_the_rest_off()
        return self.best

    def _plan(self) -> Plan:
        return reduced_plan(self.best)

    def _size(self) -> tuple[int, int, int, int]:
        plan = self._plan()
        return len(plan.faults), plan.ticks, plan.clients, plan.operations

    def _try(self, **smaller: object) -> bool:
        """Whether the finding is still there; if so, this is the best now."""
        reduction = msgspec.structs.replace(self.best.reduction, **smaller)
        finding = examine(self.best.seed, reduction, links=self.best.links)
        if finding is None or finding.kind != self.best.kind:
            return False
        self.best = finding
        faults, ticks, clients, operations = self._size()
        self._progress(f"{faults} faults, {ticks} ticks, {clients} clients, {operations} operations each")
        return True

    def _cut_the_rest_off(self) -> None:
        """What comes after the finding played no part, unless it shows in calm only."""
        plan = self._plan()
        ticks = int(self.best.at_ms / TICK_MS) + 1
        if ticks < plan.ticks:
            self._try(ticks=ticks, faults=_numbers([f for f in plan.faults if f.at_ms <= self.best.at_ms]))
        else:
            self._lower("ticks", 1)

    def _drop_faults(self) -> None:
        """Drop parts of the list, halves first, down to single ones."""
        numbers = _numbers(self._plan().faults)
        part = max(len(numbers) // 2, 1)
        while numbers and part:
            start = 0
            while start < len(numbers):
                fewer = numbers[:start] + numbers[start + part :]
                if self._try(faults=fewer):
                    numbers = fewer
                else:
                    start += part
            part //= 2

    def _lower(self, what: str, least: int) -> None:
        """Halve a number as long as that goes, then go down by ones a few times."""
        for step in (_half, _one_less):
            for _ in range(8):
                number = getattr(self._plan(), what)
                if number <= least or not self._try(**{what: max(step(number), least)}):
                    break


def _half(number: int) -> int:
    return number // 2


def _one_less(number: int) -> int:
    return number - 1


def _numbers(faults: Sequence[Planned]) -> tuple[int, ...]:
    return tuple(planned.number for planned in faults)


def reduced_plan(finding: Finding) -> Plan:
    return finding.reduction.of(set_out(finding.seed, finding.links)[1])


def describe_plan(finding: Finding) -> list[str]:
    """The plan of a finding, for people."""
    world, plan = set_out(finding.seed, finding.links)
    plan, config = finding.reduction.of(plan), world.config
    settings = {name: getattr(config, name) for name in config.__struct_fields__}
    usual = type(config)(voters=config.voters)
    shown = {name: value for name, value in settings.items() if name not in ("voters", "observers")}
    differing = (f"{name}={value}" for name, value in shown.items() if value != getattr(usual, name))
    return [
        f"ensemble: voters {config.voters}, observers {config.observers}: {', '.join(differing)}",
        f"load: {plan.clients} clients, {plan.operations} operations each, {plan.ticks} ticks",
        *([f"datagrams: {_show_weather(world.network.weather)}"] if isinstance(world.network, WindowNetwork) else []),
        f"frames under way {_range(plan.pace)}, flushes take {_range(plan.flush)}",
        *(f"fault {planned}" for planned in plan.faults),
    ]


def _show_weather(weather: Weather) -> str:
    return ", ".join(f"{name}={getattr(weather, name)}" for name in weather.__struct_fields__)


def _range(pace: tuple[float, float]) -> str:
    return f"{pace[0]:g} to {pace[0] + pace[1]:g} ms"
