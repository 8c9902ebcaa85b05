"""Which host measures what: decided here, carried out in `lab.hosts.sweep`.

A *group* is what the report compares: the points and jobs of one suite.  A *block* is one round of one group, in the
order in which it is to be measured, and a block is measured by one host, so whatever differs between hosts is the same
for everything in it, and every configuration of a group has as many values of each host as the others (less what
failed).  A *kind* is a set of hosts whose machines are alike (`Machine.id`: CPU, cores, memory, kernel, versions, file
system).  All blocks of a group go to hosts of one kind, as records of different machines do not compare.
"""

import random
from collections.abc import Mapping, Sequence

import msgspec

from lab.bench.plan import Plan, Step, guess_s, in_order
from lab.bench.point import SUITES, Point

Kind = str


class Block(msgspec.Struct, frozen=True):
    """What one host is to measure, one step after the other."""

    group: str
    round_: int
    steps: tuple[Step, ...]
    again: bool = False  # the first step's first host was lost under it


class Blocks:
    """Hands out blocks; `seconds` are since the beginning."""

    def __init__(self, plan: Plan, kinds: Mapping[str, Kind]) -> None:
        """`kinds`: of each host."""
        self._profile, self._seed = plan.profile, plan.seed
        steps: tuple[Step, ...] = (*plan.points, *plan.profile.jobs)
        by_group = {suite: tuple(step for step in steps if step.suite == suite) for suite in SUITES}
        self._groups = {group: its for group, its in by_group.items() if its}
        self._kinds = dict(kinds)
        self._kind_of = assigned({g: self._cost_s(g, 0) * self._planned(g) for g in self._groups}, list(kinds.values()))
        self._next_round = dict.fromkeys(self._groups, 0)
        self._left: list[Block] = []  # of hosts that were lost
        self._under_way = self._measured = 0

    @property
    def hosts(self) -> list[str]:
        """Those that are left."""
        return list(self._kinds)

    @property
    def is_done(self) -> bool:
        """Nothing is under way, so what could still come of `next` is all that will ever come."""
        return self._under_way == 0

    def next(self, host: str, seconds: float) -> Block | None:
        """For this host, which has nothing to do.  None: nothing, unless another host is lost meanwhile."""
        block = self._leftover(host) or self._fresh(host, seconds)
        self._under_way += block is not None
        return block

    def measured(self) -> None:
        """A step has come to its end."""
        self._measured += 1

    def ended(self) -> None:
        """A block has come to its end."""
        self._under_way -= 1

    def lost(self, host: str, block: Block | None, index: int) -> bool:
        """A host is gone, under step `index` of that block; True if that step will be measured once more.

        The groups of a kind that has no host left go to another one, and so to different machines.
        """
        kind = self._kinds.pop(host)
        if self._kinds and kind not in self._kinds.values():
            other = next(iter(self._kinds.values()))
            self._kind_of = {group: other if its == kind else its for group, its in self._kind_of.items()}
        if block is None:
            return False
        self._under_way -= 1
        again = not (block.again and index == 0) and bool(self._kinds)
        rest = block.steps[index if again else index + 1 :]
        if rest:
            self._left.append(msgspec.structs.replace(block, steps=rest, again=again))
        return again

    def kind_of(self, group: str) -> Kind:
        return self._kind_of[group]

    def share_done(self) -> float:
        """Of what is planned, 0 to 1."""
        planned = sum(len(self._in_round(g, n)) for g in self._groups for n in range(self._planned(g)))
        return min(1.0, self._measured / max(1, planned))

    def _leftover(self, host: str) -> Block | None:
        for index, block in enumerate(self._left):
            if self._kind_of[block.group] == self._kinds[host]:
                return self._left.pop(index)
        return None

    def _fresh(self, host: str, seconds: float) -> Block | None:
        """The next round of the group that is furthest behind its plan."""
        mine = [group for group in self._groups if self._kind_of[group] == self._kinds[host]]
        wanted = [group for group in mine if self._is_wanted(group, seconds)]
        if not wanted:
            return None
        group = min(wanted, key=lambda group: self._next_round[group] / self._planned(group))
        round_ = self._next_round[group]
        self._next_round[group] += 1
        order = in_order(self._in_round(group, round_), random.Random(f"{self._seed}/{group}/{round_}"), round_)
        return Block(group, round_, tuple(order))

    def _is_wanted(self, group: str, seconds: float) -> bool:
        profile, round_ = self._profile, self._next_round[group]
        if not self._in_round(group, round_):
            return False
        if profile.rounds_most is not None and round_ >= profile.rounds_most:
            return False
        return round_ < profile.rounds_least or seconds + self._cost_s(group, round_) <= profile.budget_s

    def _in_round(self, group: str, round_: int) -> list[Step]:
        """What is planned for the round; past the plan of every point everything, so that intervals become narrower."""
        steps = self._groups[group]
        extra = round_ >= self._planned(group) and any(isinstance(step, Point) for step in steps)
        return [step for step in steps if round_ < step.rounds or extra]

    def _planned(self, group: str) -> int:
        points = [step for step in self._groups[group] if isinstance(step, Point)] or self._groups[group]
        return max(step.rounds for step in points)

    def _cost_s(self, group: str, round_: int) -> float:
        return sum(guess_s(step, round_) for step in self._in_round(group, round_))


def assigned(costs: Mapping[str, float], kinds: Sequence[Kind]) -> dict[str, Kind]:
    """A kind for each group: the dearest first, each to the kind that would be done with it first.

    `kinds` has one entry for each host.
    """
    load = dict.fromkeys(kinds, 0.0)
    chosen: dict[str, Kind] = {}
    for group in sorted(costs, key=lambda group: -costs[group]):
        chosen[group] = min(load, key=lambda kind: (load[kind] + costs[group]) / kinds.count(kind))
        load[chosen[group]] += costs[group]
    return chosen
