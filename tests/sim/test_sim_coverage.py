"""`python -m lab sim --coverage`: what the seeds reached, and what they never did."""

from collections import Counter

import pytest

from lab.cli import main
from lab.sim.coverage import Counts, cover, named, table
from lab.sim.plan import Links
from lab.sim.window_coverage import Reached
from lab.zab import synchronizer

COMMON = {
    ("sync row", "R1"),
    ("sync row", "R3a"),
    ("state", "LEADING BROADCAST"),
    ("state", "OBSERVING BROADCAST"),
    ("learner gets", "Proposal in SYNCHRONIZATION"),
    ("leader gets", "Ack in ACTIVE"),
    ("happening", "lost power"),
    ("rule", "Z-17: a quiet period that ran out"),
}

COMMON_OVER_DATAGRAMS = {
    ("datagrams", what.value) for what in Reached if what not in (Reached.RENEWED, Reached.OVERFLOWED)
}  # fmt: skip


def total(seeds: range, links: Links = "ideal") -> Counts:
    counts: Counts = Counter()
    for seed in seeds:
        finding, reached = cover(seed, links)
        assert finding is None
        counts.update(reached)
    return counts


def test_a_few_seeds_reach_what_is_common_and_nothing_without_a_name():
    reached = set(total(range(12)))
    assert reached >= COMMON
    assert reached <= set(named())


def test_a_few_seeds_over_datagrams_reach_what_sessions_go_through():
    reached = set(total(range(12), "window"))
    assert reached >= COMMON_OVER_DATAGRAMS
    assert reached <= set(named("window"))


def test_counting_leaves_no_trace():
    plain = vars(synchronizer)["plan_sync"]
    assert cover(3) == cover(3)
    assert vars(synchronizer)["plan_sync"] is plain


def test_the_table_says_what_was_never_reached():
    items = named()
    counts: Counts = Counter(dict.fromkeys(items[:-1], 2))
    *reached, head, missing = table(counts, 7).splitlines()
    assert len(reached) == len(items) - 1
    assert head == f"never reached by 7 seeds: 1 of {len(items)}"
    assert items[-1][1] in missing


@pytest.mark.process
def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["sim", "--seeds", "2", "--coverage"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "LEADING BROADCAST" in printed
    assert "never reached by 2 seeds" in printed
