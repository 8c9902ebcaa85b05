"""A server that dies at any point of the installation of a snapshot recovers (Z-11, L7; ZOOKEEPER-3642)."""

from collections.abc import Callable

import pytest

from lab.service.requests import Create, SetData
from lab.sim.disk import Survives, nothing_survives
from lab.sim.world import World
from lab.zab.config import ZabConfig

SERVE_TICKS_MAX = 300


class PowerCutError(Exception):
    """The machine stops right before an operation of its disk."""


def everything_survives() -> bool:
    return True


def every_other() -> Survives:
    count = 0

    def survives() -> bool:
        nonlocal count
        count += 1
        return count % 2 == 0

    return survives


def prepared(*, wiped: bool) -> World:
    """Servers 2 and 3 serve, with a history that 1 has nothing of any more; or 1 has a log that 3's is no prefix of."""
    world = World(ZabConfig(voters=(1, 2, 3), sync_window_bytes=200, commit_log_count=1))
    world.start()
    world.run_until_serving(50)
    client = world.add_client()
    client.attach(world.machines[3].ports)
    world.settle()
    client.submit(*[Create(client.next_cxid(), f"/k{number}", b"x" * 40) for number in range(8)])
    world.settle()
    world.crash(1)
    if wiped:
        world.wipe(1)
    client.submit(*[SetData(client.next_cxid(), f"/k{number}", b"y" * 40) for number in range(8)])
    world.settle()
    return world


def catch_up(world: World, dies_before: int | None = None) -> int:
    """Server 1 starts and is brought level, or dies right before that operation of its disk; how many there were."""
    disk, operations = world.machines[1].disk, 0

    def count() -> None:
        nonlocal operations
        operations += 1
        if operations == dies_before:
            raise PowerCutError

    disk.before_operation = count
    try:
        world.start(1)
        world.run_until_serving(SERVE_TICKS_MAX)
    finally:
        disk.before_operation = lambda: None
    return operations


@pytest.mark.parametrize("survives", [lambda: nothing_survives, lambda: everything_survives, every_other])
@pytest.mark.parametrize("wiped", [True, False], ids=["SNAP", "DIFF"])
@pytest.mark.covers("X-20", "X-22", "Z-11", "INV-18")
def test_power_cut_before_any_operation_of_a_server_that_is_brought_level(
    wiped: bool, survives: Callable[[], Survives]
):
    count = catch_up(prepared(wiped=wiped))
    assert count > (20 if wiped else 3)
    for operation in range(1, count + 1):
        world = prepared(wiped=wiped)
        with pytest.raises(PowerCutError):
            catch_up(world, operation)
        if world.machines[1].running:
            world.power_fail(1, survives())
        else:  # it died in its recovery
            world.machines[1].disk.lose_power(survives())
        world.start(1)
        world.run_until_serving(SERVE_TICKS_MAX)
        world.check_calm()
