"""The section on large trees, from probes alone."""

import msgspec
import orjson
import synthetic

from lab.bench.record_probe import ProbeRecord
from lab.report.bars import BARS
from lab.report.reading import load_run
from lab.report.rows.large_trees import large_tree_rows
from lab.report.rows.speed import Measured
from lab.report.sections.large_trees import section


def probes(znodes, round_, p99_during_ms=4.0, verified=True):
    facts = {"writes_per_s": 20_000.0, "p99_without_ms": 2.0, "p99_during_leaders_ms": p99_during_ms,
             "p99_during_followers_ms": 3.0, "max_during_ms": 30.0, "seconds_a_snapshot": 1.5}  # fmt: skip
    size = {1_000_000: "1m", 100_000: "100k"}[znodes]
    values = {
        f"bar/start/{size}": (znodes / 400 + round_, {}),
        f"tree/heap/{size}": (575.0, {"filled_s": znodes / 1e5}),
        f"tree/snapshot/{size}": (145.0, {}),
        f"bar/snapshot/{size}": (p99_during_ms / 2, facts),
    }
    return [
        ProbeRecord(
            probe=name, unit="", value=value, low=None, high=None, n=3, facts=known, round=round_, verified=verified,
            started_at="2026-01-02T03:04:05.678Z", machine=synthetic.MACHINE,
        )
        for name, (value, known) in values.items()
    ]  # fmt: skip


def run_of(folder, *several):
    run = synthetic.write_run(folder / "r", synthetic.smoke())
    (run / "probes.jsonl").write_bytes(
        b"".join(orjson.dumps(msgspec.to_builtins(probe)) + b"\n" for some in several for probe in some)
    )
    return load_run(run)


def test_a_row_is_the_median_of_what_was_verified(tmp_path):
    run = run_of(
        tmp_path, probes(1_000_000, 0), probes(1_000_000, 1, 8.0), probes(1_000_000, 2, 6.0), probes(100_000, 0),
        probes(1_000_000, 3, 100.0, verified=False),
    )  # fmt: skip
    small, large = large_tree_rows(run)
    assert (small.znodes, small.n, large.znodes, large.n) == (100_000, 1, 1_000_000, 3)
    assert (large.p99_ratio, large.p99_during_leaders_ms, large.start_ms) == (3.0, 6.0, 2_501.0)


def test_bytes_a_znode_are_said_and_every_size_has_its_row(tmp_path):
    made = section(run_of(tmp_path, probes(1_000_000, 0), probes(100_000, 0)))
    assert made is not None
    assert "1,000,000 znodes of 100 bytes take 575 bytes each in a server's memory" in made.sentences[1]
    (table,) = made.tables
    assert [row[0] for row in table.rows] == ["100,000", "1,000,000"]
    assert all(len(row) == len(table.header) for row in table.rows)


def test_a_run_without_large_trees_has_no_section(tmp_path):
    assert section(run_of(tmp_path)) is None


def test_the_bar_says_whose_snapshot_it_judges_and_the_table_has_those_of_the_others(tmp_path):
    [bar] = [bar for bar in BARS if bar.measured_by == "bar/snapshot/1m"]
    assert "while the leader snapshots" in bar.title
    run = run_of(tmp_path, probes(1_000_000, 0, p99_during_ms=8.0))
    [row] = large_tree_rows(run)
    assert Measured(run).row(bar).value == row.p99_during_leaders_ms / row.p99_without_ms == 4.0
    assert row.p99_during_followers_ms == 3.0
