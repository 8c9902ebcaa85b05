"""Which networks may be asked for, and what they lend to the settings."""

from pathlib import Path

import pytest

from lab.bench.limits import SettingsError, check_settings
from lab.bench.networks import (
    network_of_settings,
    network_settings,
    sites_of,
    slowest_write_ms,
    with_patience_ms,
)
from lab.bench.record import Settings
from lab.networks import load_network, uniform


def test_without_options_there_is_no_network() -> None:
    assert network_of_settings(Settings()) is None
    assert network_settings(None) == network_settings("none") == {}


def test_a_network_lends_its_tick_and_is_known_by_its_content() -> None:
    assert network_settings("lan") == {"network": "lan", "network_digest": load_network("lan").digest}
    assert network_settings("oceans")["tick_ms"] == 300


def test_settings_say_what_links_do_and_who_stands_where() -> None:
    assert network_of_settings(Settings(loss=0.01, delay_ms=2.0)) == uniform(0.01, 2.0)
    network = network_of_settings(Settings(network="zones", client_sites="zone-1", voter_sites="zone-2,zone-3"))
    assert network is not None
    assert (network.voters, network.clients) == (("zone-2", "zone-3"), ("zone-1",))


def test_a_record_says_who_stood_where() -> None:
    assert sites_of(Settings(loss=0.0)) == {}
    assert sites_of(Settings(network="outpost", voters=4, observers=1, clients=2)) == {
        "server 1": "dallas-1", "server 2": "dallas-2", "server 3": "dallas-3", "server 4": "dallas-1",
        "server 5": "sydney", "client 0": "sydney", "client 1": "sydney",
    }  # fmt: skip


def test_clients_wait_for_what_the_network_makes_them_wait() -> None:
    near, far = Settings(network="lan"), Settings(network="oceans", voters=5)
    assert slowest_write_ms(Settings()) == 0.0
    assert with_patience_ms(Settings(), 250.0) == with_patience_ms(near, 250.0) == 250.0
    # washington asks sydney, it sao-paulo, which leads: its quorum is washington and frankfurt
    assert slowest_write_ms(far) == pytest.approx(214 + 328 + 196)
    assert with_patience_ms(far, 1000.0) == pytest.approx(4 * (214 + 328 + 196))


@pytest.mark.parametrize("changes", [
    {"network": "oceans", **network_settings("oceans")},
    {"network": "oceans", "voter_sites": "frankfurt,washington"},  # with the usual tick: they are near enough
    {"delay_ms": 249.0},
    {"network": "regions", "target": "own"},
    {"network": "regions", "attach": "nearest"},
])  # fmt: skip
def test_networks_that_may_be(changes: dict[str, object]) -> None:
    check_settings(Settings(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("changes", "line"), [
    ({"loss": 0.95}, "--loss: 0.95, allowed: 0 to 0.9"),
    ({"delay_ms": -1.0}, "--delay-ms: -1.0, allowed: 0 to 60,000"),
    ({"network": "moon"}, "--network: found 'moon', allowed: none, lan, "),
    ({"network": "lan", "loss": 0.1}, "--network lan: it has its own, allowed without --loss and --delay-ms only"),
    ({"client_sites": "hall"}, "--client-sites: there are no sites, allowed with --network PRESET|FILE.toml"),
    ({"network": "oceans", "tick_ms": 40},
     "--tick-ms 40: a leader waits 200 ms for an answer, and a round trip between tokyo and frankfurt takes 233 ms, "
     "allowed: at least 47"),
    ({"delay_ms": 250.0}, "a round trip between everywhere and everywhere takes 500 ms, allowed: at least 101"),
    ({"network": "lan", "target": "zookeeper", "transport": "tcp"},
     "--network: 'lan', and the target zookeeper has no such thing, allowed: leave it out"),
    ({"attach": "nearest"},
     "--attach nearest: there is no network, allowed: leader, followers, observers or all (or --network zones)"),
    ({"network": "lan", "network_digest": "0badcafe"}, "--network lan: not what it was when this was asked for"),
])  # fmt: skip
def test_networks_that_may_not_be(changes: dict[str, object], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        check_settings(Settings(**changes))  # type: ignore[arg-type]
    assert line in str(raised.value)


def test_a_file_that_changed_is_not_the_network_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('sites = ["a"]\nwithin = { rtt_ms = 1 }\n')
    settings = Settings(**network_settings(str(path)))
    check_settings(settings)
    path.write_text('sites = ["a"]\nwithin = { rtt_ms = 2 }\n')
    with pytest.raises(SettingsError, match="not what it was when this was asked for"):
        check_settings(settings)
