"""Which points of two runs, or of one, may be held against each other, and why others may not."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from lab.bench.record import Machine, RecordError, Settings
from lab.report.points import (
    DISTANCES,
    KNOBS,
    LINKS,
    USUAL,
    FailoverPoint,
    Point,
    family,
    linked,
    load_of,
    order_of,
    say,
    shape,
    turned,
)
from lab.report.reading import Run

_LENGTHS = ("seconds", "warmup")  # of windows: they may differ along some axes, and are no part of a name
_BROUGHT = ("network_digest", "tick_ms")  # by a network, whose name says as much
_AXIS_FIELDS = {
    "target": ("target", "transport", "warmup"),  # a target brings its links along, and a JVM takes longer to warm up
    "shape": ("voters", "observers"), "durability": ("durability",), "transport": LINKS,
    "network": (*DISTANCES, *_BROUGHT, *_LENGTHS),  # the farther, the longer it takes to see as much
    **{knob.replace("_", "-"): (knob,) for knob in KNOBS},
}  # fmt: skip
AXES = tuple(_AXIS_FIELDS)
# What makes two points the same question; if the rest of their settings differs, they are not comparable.
_IDENTITY = (
    "target", "voters", "observers", *LINKS, *DISTANCES, "durability", "attach", "reads", "fault", "workload"
)  # fmt: skip
_LOAD_IDENTITY = (*_IDENTITY, "clients", "outstanding", *KNOBS)  # where points ask what something does at some load

AnyPoint = TypeVar("AnyPoint", Point, FailoverPoint)


class Pair(msgspec.Struct, frozen=True):
    """Two points of which one is asked against the other."""

    name: str
    a: Point | FailoverPoint
    b: Point | FailoverPoint


def check_machines(runs: dict[str, Run], *, force: bool) -> list[str]:
    seen: dict[str, tuple[str, Machine]] = {}
    for name, run in runs.items():
        machines = [trial.machine for trial in run.trials] + [failover.machine for failover in run.failovers]
        for machine in machines:
            seen.setdefault(machine.id, (name, machine))
    if len(seen) < 2:
        return []
    (first, one), (second, other) = list(seen.values())[:2]
    text = f"{first} ran on {_machine(one)} and {second} on {_machine(other)}"
    if not force:
        raise RecordError(f"compare: {text}: their numbers do not compare; --force compares them anyway")
    return [f"compared although {text}"]


def _machine(machine: Machine) -> str:
    return f"{machine.cores} × {machine.cpu}, {machine.kernel}, Python {machine.python} [{machine.id}]"


def match(ours: Sequence[AnyPoint], theirs: Sequence[AnyPoint]) -> tuple[list[Pair], list[str], list[str]]:
    """(pairs, those whose settings differ in words, those that one side lacks in words)."""
    pairs: list[Pair] = []
    exact = {_key(point): point for point in theirs}
    left = [point for point in ours if _key(point) not in exact]
    pairs += [Pair(_name(p.settings), p, exact[_key(p)]) for p in ours if _key(p) in exact]
    taken = {_key(point) for point in ours}
    rest = [point for point in theirs if _key(point) not in taken]
    spare: dict[tuple[object, ...], AnyPoint] = {_identity(point): point for point in rest}
    mismatches: list[str] = []
    alone: list[str] = []
    for point in left:
        other = spare.pop(_identity(point), None)
        if other is None:
            alone.append(f"only in A: {_name(point.settings)}")
        else:
            pairs.append(Pair(_name(point.settings), point, other))
            mismatches.append(f"{_name(point.settings)} differs: {_differences(point.settings, other.settings)}")
    return pairs, mismatches, [*alone, *(f"only in B: {_name(point.settings)}" for point in spare.values())]


def _key(point: Point | FailoverPoint) -> tuple[str, Settings]:
    return (point.suite if isinstance(point, Point) else "election", point.settings)


def _identity(point: Point | FailoverPoint) -> tuple[object, ...]:
    settings, suite = point.settings, _key(point)[0]
    asked = tuple(
        getattr(settings, field) for field in (_LOAD_IDENTITY if suite in ("speed", "network") else _IDENTITY)
    )
    return (suite, load_of(settings) == 1, settings.cpu_share is None, settings.rate is None, *asked)


def _name(settings: Settings) -> str:
    if settings.fault:
        return say(settings, ["voters", "fault", *_unusual(settings)])
    reads = ["reads"] if settings.reads else []
    named = say(settings, ["voters", "durability", "attach", *reads, *_unusual(settings)])
    return f"{named}, {load_of(settings)} outstanding"


def _unusual(settings: Settings) -> list[str]:
    target = ["target"] if settings.target != USUAL.target else []
    return [*target, *linked(settings), *turned(settings)]


def _differences(a: Settings, b: Settings) -> str:
    fields = [field for field in Settings.__struct_fields__ if getattr(a, field) != getattr(b, field)]
    return ", ".join(f"{field} {getattr(a, field)} in A, {getattr(b, field)} in B" for field in fields)


def pairs_along(points: Sequence[AnyPoint], axis: str) -> list[Pair]:
    fields = _AXIS_FIELDS[axis]
    groups: dict[tuple[str, Settings], list[AnyPoint]] = {}
    for point in points:
        settings = family(point.settings) if axis == "shape" else point.settings
        rest = msgspec.structs.replace(settings, **{field: getattr(USUAL, field) for field in fields})
        groups.setdefault((_key(point)[0], rest), []).append(point)
    pairs: list[Pair] = []
    for group in groups.values():
        ordered = sorted(group, key=lambda point: order_of(point.settings))
        first = next((p for p in ordered if axis == "shape" and shape(p.settings) == "3+0"), ordered[0])
        asked = [field for field in fields if field not in _LENGTHS]
        pairs += [Pair(f"{_name(other.settings)} / {_first_name(first.settings, axis)}", first, other)
                  for other in ordered if _differ(first.settings, other.settings, asked)]  # fmt: skip
    return pairs


def _first_name(settings: Settings, axis: str) -> str:
    """What along the axis the others are held against."""
    fields = [field for field in _AXIS_FIELDS[axis] if field not in _LENGTHS]
    if axis == "network":
        fields = [field for field in linked(settings) if field in DISTANCES] or ["network"]
    return say(settings, fields)


def _differ(one: Settings, other: Settings, fields: Sequence[str]) -> bool:
    return any(getattr(one, field) != getattr(other, field) for field in fields)
