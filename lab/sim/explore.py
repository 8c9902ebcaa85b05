"""Many seeds, each a walk through chaos into calm: what `python -m lab sim` runs (DESIGN 5).

A seed fixes the ensemble, its settings, the load and every fault.  Chaos checks safety as it goes; then the faults end,
and within a bound everybody must serve and hold what was acknowledged to anybody.
"""

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from lab.sim.chaos import Chaos
from lab.sim.draw import draw_plan
from lab.sim.errors import InvariantError
from lab.sim.machine import TICK_MS
from lab.sim.observer import MachineEvent, Observer
from lab.sim.plan import WHOLE, Links, Plan, Planned, Reduction
from lab.sim.trace import trace_effect
from lab.sim.weather import draw_weather, with_faults_of_windows
from lab.sim.window_network import WindowNetwork
from lab.sim.workers import working
from lab.sim.world import World
from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect
from lab.zab.quorum import quorum_of

CALM_TICKS_MAX = 200
_TICKS_LATE = 12  # that a frame of the time before may still take to arrive
_TICKS_CUT = 4  # for which a link that was found to be down is watched
_ELECTIONS_MAX = 3  # until a leader stands, once faults have stopped (zab.md 9.2)
_SEEDS_A_TASK = 8


class Finding(msgspec.Struct, frozen=True):
    """A seed whose walk broke a promise, or a server that stopped by an assertion."""

    seed: int
    links: Links
    reduction: Reduction
    at_ms: float  # of virtual time
    step: int  # effects of all servers until then
    what: str  # the invariant and the states that clash
    servers: list[str]  # one line each

    @property
    def kind(self) -> str:
        """The invariant, or the kind of error: what two findings have in common that show the same fault."""
        return self.what.partition(":")[0]

    @property
    def replay(self) -> str:
        links = "" if self.links == "ideal" else f" --links {self.links}"
        return f"python -m lab sim{links} --seed {self.seed}{self.reduction.options()}"

    def lines(self) -> list[str]:
        return [
            f"seed {self.seed}, step {self.step}, {self.at_ms:.6g} ms: {self.what}",
            *(f"  server {server}" for server in self.servers),
            f"again: {self.replay} --trace",
        ]


def walk(world: World, plan: Plan) -> World:
    """Chaos, then calm.  Raises InvariantError, or whatever a server stopped with."""
    world.start()
    chaos = Chaos(world, plan)
    chaos.run()
    chaos.calm_down()
    with links_asked_first(world):
        if plan.quorum_first:
            elect_with_a_quorum(world, random.Random(f"calm {plan.seed}"))
        world.run_until_serving(CALM_TICKS_MAX)
    if isinstance(world.network, WindowNetwork):
        check_datagrams(world, world.network, random.Random(f"probe {plan.seed}"))
    world.check_calm()
    return world


@contextmanager
def links_asked_first(world: World) -> Iterator[None]:
    """An ensemble that does not come back is the links' fault if they hold something back (LINK-4)."""
    try:
        yield
    except InvariantError:
        if isinstance(world.network, WindowNetwork):
            world.network.check_arrival()
        raise


def elect_with_a_quorum(world: World, rng: random.Random) -> None:
    """As few voters as decide are connected, the other servers stand alone: these few get a leader within a bound.

    A voter that lost its disk is not among them (Z-12).
    """
    config, quorum = world.config, quorum_of(world.config)
    able = [me for me in config.voters if world.running(me).peer.state_of_zab.may_vote]
    voters = rng.sample(able, len(able))
    few = next(voters[:count] for count in range(1, len(voters) + 1) if quorum.contains(voters[:count]))
    world.partition([few])
    if isinstance(world.network, WindowNetwork):
        world.advance(world.network.silence_ms)  # until then a leader that is cut off may still be taken for one
    finalize_ticks = -(-config.finalize_wait_ms // TICK_MS)
    detection_ticks = config.sync_limit_ticks + 1
    world.run_until_led(few, detection_ticks + _ELECTIONS_MAX * (finalize_ticks + config.init_limit_ticks))
    world.heal()


def check_datagrams(world: World, network: WindowNetwork, rng: random.Random) -> None:
    """Without faults everything that was sent arrives (LINK-4); a link that works one way only is none (LINK-3)."""
    for _ in range(_TICKS_LATE):
        if network.oldest()[0] < TICK_MS:  # there is always some frame under way
            break
        world.advance(TICK_MS)
    network.check_arrival()
    if not network.weather.is_probed or len(world.machines) == 1:
        return
    a, b = rng.sample(sorted(world.machines), 2)
    network.cut_way((a, b))
    world.advance(network.silence_ms)
    for _ in range(_TICKS_CUT):
        for me, other in ((a, b), (b, a)):
            if network.is_up(me, other):
                raise InvariantError(
                    "LINK-3", f"nothing has passed from {a} to {b} for too long, and for {me} that link is up"
                )
        world.advance(TICK_MS)
    network.mend_way((a, b))
    world.run_until_serving(CALM_TICKS_MAX)
    network.check_arrival()


def set_out(seed: int, links: Links) -> tuple[World, Plan]:
    """The world of a seed, and all that is to happen there."""
    if links == "ideal":
        world = World.from_seed(seed)
        return world, draw_plan(seed, world.config)
    world = World.from_seed(seed, draw_weather(seed))
    return world, with_faults_of_windows(draw_plan(seed, world.config), world.config)


def examine(
    seed: int, reduction: Reduction = WHOLE, observers: Iterable[Observer] = (), links: Links = "ideal"
) -> Finding | None:
    """Walk the seed; None if nothing was wrong."""
    (world, plan), steps = set_out(seed, links), Steps()
    for observer in (steps, *observers):
        world.observers.add(observer)
    try:
        walk(world, reduction.of(plan))
    except Exception as error:  # noqa: BLE001 - whatever stops a server or breaks a promise is what is looked for
        what = str(error) if isinstance(error, AssertionError) and str(error) else f"{type(error).__name__}: {error}"
        servers = [world.describe(me) for me in sorted(world.machines)]
        return Finding(seed, links, reduction, world.clock.now_ms(), steps.count, what, servers)
    return None


class Steps(Observer):
    """Numbers the effects of all servers."""

    count = 0

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:  # noqa: ARG002
        self.count += 1


class Trace(Steps):
    """Writes a line for everything that every server does and for every fault; the same bytes every time."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        self.count += 1
        for line in trace_effect(server, effect)[1]:
            self._write(f"{self.count:6} {line}")

    def on_machine(self, server: PeerId, what: MachineEvent) -> None:
        self._write(f"{self.count:6} {server} {what.value}")

    def on_fault(self, at_ms: float, planned: Planned) -> None:
        self._write(f"{self.count:6} {at_ms:.6g} ms: fault {planned.number}: {planned.fault}")


def trace(
    seed: int, write: Callable[[str], object], reduction: Reduction = WHOLE, links: Links = "ideal"
) -> Finding | None:
    return examine(seed, reduction, [Trace(write)], links)


def examine_many(
    seeds: range, workers: int, lifeline: Callable[[], object], links: Links = "ideal"
) -> Generator[Finding | None]:
    """One outcome per seed, in their order, from that many processes; each calls `lifeline` first."""
    with working(workers, lifeline) as pool:
        yield from pool.map(partial(examine, links=links), seeds, chunksize=_SEEDS_A_TASK)
