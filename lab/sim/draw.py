"""Drawing a plan from a seed.  Each seed enables some kinds of faults only, so that some are quiet and some are mad."""

import random
from collections.abc import Callable

from lab.sim import plan as p
from lab.sim.plan import AnyPlanned, Plan, Planned
from lab.zab.config import PeerId, ZabConfig
from lab.zab.quorum import quorum_of

# Walks of 25 ticks catch more mutants in a second of CPU than ones of 80 with half the faults a tick do (1.4 times at
# the median of nine): another seed brings more that is new than more of the same one.
CHAOS_TICKS = (15, 25, 35)
FAULTS_A_TICK = (0.0, 0.24, 0.48, 0.8, 1.2)
OPERATIONS_A_TICK = (2.4, 4.0, 6.0)  # of each client
TICK_MS = 100
CLIENTS = 3
_ENABLED_SHARE = 0.4
_CLOSE_MS = 60.0  # two faults this close to each other may meet in one step of the protocol


def draw_plan(seed: int, config: ZabConfig) -> Plan:
    rng = random.Random(f"plan {seed}")
    draw = Draw(rng, config)
    enabled = [kind for kind in _KINDS if rng.random() < _ENABLED_SHARE]
    ticks = rng.choice(CHAOS_TICKS)
    count = int(rng.choice(FAULTS_A_TICK) * ticks) if enabled else 0
    faults, at_ms = list[Planned](), 0.0
    for number in range(count):
        near = number and rng.random() < 0.3
        at_ms = at_ms + rng.random() * _CLOSE_MS if near else rng.random() * ticks * TICK_MS
        faults.append(Planned(number, at_ms, rng.choice(enabled)(draw)))
    gap_ms = rng.choice((80.0, 200.0, 400.0))
    return Plan(
        seed=seed,
        ticks=ticks,
        clients=CLIENTS,
        operations=int(rng.choice(OPERATIONS_A_TICK) * ticks),
        gap_ms=gap_ms,
        burst=int(gap_ms / 6),
        grain_ms=rng.choice((5.0, 20.0, 20.0, 40.0)),
        pace=rng.choice(((0.0, 0.0), (0.0, 5.0), (1.0, 20.0), (10.0, 60.0))),
        flush=rng.choice(((0.0, 0.0), (0.0, 0.0), (0.0, 10.0), (5.0, 60.0))),
        quorum_first=rng.random() < 0.3,
        may_lose_disk=draw.may_lose_disk,
        faults=tuple(sorted(faults, key=lambda planned: (planned.at_ms, planned.number))),
    )


class Draw:
    """Random choices about one ensemble."""

    def __init__(self, rng: random.Random, config: ZabConfig) -> None:
        self.rng = rng
        self.members = config.members
        self.may_lose_disk = (*config.observers, *self._voter_that_may_lose_its_disk(config))

    def _voter_that_may_lose_its_disk(self, config: ZabConfig) -> tuple[PeerId, ...]:
        """One at most, and only one without which the others are a quorum."""
        quorum = quorum_of(config)
        spare = [voter for voter in config.voters if quorum.contains(set(config.voters) - {voter})]
        return (self.rng.choice(spare),) if spare else ()

    def server(self) -> PeerId:
        return p.LEADER if self.rng.random() < 0.4 else self.rng.choice(self.members)

    def pair(self) -> tuple[PeerId, PeerId]:
        a, b = self.server(), self.rng.choice(self.members)
        return (a, b) if self.rng.random() < 0.5 else (b, a)

    def short_ms(self) -> float:
        return self.rng.choice((0.0, 20.0, 100.0)) * self.rng.random()

    def long_ms(self) -> float:
        return self.rng.choice((50.0, 400.0, 2_000.0)) * self.rng.random()

    def notice_ms(self) -> float:
        return self.rng.choice((0.0, 0.0, 20.0, 500.0))

    def keeps(self) -> float:
        return self.rng.choice((0.0, 0.5, 1.0))

    def few(self) -> int:
        return self.rng.choice((2, 8, 40))

    def groups(self) -> tuple[tuple[PeerId, ...], ...]:
        """Two sides, or one and servers that stand alone."""
        side = {me: self.rng.random() < 0.5 for me in self.members}
        one, other = (tuple(me for me in self.members if side[me] is which) for which in (True, False))
        return (one,) if self.rng.random() < 0.3 else (one, other)


