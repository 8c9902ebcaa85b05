"""Speed of light: which row says what, and what is said of a reliable link against a bare loop."""

import pytest
from test_report_speed import a_run, probe

from lab.report.build import build_report
from lab.report.rows.light import light_effects, light_rows
from lab.report.sections.light import section


def poured(name: str, rate: float, cpu_us: float, round_: int = 0, size: int | None = None, **more):
    facts = {"cpu_us_per_mib": cpu_us} | ({} if size is None else {"datagram_bytes": float(size)})
    return probe(f"light/{name}", round_, rate, "MiB/s", facts=facts, **more)


PROBES = [
    poured("window-sealed/1400", 30.0, 20_000, size=1400),
    poured("window/60000", 400.0, 2_000, size=60_000),
    poured("window/1400", 60.0, 10_000, size=1400),
    poured("bare/1400", 200.0, 4_000, size=1400),
    poured("bare/60000", 800.0, 1_000, size=60_000),
    poured("ring", 1_500.0, 700),
    probe("light/ring/trip-awake", 0, 6.0),
    probe("light/ring/trip-asleep", 0, 48.0),
    probe("light/bare/trip-awake", 0, 12.0),
    probe("floor/ring/other-core", 0, 1_500.0, "MB/s"),
]


def test_rows_stand_by_way_and_size_with_the_round_trips_of_a_way_in_its_first(tmp_path):
    rows = light_rows(a_run(tmp_path / "r", [], PROBES))
    assert [(row.way, row.datagram_bytes, row.awake_us, row.asleep_us) for row in rows] == [
        ("ring", None, 6.0, 48.0),
        ("bare", 1400, 12.0, None),
        ("bare", 60_000, None, None),
        ("window", 1400, None, None),
        ("window", 60_000, None, None),
        ("window-sealed", 1400, None, None),
    ]
    ring = rows[0]
    assert (ring.mib_per_s, ring.cpu_us_per_mib, ring.rounds) == (1_500.0, 700.0, 1)
    assert (ring.low, ring.high) == (pytest.approx(1_350.0), pytest.approx(1_650.0))


def test_values_are_medians_of_the_rounds_that_verified(tmp_path):
    probes = [poured("ring", 100.0 * n, 10.0 * n, round_=n) for n in range(1, 8)]
    probes.append(poured("ring", 9e9, 1.0, round_=8, verified=False, findings=["lost"]))
    (row,) = light_rows(a_run(tmp_path / "r", [], probes))
    assert (row.mib_per_s, row.cpu_us_per_mib, row.rounds) == (400.0, 40.0, 7)


def test_a_link_is_held_against_the_bare_loop_of_its_size_and_tags_against_the_link(tmp_path):
    found = section(a_run(tmp_path / "r", [], PROBES))
    assert found is not None
    assert found.sentences == [
        "In datagrams of 1,400 bytes a reliable link brings 30 % of what a bare loop brings, for 2.5 times its CPU a "
        "MiB, by round (n = 1, no interval).",
        "In datagrams of 60,000 bytes a reliable link brings 50 % of what a bare loop brings, for 2 times its CPU a "
        "MiB, by round (n = 1, no interval).",
        "In datagrams of 1,400 bytes the same with tags brings 50 % of what one without brings, for 2 times its CPU a "
        "MiB, by round (n = 1, no interval).",
    ]
    assert found.tables[0].rows[0] == [
        "shared-memory ring",
        "–",
        "1.5 k (1.35 k–1.65 k)",
        "700",
        "6 µs",
        "48 µs",
        "1",
    ]


def test_what_a_link_brings_is_the_median_of_the_ratios_of_the_same_rounds(tmp_path):
    """Not the ratio of medians: the machine was slow when the link was measured alone, in a round of no pair."""
    pairs = [(0, 100.0, 50.0), (1, 10.0, 6.0), (2, 1000.0, 550.0)]
    probes = [each for round_, bare, window in pairs for each in (
        poured("bare/1400", bare, 1_000, round_=round_, size=1400),
        poured("window/1400", window, 2_000, round_=round_, size=1400),
    )]  # fmt: skip
    probes.append(poured("window/1400", 1.0, 9_000, round_=3, size=1400))
    (effect,) = light_effects(a_run(tmp_path / "r", [], probes))
    assert (effect.throughput.value, effect.throughput.n) == (pytest.approx(0.55), 3)
    assert effect.throughput.low < 0.55 < effect.throughput.high
    found = section(a_run(tmp_path / "s", [], probes))
    assert found is not None
    assert found.sentences[0].startswith("In datagrams of 1,400 bytes a reliable link brings 55 % (")
    assert found.sentences[0].endswith("for 2 times (2 to 2) its CPU a MiB, by round (n = 3).")


def test_a_run_without_such_probes_has_no_such_section(tmp_path):
    assert section(a_run(tmp_path / "r", [], [probe("floor/hop/same-core", 0, 3.0)])) is None


def test_the_table_is_on_the_page_and_printed(tmp_path):
    run = a_run(tmp_path / "r", [], PROBES)
    report = build_report(run.path, tmp_path / "reports")
    html, markdown = (path.read_text() for path in report.paths[:2])
    assert "Speed of light" in html
    assert "UDP, bare sendto and recvfrom" in markdown
    assert any(line.startswith("reliable link over UDP, with tags") for line in report.printed)


def test_what_strangers_cost_is_said_in_words(tmp_path):
    facts = {"datagrams": 1e6, "sent_per_s": 60_000.0, "read": 700.0, "writes_per_s_under": 31_000.0,
             "writes_per_s_beside": 28_000.0}  # fmt: skip
    flood = probe("flood/leader", 0, 1.1, "x beside", facts=facts)
    found = section(a_run(tmp_path / "r", [], [probe("light/foreign", 0, 2.4), probe("light/forged", 0, 5.1), flood]))
    assert found is not None
    assert found.tables == []
    assert found.sentences == [
        "A datagram of strangers costs a port 2.4 µs of CPU if it is for none of its links, and 5.1 µs if its tag is "
        "forged (1,400 bytes, read one by one).",
        "Of a flood of 1,000,000 datagrams at the leader's port (60 k/s) the leader read 700, the kernel dropped the "
        "rest for it; 31 k writes/s went on, 28 k/s while as many went to a port that nobody reads. Nobody was "
        "elected, no session ended, every write was verified (n = 1). These were datagrams of strangers who know "
        "nothing; who hears the network can begin theirs as a link's own do. No filter drops those, and each costs "
        "what one with a forged tag does; a flood of them was not measured.",
    ]
