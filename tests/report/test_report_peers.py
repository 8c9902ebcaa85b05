"""Our ensemble against others in the report: ratios of the same rounds, nothing where there is nobody else."""

import msgspec
import pytest
import synthetic

from lab.bench.limits import target_settings
from lab.bench.peer_grid import TARGETS
from lab.bench.record import Settings
from lab.report.compare import compare_by
from lab.report.figures import peers as figure
from lab.report.rows.peers import peer_effects, peer_rows
from lab.report.sections.peers import section
from lab.report.style import COLOURS, styled

VERSION = "Apache ZooKeeper 3.8.0, Java 17.0.1"


def a_trial(target, load, round_, ops, us=100.0, **more):
    """`load` as in the points' ids: writes/4x256."""
    kind, depth = load.split("/")
    clients, outstanding = map(int, depth.split("x"))
    settings = Settings(
        **target_settings(target), clients=clients, outstanding=outstanding, reads=float(kind == "reads"),
        warmup=1.0 if target == "own" else 6.0, **more,
    )  # fmt: skip
    record = synthetic.World().trial("speed", settings, f"peer/{target}/{load}", round_, ops, us)
    return msgspec.structs.replace(record, target=target, target_version="" if target == "own" else VERSION)


def both(load, rounds=3, times=10.0):
    """Ours does `times` as much in each round, whatever the round."""
    return [
        trial
        for round_ in range(rounds)
        for theirs in [1000.0 * (1 + round_)]
        for trial in (a_trial("zookeeper", load, round_, theirs), a_trial("own", load, round_, times * theirs))
    ]


def test_each_target_has_a_colour_and_a_name():
    assert set(TARGETS) <= COLOURS.keys()
    assert set(TARGETS) == figure.NAMES.keys()


def test_a_ratio_is_that_of_the_same_rounds(run_of):
    (effect,) = peer_effects(run_of(both("writes/4x256")))
    assert effect.throughput.ratio == pytest.approx(10)
    assert (effect.throughput.low, effect.throughput.high) == pytest.approx(
        (10, 10)
    )  # the rounds differ, their ratios do not
    assert (effect.target, effect.version, effect.throughput.n) == ("zookeeper", VERSION, 3)
    assert effect.p50.ratio == pytest.approx(1, rel=0.1)


def test_rows_are_ours_then_theirs_and_deep_loads_first(run_of):
    rows = peer_rows(run_of([*both("reads/2x128"), *both("writes/1x1"), *both("writes/4x256")]))
    assert [(row.kind, row.load.rpartition(",")[2].strip(), row.target) for row in rows] == [
        (kind, load, target)
        for kind, load in (
            ("write", "4 × 256 outstanding"),
            ("write", "1 × 1 outstanding"),
            ("read", "2 × 128 outstanding"),
        )
        for target in ("own", "zookeeper")
    ]
    assert [row.version for row in rows[:2]] == ["", VERSION]


def test_a_load_that_only_one_of_them_was_put_under_is_no_comparison(run_of):
    alone = [a_trial("own", "writes/1x1", 0, 1000.0), a_trial("zookeeper", "writes/1x64", 0, 1000.0)]
    assert peer_rows(run_of(alone)) == []
    assert section(run_of(alone)) is None


@pytest.mark.parametrize(
    "more", [{"network": "zones", "network_digest": "c0ffee"}, {"delay_ms": 2.0}, {"tick_ms": 300}]
)
def test_who_is_farther_apart_or_has_a_longer_tick_is_no_peer(run_of, more):
    apart = [a_trial("own", "writes/1x1", 0, 1000.0, **more), a_trial("zookeeper", "writes/1x1", 0, 1000.0)]
    assert section(run_of(apart)) is None


def test_the_section_says_how_many_times_with_its_interval_and_draws_it(run_of):
    found = section(run_of([*both("writes/4x256"), *both("reads/2x128", times=0.5)]))
    assert found is not None
    assert found.sentences[0].startswith(
        "writes, 4 × 256 outstanding: 10 times (10 to 10, n = 3) the throughput of ZooKeeper"
    )
    assert found.sentences[1].startswith("reads, 2 × 128 outstanding: 0.5 times (0.5 to 0.5, n = 3)")
    assert found.printed == found.sentences
    (table,) = found.tables
    assert [row[1] for row in table.rows] == ["ours", VERSION] * 2
    with styled():
        drawn = found.figures[0].draw(found.figures[0].rows)
    said = [text.get_text() for text in drawn.findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any(VERSION in text for text in said)
    assert any("n = 3 processes" in text for text in said)


def test_who_was_held_back_by_its_load_processes_is_said_of_either_side(run_of):
    ours_limited, *rest = both("writes/4x256")[::-1]
    limited = [msgspec.structs.replace(ours_limited, client_limited=True), *rest]
    found = section(run_of(limited))
    assert found.sentences[0].endswith("; the load processes were the limit of ours, which may do more.")
    assert [row[-2] for row in found.tables[0].rows] == ["at their limit", ""]
    everybody = [msgspec.structs.replace(trial, client_limited=True) for trial in limited]
    assert "the limit of ours and of ZooKeeper, which may do more" in section(run_of(everybody)).sentences[0]
    assert "limit" not in section(run_of(both("writes/4x256"))).sentences[0]


def test_one_round_has_no_interval_and_says_so(run_of):
    found = section(run_of(both("writes/4x256", rounds=1)))
    assert found is not None
    assert "10 times (n = 1, no interval)" in found.sentences[0]
    with styled():
        found.figures[0].draw(found.figures[0].rows)


def test_compare_by_target_looks_past_what_a_target_brings_along(run_of):
    compared = compare_by(run_of(both("writes/4x256", rounds=4)), "target")
    assert [row.metric for row in compared.rows][:1] == ["throughput"]
    assert compared.rows[0].effect.ratio == pytest.approx(0.1)
    assert compared.regressions == 0
