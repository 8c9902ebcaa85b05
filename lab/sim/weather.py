"""What a network of datagrams is like for one seed, and the faults that only it knows; drawn beside the seed's plan.

The plan of a seed is the same whatever carries its frames: what is drawn here comes from random sources of its own.
"""

import random
from collections.abc import Callable

import msgspec

from lab.sim.draw import TICK_MS, Draw
from lab.sim.plan import (
    AnyWindowFault,
    CutWay,
    Downpour,
    Echo,
    EndLink,
    Plan,
    Planned,
    Replay,
    Weather,
)
from lab.zab.config import ZabConfig

_ENABLED_SHARE = 0.5
_FAULTS_A_TICK = (0.0, 0.1, 0.2, 0.4)


def draw_weather(seed: int) -> Weather:
    rng = random.Random(f"weather {seed}")
    sealed = rng.random() < 0.5
    return Weather(
        loss=rng.choice((0.0, 0.0, 0.01, 0.1, 0.3)),
        duplicate=rng.choice((0.0, 0.0, 0.02, 0.3)),
        reorder=rng.choice((0.0, 0.0, 0.05, 0.5)),
        damage=rng.choice((0.0, 0.01, 0.1)),
        sealed=sealed,
        mtu_bytes=rng.choice((576, 1_400, 1_400, 9_000)),
        receive_bytes_max=rng.choice((20_000, 4 << 20)),
        queue_bytes_max=rng.choice((100_000, 64 << 20)),
        padding=rng.choice((0, 0, 0, 0, 0, 0, 2_000, 20_000)),
        is_probed=rng.random() < 0.25,
    )


def with_faults_of_windows(plan: Plan, config: ZabConfig) -> Plan:
    """The plan and some more faults, whose numbers follow those of its own."""
    rng = random.Random(f"datagrams {plan.seed}")
    draw = Draw(rng, config)
    enabled = [kind for kind in _KINDS if rng.random() < _ENABLED_SHARE]
    count = int(rng.choice(_FAULTS_A_TICK) * plan.ticks) if enabled else 0
    first = 1 + max((planned.number for planned in plan.faults), default=-1)
    more = [
        Planned(first + index, rng.random() * plan.ticks * TICK_MS, rng.choice(enabled)(draw)) for index in range(count)
    ]
    faults = sorted((*plan.faults, *more), key=lambda planned: (planned.at_ms, planned.number))
    return msgspec.structs.replace(plan, faults=tuple(faults))


def _cut_way(d: Draw) -> AnyWindowFault:
    return CutWay(*d.pair(), d.long_ms())


def _downpour(d: Draw) -> AnyWindowFault:
    return Downpour(*d.pair(), d.rng.choice((0.3, 0.6, 0.9)), d.long_ms())


def _replay(d: Draw) -> AnyWindowFault:
    return Replay(*d.pair(), d.rng.random() < 0.3, d.rng.choice((1, 8, 64)))


def _echo(d: Draw) -> AnyWindowFault:
    return Echo(*d.pair(), d.rng.choice((20.0, 100.0, 600.0)), d.long_ms())


def _end_link(d: Draw) -> AnyWindowFault:
    return EndLink(*d.pair(), d.rng.randint(1, 5), d.rng.choice((5.0, 50.0, 250.0)))


_KINDS: tuple[Callable[[Draw], AnyWindowFault], ...] = (_cut_way, _downpour, _replay, _echo, _end_link)
