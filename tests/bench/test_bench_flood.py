"""A flood at the leader's port: a real ensemble goes on under a small one, and what would be wrong is a finding."""

import msgspec
import pytest

from lab.bench import flood
from lab.bench.limits import SettingsError
from lab.bench.probe import Where
from lab.targets.target import Usage


@pytest.mark.process
def test_an_ensemble_goes_on_under_a_flood(tmp_path, monkeypatch):
    monkeypatch.setattr(flood, "CALM_S", 0.3)
    (probe,) = flood.measure(Where(round=0, data_dir=tmp_path), ["20000"])
    assert probe.findings == []
    assert probe.name == "flood/leader"
    assert probe.facts["datagrams"] == 20_000
    assert 0 < probe.facts["read"] <= 20_000
    assert probe.facts["sessions_ended"] == 0
    assert min(probe.facts[f"writes_per_s_{name}"] for name in ("calm", "beside", "under")) > 0


@pytest.mark.parametrize("arguments", [["0"], ["-5"], ["many"], ["1", "2"]])
def test_a_number_of_datagrams_that_is_none_is_one_line(arguments):
    with pytest.raises(SettingsError, match="allowed: a number of datagrams"):
        list(flood.measure(Where(round=0, data_dir=None), arguments))


def usage(**network: int) -> Usage:
    return Usage(server=1, cpu_s=0.0, bytes_sent=0, rss_mb=0.0, at_ns=0, network=network)


STILL = flood.Stretch(0, 10**9, usage(), usage(), 0)


@pytest.mark.parametrize(
    ("under", "finding"),
    [
        (STILL, "the leader has read nothing of the flood"),
        (msgspec.structs.replace(STILL, after=usage(foreign=5, sessions=2)), "2 sessions of the leader's links ended"),
        (msgspec.structs.replace(STILL, after=usage(foreign=5)), "no write was acknowledged in one of the stretches"),
    ],
)
def test_what_breaks_under_a_flood_is_a_finding(under: flood.Stretch, finding: str):
    probe = flood._probe(STILL, STILL, under, [], [])
    assert any(found.startswith(finding) for found in probe.findings)


def test_an_ensemble_that_has_changed_is_a_finding():
    class Target:
        def marks(self) -> list[object]:
            return []

        def pids(self) -> dict[int, int]:
            return {1: 100}

    assert list(flood._what_broke(({1: 100}, {1: "leader"}), ({1: 100}, {1: "leader"}), Target())) == []
    (finding,) = flood._what_broke(({1: 100}, {1: "leader"}), ({1: 101}, {1: "leader"}), Target())
    assert "101" in finding
