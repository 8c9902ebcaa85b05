"""The section on trees to new observers, from probes alone."""

import msgspec
import orjson
import pytest
import synthetic

from lab.bench.record_probe import ProbeRecord
from lab.report.reading import load_run
from lab.report.rows.far_snapshots import far_snapshot_rows
from lab.report.sections.far_snapshots import section


def probe(loss, round_, mib_per_s=100.0, verified=True):
    facts = {"mib": 200.0, "loss": loss, "delay_ms": 2.0, "seconds": 200.0 / mib_per_s, "writes_meanwhile": 900.0,
             "writes_per_s_meanwhile": 950.0, "p50_before_ms": 8.5, "p99_before_ms": 9.0, "p50_meanwhile_ms": 12.0,
             "p99_meanwhile_ms": 60.0, "datagrams_sent": 160_000.0, "retransmitted": 160_000 * loss,
             "sync_limit_ticks": 100.0, "init_limit_ticks": 3000.0, "tick_ms": 100.0}  # fmt: skip
    return ProbeRecord(
        probe=f"snapshot/udp/200mib/loss-{loss:g}", unit="MiB/s", value=mib_per_s, low=None, high=None, n=1,
        facts=facts, verified=verified, round=round_, started_at="2026-01-02T03:04:05.678Z", machine=synthetic.MACHINE,
    )  # fmt: skip


def run_of(folder, *probes):
    run = synthetic.write_run(folder / "r", synthetic.smoke())
    lines = [orjson.dumps(msgspec.to_builtins(each)) + b"\n" for each in probes]
    (run / "probes.jsonl").write_bytes(b"".join(lines))
    return load_run(run)


def test_a_row_is_the_median_of_what_was_verified(tmp_path):
    run = run_of(
        tmp_path, probe(0.01, 0), probe(0.01, 1, 50.0), probe(0.01, 2, 80.0), probe(0.0, 0),
        probe(0.01, 3, 1.0, verified=False),
    )  # fmt: skip
    without, lossy = far_snapshot_rows(run)
    assert (without.loss, without.n, lossy.loss, lossy.n) == (0.0, 1, 0.01, 3)
    assert (lossy.mib_per_s, lossy.seconds, lossy.sent_again) == (80.0, 2.5, pytest.approx(0.01))


def test_it_says_how_long_a_tree_took_and_what_it_did_to_writes(tmp_path):
    found = section(run_of(tmp_path, probe(0.01, 0)))
    (sentence,) = found.sentences
    assert sentence.startswith("200 MiB of znodes reached a new observer in 2.0 s with 1 % of all datagrams lost")
    assert "950 writes/s went on at a p50 of 12.0 ms, 8.5 ms before" in sentence
    (row,) = found.tables[0].rows
    assert row[:6] == ["200 MiB", "1 %", "2 ms", "1", "2.00 s", "100.0"]


def test_it_says_how_patient_the_servers_were(tmp_path):
    lead = section(run_of(tmp_path / "now", probe(0.01, 0), probe(0.0, 0))).lead
    assert lead.endswith("takes so much in: sync_limit is 100 ticks and init_limit 3,000 ticks of 100 ms.")
    older = probe(0.01, 0)
    older = msgspec.structs.replace(older, facts={k: v for k, v in older.facts.items() if "ticks" not in k})
    assert "sync_limit" not in section(run_of(tmp_path / "then", older)).lead


def test_a_run_that_measured_none_has_no_section(tmp_path):
    assert section(run_of(tmp_path)) is None
