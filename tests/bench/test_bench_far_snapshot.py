"""A tree to a new observer over UDP: the measurement itself on a small one."""

import pytest

from lab.bench.far_snapshot import MIB, measure
from lab.bench.limits import SettingsError
from lab.bench.probe import Where


@pytest.mark.process
def test_a_tree_reaches_a_new_observer_by_lossy_links_while_writes_go_on() -> None:
    (probe,) = measure(Where(0, None), ("3", "0.05", "1", "300"))
    assert probe.findings == []
    assert probe.facts["datagrams_sent"] * 1_400 > 3 * MIB, "the tree, and writes"
    assert probe.facts["retransmitted"] > 0
    assert probe.facts["writes_meanwhile"] > 0
    assert probe.samples == [pytest.approx(3 / probe.facts["seconds"])]


def test_what_it_is_to_do_is_four_numbers() -> None:
    with pytest.raises(SettingsError, match=r"200 0\.01 fast: allowed: MiB of znodes, loss"):
        next(iter(measure(Where(0, None), ("200", "0.01", "fast"))))
