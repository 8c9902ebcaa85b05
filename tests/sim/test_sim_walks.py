"""Random walks: crashes, power failures, partitions, frozen and wiped servers, slow links and disks; then calm.

A failure names the seed: `python -m lab sim --seed SEED` repeats it exactly.
"""

import pytest
from sim_seeds import first_seed_of_this_code

from lab.faults import Crash, Freeze, Heal, Partition, Restart, Thaw
from lab.sim import explore
from lab.sim.client import Outcome
from lab.sim.draw import draw_plan
from lab.sim.errors import InvariantError
from lab.sim.observer import EffectObserver
from lab.sim.plan import Reduction
from lab.sim.script import Script
from lab.sim.world import World
from lab.zab.config import ZabConfig
from lab.zab.effects import CloseSession, Entered, PeerEffect
from lab.zab.leader import Leader
from lab.zab.learner import Learner
from lab.zab.messages import TxnBatch
from lab.zab.phases import Bootstrap
from lab.zab.quorum import Majority

SEEDS = 200
FIRST = first_seed_of_this_code()


def walk(seed: int, **reduced: int) -> World:
    """Chaos, then calm until every server serves and holds everything that was acknowledged to anybody."""
    world = World.from_seed(seed)
    return explore.walk(world, Reduction(**reduced).of(draw_plan(seed, world.config)))


def walk_all(seeds: range) -> None:
    for seed in seeds:
        walk(seed)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
@pytest.mark.covers("S4", "S8", "S28", "S87", "INV-1", "INV-3", "INV-5", "INV-6", "INV-17", "INV-24", "INV-25")
def test_chaos_then_calm(seed: int):
    walk(seed)


def test_calm_stays_calm():
    for seed in (6, 7, 12):
        world = walk(seed, ticks=30)
        changes: list[tuple[int, PeerEffect]] = []

        def watch(server: int, effect: PeerEffect, changes: list[tuple[int, PeerEffect]] = changes) -> None:
            if isinstance(effect, Entered | CloseSession):
                changes.append((server, effect))

        world.observers.add(EffectObserver(watch))
        world.advance(3_000)
        assert changes == []


def test_walks_get_somewhere():
    worlds = [walk(seed, ticks=30) for seed in range(10)]
    outcomes = [op.outcome for world in worlds for client in world.clients for op in client.operations]
    assert outcomes.count(Outcome.ACKNOWLEDGED) > 1_000
    assert outcomes.count(Outcome.UNKNOWN) > 10
    assert outcomes.count(Outcome.PENDING) == 0


def test_faults_are_data():
    world = World(ZabConfig(voters=(1, 2, 3)))
    world.start()
    world.run_until_serving(50)
    for fault in (Crash(1), Freeze(2), Thaw(2), Restart(1), Partition(((1,), (2, 3))), Heal()):
        world.apply(fault)
        world.advance(300)
    world.run_until_serving(50)


# -- a broken rule is found


@pytest.mark.covers("F6", "S86", "INV-5")
def test_walks_find_a_commit_without_a_quorum(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Majority, "frontier", lambda _, acked: max(acked.values()))
    with pytest.raises(InvariantError, match=r"^INV-[59]: .* commit"):  # disks or acks of a quorum are missing, or both
        walk_all(range(60))


@pytest.mark.covers("X-44")
def test_walks_find_live_traffic_that_joins_too_late(monkeypatch: pytest.MonkeyPatch):
    plain = Leader._forwarding

    def late(self: Leader, *, voters: bool) -> tuple[tuple[int, int], ...]:
        acked = {handler.to for handler in self.handlers.values() if handler.stage is Bootstrap.ACTIVE}
        return tuple(to for to in plain(self, voters=voters) if to in acked)

    monkeypatch.setattr(Leader, "_forwarding", late)
    with pytest.raises(InvariantError):
        walk_all(range(60))


LOSE_WHAT_WAS_ACKED = """
ensemble 3
start 1 2 3
serve
client a at 3
hold 3 -> 2
hold disk 1
do a create /a=1
power-fail 1
crash 3
start 1
advance 1000
"""


@pytest.mark.covers("F6", "S86", "X-16", "INV-5")
def test_checker_flags_a_loss_by_acks_before_the_flush(monkeypatch: pytest.MonkeyPatch):
    """F6 (zab.md 6.3): impossible by the rules; with one broken, 1 and 2 elect without what 3 committed."""
    plain = Learner._on_proposal

    def hasty(self: Learner, batch: TxnBatch) -> list[PeerEffect]:
        effects = plain(self, batch)
        return [*effects, *self.on_flushed(batch.last)] if effects else effects

    commands = LOSE_WHAT_WAS_ACKED.strip().splitlines()
    play(commands)
    monkeypatch.setattr(Learner, "_on_proposal", hasty)
    with pytest.raises(InvariantError, match=r"INV-9: server 1 acks 1\.1"):
        play(commands)
    with pytest.raises(InvariantError, match=r"INV-5: 1\.2 was committed"):
        play(commands, "INV-5")


def play(commands: list[str], *invariants: str) -> None:
    script = Script(invariants or None)
    for command in commands:
        script.run(command)
