"""Many seeds, each a walk through chaos into calm: what `python -m lab sim` runs (DESIGN 5).

A seed fixes the ensemble, its settings, the load and every fault.  Chaos checks safety as it goes; then the faults end,
and within a bound everybody must serve and hold what was acknowledged to anybody.
"""

from collections.abc import Callable, Generator, Iterable

import msgspec

from lab.sim.chaos import Chaos
from lab.sim.observer import EffectObserver, Observer
from lab.sim.trace import trace_effect
from lab.sim.workers import working
from lab.sim.world import World
from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect

Watch = Callable[[PeerId, PeerEffect], object]

CHAOS_TICKS = 80
CALM_TICKS_MAX = 200
_SEEDS_A_TASK = 8


class Finding(msgspec.Struct, frozen=True):
    """A seed whose walk broke a promise, or a server that stopped by an assertion."""

    seed: int
    at_ms: float  # of virtual time
    step: int  # effects of all servers until then
    what: str  # the invariant and the states that clash
    servers: list[str]  # one line each

    def lines(self) -> list[str]:
        return [
            f"seed {self.seed}, step {self.step}, {self.at_ms:g} ms: {self.what}",
            *(f"  server {server}" for server in self.servers),
            f"again: python -m lab sim --seed {self.seed} --trace",
        ]


def walk(world: World, ticks: int = CHAOS_TICKS) -> World:
    """Chaos, then calm.  Raises InvariantError, or whatever a server stopped with."""
    world.start()
    chaos = Chaos(world)
    chaos.run(ticks)
    chaos.calm_down()
    world.run_until_serving(CALM_TICKS_MAX)
    world.check_calm()
    return world


def examine(seed: int, watch: Watch | None = None, observers: Iterable[Observer] = ()) -> Finding | None:
    """Walk the seed; None if nothing was wrong.  `watch` sees every effect of every server, in order."""
    world, steps = World.from_seed(seed), 0

    def count(server: PeerId, effect: PeerEffect) -> None:
        nonlocal steps
        steps += 1
        if watch is not None:
            watch(server, effect)

    for observer in (EffectObserver(count), *observers):
        world.observers.add(observer)
    try:
        walk(world)
    except Exception as error:  # noqa: BLE001 - whatever stops a server or breaks a promise is what is looked for
        what = str(error) if isinstance(error, AssertionError) and str(error) else f"{type(error).__name__}: {error}"
        return Finding(seed, world.clock.now_ms(), steps, what, [world.describe(me) for me in sorted(world.machines)])
    return None


def trace(seed: int, write: Callable[[str], object]) -> Finding | None:
    """As `examine`, and write a line for everything that every server did; the same bytes every time."""
    step = 0

    def show(server: PeerId, effect: PeerEffect) -> None:
        nonlocal step
        step += 1
        for line in trace_effect(server, effect)[1]:
            write(f"{step:6} {line}")

    return examine(seed, show)


def examine_many(seeds: range, workers: int, lifeline: Callable[[], object]) -> Generator[Finding | None]:
    """One outcome per seed, in their order, from that many processes; each calls `lifeline` first."""
    with working(workers, lifeline) as pool:
        yield from pool.map(examine, seeds, chunksize=_SEEDS_A_TASK)