def _kill(d: Draw) -> AnyPlanned:
    return p.Kill(d.server(), d.long_ms(), None if d.rng.random() < 0.2 else d.notice_ms())


def _power_cut(d: Draw) -> AnyPlanned:
    return p.PowerCut((d.server(),), d.long_ms(), d.keeps())


def _blackout(d: Draw) -> AnyPlanned:
    return p.PowerCut(tuple(me for me in d.members if d.rng.random() < 0.7), d.long_ms(), d.keeps())


def _kill_between_effects(d: Draw) -> AnyPlanned:
    return p.KillBetweenEffects(d.server(), d.rng.randrange(d.few()), d.long_ms(), d.rng.choice((None, 0.0, 0.5)))


def _kill_in_disk_operation(d: Draw) -> AnyPlanned:
    keeps = d.rng.choice((None, 0.0, 0.5))
    return p.KillInDiskOperation(d.server(), d.rng.randrange(d.few()), d.rng.random(), d.long_ms(), keeps)


def _storm(d: Draw) -> AnyPlanned:
    return p.Storm(d.server(), d.rng.randint(2, 6), d.rng.choice((5.0, 50.0, 250.0)))


def _pause(d: Draw) -> AnyPlanned:
    return p.Pause(d.server(), d.long_ms())


def _clock_rate(d: Draw) -> AnyPlanned:
    return p.ClockRate(d.server(), d.rng.choice((0.3, 0.7, 1.4, 3.0)), d.long_ms())


def _clock_jump(d: Draw) -> AnyPlanned:
    return p.ClockJump(d.server(), d.long_ms())


def _split(d: Draw) -> AnyPlanned:
    return p.Split(d.groups(), d.long_ms(), d.notice_ms())


def _break_link(d: Draw) -> AnyPlanned:
    return p.BreakLink(*d.pair(), d.rng.choice((0.0, d.long_ms())), d.notice_ms())


def _isolate(d: Draw) -> AnyPlanned:
    return p.Isolate(d.server(), d.rng.randrange(d.few()), d.long_ms(), d.notice_ms())


def _end_session(d: Draw) -> AnyPlanned:
    return p.EndSession(*d.pair())


def _slow_link(d: Draw) -> AnyPlanned:
    return p.SlowLink(*d.pair(), d.rng.choice((30.0, 200.0, 700.0)), d.long_ms())


def _slow_disk(d: Draw) -> AnyPlanned:
    return p.SlowDisk(d.server(), d.rng.choice((30.0, 200.0, 700.0)), d.long_ms())


def _full_disk(d: Draw) -> AnyPlanned:
    return p.FullDisk(d.server(), d.long_ms())


def _fail_disk(d: Draw) -> AnyPlanned:
    return p.FailDisk(d.server(), d.rng.randrange(d.few()), d.long_ms())


def _wipe(d: Draw) -> AnyPlanned:
    return p.Wipe(d.rng.choice(d.may_lose_disk or d.members), d.long_ms())


def _damage(d: Draw) -> AnyPlanned:
    return p.Damage(d.rng.choice(d.may_lose_disk or d.members), d.rng.random() < 0.5, d.long_ms())


def _client_dies(d: Draw) -> AnyPlanned:
    return p.ClientDies(d.rng.randrange(CLIENTS))


def _client_moves(d: Draw) -> AnyPlanned:
    return p.ClientMoves(d.rng.randrange(CLIENTS))


_KINDS: tuple[Callable[[Draw], AnyPlanned], ...] = (
    _kill,
    _power_cut,
    _blackout,
    _kill_between_effects,
    _kill_in_disk_operation,
    _storm,
    _pause,
    _clock_rate,
    _clock_jump,
    _split,
    _break_link,
    _isolate,
    _end_session,
    _slow_link,
    _slow_disk,
    _full_disk,
    _fail_disk,
    _wipe,
    _damage,
    _client_dies,
    _client_moves,
)
