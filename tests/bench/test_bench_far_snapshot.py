"""A tree to a new observer over UDP: the measurement itself on a small one."""

from types import SimpleNamespace

import pytest

from lab.bench import far_snapshot
from lab.bench.far_snapshot import BASELINE_S, MIB, OBSERVER, WARMUP_S, measure
from lab.bench.limits import SettingsError
from lab.bench.probe import Where
from lab.targets.target import PhaseMark


@pytest.mark.process
def test_a_tree_reaches_a_new_observer_by_lossy_links_while_writes_go_on() -> None:
    (probe,) = measure(Where(0, None), ("3", "0.05", "1", "300"))
    assert probe.findings == []
    assert probe.facts["datagrams_sent"] * 1_400 > 3 * MIB, "the tree, and writes"
    assert probe.facts["retransmitted"] > 0
    assert probe.facts["writes_meanwhile"] > 0
    assert (probe.facts["sync_limit_ticks"], probe.facts["init_limit_ticks"], probe.facts["tick_ms"]) == (
        100,
        3000,
        100,
    )
    assert probe.samples == [pytest.approx(3 / probe.facts["seconds"])]


def test_the_second_before_it_comes_has_had_its_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock and passing of time are the test's: what is looked at begins when the warm-up has passed."""
    now_ns = 0

    def passes(_: object, seconds: float) -> None:
        nonlocal now_ns
        now_ns += int(seconds * 1e9)

    class Observed:
        """Its observer serves as soon as it was looked at."""

        def inject(self, _: object) -> int:
            return now_ns

        def marks(self) -> list[PhaseMark]:
            return [PhaseMark(OBSERVER, now_ns, "entered", "observing", "broadcast", epoch=1, leader=3)]

    monkeypatch.setattr(far_snapshot, "pass_time", passes)
    clock = SimpleNamespace(monotonic_ns=lambda: now_ns, monotonic=lambda: now_ns / 1e9)
    monkeypatch.setattr(far_snapshot, "time", clock)
    arrival = far_snapshot._observer_arrives(Observed())  # type: ignore[arg-type]
    assert (arrival.before_ns / 1e9, arrival.start_ns / 1e9) == (WARMUP_S, WARMUP_S + BASELINE_S)


def test_what_it_is_to_do_is_four_numbers() -> None:
    with pytest.raises(SettingsError, match=r"200 0\.01 fast: allowed: MiB of znodes, loss"):
        next(iter(measure(Where(0, None), ("200", "0.01", "fast"))))
