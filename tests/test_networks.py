"""Networks: what the presets say, what a file of one's own may say, and what is said of a mistake in it."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from lab.faults import SAMPLES_MAX, Constant, Empirical, LogNormal, Normal, Shape
from lab.networks import Network, NetworkError, load_network, network_of, presets, uniform

PRESETS = {network.name: network for network in presets()}


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_presets_come_with_the_lab_near_ones_first() -> None:
    assert list(PRESETS) == ["lan", "zones", "regions", "outpost", "oceans"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_where_its_figures_are_from(name: str) -> None:
    network = PRESETS[name]
    assert network.about
    assert any("https://" in source for source in network.sources)
    for what in ("round trips", "loss", "bandwidth", "jitter", "queue"):
        assert any(what in source for source in network.sources), what


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_round_trips_of_its_file(name: str) -> None:
    network = PRESETS[name]
    fields = tomllib.loads(files("lab.networks").joinpath(f"{name}.toml").read_text())
    for link in fields.get("links", ()):
        assert network.rtt_ms(*link["between"]) == pytest.approx(link["rtt_ms"])
    for site in network.sites:
        assert network.rtt_ms(site, site) == pytest.approx(fields["within"]["rtt_ms"])


@pytest.mark.parametrize("name", PRESETS)
def test_an_unanswered_ping_and_another_one_fit_into_the_heartbeat_of_a_preset(name: str) -> None:
    network = PRESETS[name]
    longest = max(network.rtt_ms(one, other) for one in network.sites for other in network.sites)
    assert 2 * longest < 5 * (network.tick_ms or 100)


@pytest.mark.parametrize(("name", "sites"), [("lan", 1), ("zones", 3), ("regions", 3), ("oceans", 5)])
def test_sites_of_the_presets(name: str, sites: int) -> None:
    network = PRESETS[name]
    assert len(network.sites) == sites
    assert {network.site_of("voter", index) for index in range(sites)} == set(network.sites)
    assert not any(network.shape(one, other).does_nothing for one in network.sites for other in network.sites)


def test_clients_of_the_outpost_and_its_observer_are_far_from_all_voters() -> None:
    network = PRESETS["outpost"]
    assert network.clients == network.observers == ("sydney",)
    assert len(set(network.voters)) == 3
    assert all(network.rtt_ms(voter, "sydney") == 185 for voter in network.voters)


def test_roles_take_their_sites_round_robin() -> None:
    network = PRESETS["zones"].placed({"voter": "zone-2,zone-1", "client": ""})
    assert [network.site_of("voter", index) for index in range(3)] == ["zone-2", "zone-1", "zone-2"]
    assert network.clients == PRESETS["zones"].clients


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "pings.txt").write_text("1.5\n\n2.5\n")
    network = load_network(written(tmp_path, """
        about = "mine"
        sites = ["a", "b", "c"]
        observers = ["c"]
        links = [
            { between = ["a", "b"], rtt_ms = 10, jitter = { median_ms = 1, sigma = 0.5 }, loss = 0 },
            { from = "b", to = "a", delay = { kind = "normal", mean_ms = 7, sd_ms = 1 } },
            { between = ["b", "c"], delay = { kind = "empirical", file = "pings.txt" }, reorder = 0.2 },
        ]
        [every]
        rtt_ms = 100
        loss = 0.02
        [within]
        delay = { kind = "constant", ms = 0.1 }
    """))  # fmt: skip
    assert network.shape("a", "b") == Shape(delay=LogNormal(1, 0.5, base_ms=4))
    assert network.shape("b", "a") == Shape(delay=Normal(7, 1), loss=0.02)
    assert network.shape("b", "c") == Shape(delay=Empirical((1.5, 2.5)), reorder=0.2, loss=0.02)
    assert network.shape("c", "a") == Shape(delay=Constant(50), loss=0.02)
    assert network.shape("c", "c") == Shape(delay=Constant(0.1), loss=0.02)
    assert (network.voters, network.observers, network.clients) == (("a", "b", "c"), ("c",), ("a", "b", "c"))


TWO = 'sites = ["a", "b"]\n'
JOINED = TWO + 'links = [{ between = ["a", "b"], %s }]'


@pytest.mark.parametrize(("text", "line"), [
    ("sites = [", "not TOML: "),
    ("", "sites: 0 of them, allowed: 1 to 64, each once"),
    ('sites = ["a", "a"]', "sites: 2 of them, allowed: 1 to 64, each once"),
    ('sites = ["a,b"]', "sites: found 'a,b', allowed: letters, digits, - and _"),
    ("sites = 3", "sites: found 3, allowed: a list of texts"),
    (TWO, "links: none from a to b, allowed: all of them, or a delay or rtt_ms in `every`"),
    (TWO + "every = { loss = 0.1 }", "links: none from a to b, allowed: all of them, or a delay or rtt_ms in `every`"),
    (TWO + 'voters = ["z"]', "voters: found 'z', allowed: a, b"),
    (TWO + "clients = []", "clients: none, allowed: one or more of a, b"),
    (TWO + "tick_ms = 0", "tick_ms: found 0, allowed: 1 to 60,000"),
    (TWO + "speed = 1", "speed: unknown field, allowed: about, sources, sites, voters, observers, clients, tick_ms, "),
    (TWO + "every = 1", "every: found 1, allowed: a table"),
    (TWO + 'links = [{ between = ["a", "z"] }]', "link 1: between: found ['a', 'z'], allowed: two of a, b"),
    (TWO + 'links = [{ from = "a" }]', "link 1: from, to: found ['a', None], allowed: two of a, b"),
    (TWO + 'links = [{ between = ["a", "b"] }, { between = ["b", "a"] }]',
     "link 2: b to a is there already, allowed: each link once"),
    (JOINED % "loss = 2", "link 1: loss: 2.0, allowed: 0 to 1"),
    (JOINED % "lost = 0.1", "link 1: lost: unknown field, allowed: delay, rtt_ms, jitter, hold_ms, loss, "),
    (JOINED % 'loss = "x"', "link 1: loss: expected float, got str"),
    (JOINED % "rtt_ms = -1", "link 1: rtt_ms: -1.0, allowed: 0 to 60,000"),
    (JOINED % "rtt_ms = 1, jitter = { median_ms = 3, sigma = 1 }",
     "link 1: jitter: median_ms: 3, allowed: 0 to 0.5, half of rtt_ms"),
    (JOINED % 'delay = { kind = "gauss" }',
     "link 1: delay: kind: found 'gauss', allowed: constant, uniform, normal, lognormal, empirical"),
    (JOINED % 'delay = { kind = "constant", ms = -1 }', "link 1: delay: ms: -1.0, allowed: 0 to 60,000"),
    (JOINED % 'delay = { kind = "uniform", low_ms = 1 }', "link 1: delay: object missing required field high_ms"),
    (JOINED % 'delay = { kind = "empirical", file = "none.txt" }',
     "none.txt: cannot be read: No such file or directory"),
])  # fmt: skip
def test_mistakes_are_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(NetworkError) as raised:
        load_network(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("content", "line"), [
    ("", "no lines, allowed: milliseconds, one a line"),
    ("1\nfast\n", "line 2: found 'fast', allowed: milliseconds"),
    ("1\nnan\n", "samples_ms: nan, allowed: 0 to 60,000"),
    ("1" * (1 << 20) + "1", "more than 1,048,576 bytes, allowed: fewer"),
])  # fmt: skip
def test_mistakes_in_a_file_of_delays(tmp_path: Path, content: str, line: str) -> None:
    (tmp_path / "pings.txt").write_text(content)
    path = written(tmp_path, JOINED % 'delay = { kind = "empirical", file = "pings.txt" }')
    with pytest.raises(NetworkError, match=line):
        load_network(path)


def test_of_many_samples_those_are_kept_that_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "pings.txt").write_text("".join(f"{value / 100}\n" for value in reversed(range(5_001))))
    network = load_network(written(tmp_path, JOINED % 'delay = { kind = "empirical", file = "pings.txt" }'))
    delay = network.shape("a", "b").delay
    assert isinstance(delay, Empirical)
    assert len(delay.samples_ms) == SAMPLES_MAX
    assert (min(delay.samples_ms), delay.typical_ms, max(delay.samples_ms)) == (0.0, pytest.approx(25, rel=0.01), 50.0)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(NetworkError) as raised:
        load_network("moon")
    assert str(raised.value) == (
        "--network: found 'moon', allowed: none, lan, oceans, outpost, regions, zones, or the path of a .toml file"
    )


def test_options_make_a_network() -> None:
    assert network_of() is None
    assert network_of(loss=0.1, delay_ms=2) == uniform(0.1, 2)
    assert uniform(0.1, 2).shape("everywhere", "everywhere") == Shape(delay=Constant(2), loss=0.1)
    assert network_of("regions", sites={"client": "dallas"}) == PRESETS["regions"].placed({"client": "dallas"})


@pytest.mark.parametrize(("options", "line"), [
    ({"loss": 1.5}, "--loss: 1.5, allowed: 0 to 1"),
    ({"delay_ms": -2.0}, "--delay-ms: -2.0, allowed: 0 to 60,000"),
    ({"name_or_path": "lan", "loss": 0.1}, "--network lan: it has its own, allowed without --loss and --delay-ms only"),
    ({"sites": {"voter": "a"}}, "--voter-sites: there are no sites, allowed with --network PRESET|FILE.toml"),
    ({"name_or_path": "zones", "sites": {"client": "moon"}},
     "--client-sites: found 'moon', allowed in network zones: zone-1, zone-2, zone-3"),
])  # fmt: skip
def test_options_that_make_none(options: dict[str, object], line: str) -> None:
    with pytest.raises(NetworkError) as raised:
        network_of(**options)  # type: ignore[arg-type]
    assert str(raised.value) == line


def test_a_digest_is_of_what_has_an_influence() -> None:
    zones = PRESETS["zones"]
    assert zones.digest == load_network("zones").digest
    others: list[Network] = [PRESETS["lan"], zones.placed({"client": "zone-1"}), uniform(0.1, 2), uniform(0.1, 3)]
    assert len({zones.digest, *(other.digest for other in others)}) == 5
