"""Which host measures what: whole rounds of one suite on machines that are alike, and nothing is forgotten."""

import itertools

import msgspec
import pytest

from lab.bench.plan import Plan
from lab.bench.point import Job, Point, Profile
from lab.bench.record import Settings
from lab.hosts.blocks import Block, Blocks, assigned


def a_plan(*suites: str, rounds: int = 3, budget_s: float = 0.0, most: int | None = None) -> Plan:
    points = tuple(
        Point(id=f"{suite}/{name}", suite=suite, settings=Settings(), rounds=rounds, values=rounds)
        for suite in suites
        for name in "xyz"
    )
    return Plan(profile=Profile(name="quick", budget_s=budget_s, rounds_least=rounds, rounds_most=most, points=points))


def taken(blocks: Blocks, *hosts: str, seconds: float = 0.0) -> list[tuple[str, Block]]:
    """Everything, the hosts asking in turn."""
    found = []
    for host in itertools.cycle(hosts):
        if len(found) > 1000 or not any(blocks_of := [blocks.next(host, seconds)]):
            return found
        found.append((host, blocks_of[0]))
        blocks.ended()
    return found


def names(block: Block) -> list[str]:
    return sorted(step.id for step in block.steps)


def test_a_block_is_a_whole_round_of_one_suite() -> None:
    blocks = taken(Blocks(a_plan("election", "read-scaling"), {"a": "k"}), "a")
    assert sorted((block.group, block.round_) for _, block in blocks) == [
        (suite, round_) for suite in ("election", "read-scaling") for round_ in range(3)
    ]
    assert all(names(block) == [f"{block.group}/{name}" for name in "xyz"] for _, block in blocks)


def test_how_much_is_done_counts_steps_of_the_plan() -> None:
    blocks = Blocks(a_plan("election", rounds=2), {"a": "k"})
    shares = [blocks.share_done()]
    for _ in range(8):  # two more than planned
        blocks.measured()
        shares.append(blocks.share_done())
    assert shares == [0.0, *(n / 6 for n in range(1, 7)), 1.0, 1.0]


def test_the_order_within_a_block_is_the_seeds_whoever_measures_it() -> None:
    orders = [
        {(block.group, block.round_): block.steps for _, block in taken(Blocks(a_plan("election"), kinds), *kinds)}
        for kinds in ({"a": "k"}, {"b": "k", "a": "k"})
    ]
    assert orders[0] == orders[1]
    assert len({tuple(step.id for step in steps) for steps in orders[0].values()}) > 1


def test_hosts_that_are_alike_share_the_rounds_of_every_suite() -> None:
    found = taken(Blocks(a_plan("election", "read-scaling", rounds=4), {"a": "k", "b": "k"}), "a", "b")
    assert [host for host, _ in found].count("a") == 4
    assert len(found) == 8


def test_a_suite_stays_on_machines_of_one_kind() -> None:
    found = taken(Blocks(a_plan("election", "write-latency"), {"a": "fast", "b": "slow"}), "a", "b")
    assert {(host, block.group) for host, block in found} in (
        {("a", "election"), ("b", "write-latency")}, {("b", "election"), ("a", "write-latency")}
    )  # fmt: skip


@pytest.mark.parametrize(("costs", "kinds", "groups"), [
    ({"x": 9.0, "y": 1.0, "z": 1.0}, ["k", "l"], {"x": "k", "y": "l", "z": "l"}),
    ({"x": 9.0, "y": 8.0}, ["k"], {"x": "k", "y": "k"}),
    ({"x": 9.0, "y": 4.0}, ["k", "l", "l", "l"], {"x": "l", "y": "k"}),  # three machines do nine in the time of three
])  # fmt: skip
def test_the_dearest_group_goes_where_it_is_done_first(costs, kinds, groups) -> None:
    assert assigned(costs, kinds) == groups


def test_rounds_beyond_the_plan_are_added_while_the_budget_lasts() -> None:
    blocks = Blocks(a_plan("election", budget_s=1e6, most=5), {"a": "k"})
    assert [block.round_ for _, block in taken(blocks, "a")] == [0, 1, 2, 3, 4]
    assert taken(Blocks(a_plan("election", budget_s=1e6), {"a": "k"}), "a", seconds=2e6)[-1][1].round_ == 2


def test_jobs_without_points_are_done_in_their_rounds() -> None:
    job = Job(id="floor", suite="speed", module="m", rounds=1, seconds=1.0)
    plan = msgspec.structs.replace(a_plan(), profile=msgspec.structs.replace(a_plan().profile, jobs=(job,)))
    assert [block.steps for _, block in taken(Blocks(plan, {"a": "k"}), "a")] == [(job,)]


def test_what_a_lost_host_leaves_is_measured_by_another_one_once() -> None:
    blocks = Blocks(a_plan("election", rounds=1, most=1), {"a": "k", "b": "k", "c": "k"})
    block = blocks.next("a", 0.0)
    assert block is not None
    assert blocks.next("b", 0.0) is None
    assert not blocks.is_done, "b has to wait: a may be lost"
    assert blocks.lost("a", block, 1), "the second step is tried once more"
    rest = blocks.next("b", 0.0)
    assert rest is not None
    assert (rest.steps, rest.again) == (block.steps[1:], True)
    assert not blocks.lost("b", rest, 0), "its second host was lost, too"
    last = blocks.next("c", 0.0)
    assert last is not None
    assert (last.steps, last.again) == (block.steps[2:], False)
    blocks.ended()
    assert blocks.is_done
    assert blocks.next("c", 0.0) is None


def test_when_the_last_machine_of_a_kind_is_lost_its_suites_go_to_another_kind() -> None:
    blocks = Blocks(a_plan("election", "write-latency", rounds=1, most=1), {"a": "fast", "b": "slow"})
    of_a, of_b = blocks.next("a", 0.0), blocks.next("b", 0.0)
    assert of_a is not None
    assert of_b is not None
    blocks.ended()
    assert blocks.lost("a", of_a, 0)
    rest = blocks.next("b", 0.0)
    assert rest is not None
    assert (rest.group, rest.steps) == (of_a.group, of_a.steps)


def test_without_any_host_nothing_is_tried_again() -> None:
    blocks = Blocks(a_plan("election"), {"a": "k"})
    assert not blocks.lost("a", blocks.next("a", 0.0), 0)
    assert blocks.hosts == []
