"""What an ensemble is to be is checked before anything is started."""

from typing import Any

import pytest

from lab.cluster.spec import spec_of
from lab.networks import load_network, uniform
from lab.node.config import ConfigError


@pytest.mark.parametrize(
    ("limits", "settings", "says"),
    [
        ({}, {"snap_retain_count": 2}, "`int` >= 3 - at `\\$.snap_retain_count`"),
        ({"snap_count": -1}, {}, "snap_count=-1: must be at least 0"),
        ({"snap_count": "many"}, {}, r"at `\$.zab.snap_count`"),
    ],
)
def test_settings_of_snapshots_are_checked_by_name(limits: dict[str, Any], settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        spec_of(voters=3, observers=0, limits=limits, **settings)


def test_settings_of_snapshots_reach_every_server() -> None:
    spec = spec_of(voters=3, observers=0, limits={"snap_count": 7}, snap_retain_count=5)
    config = spec.node_config(2, 99, "/nowhere", initialize=False)
    assert (config.zab.snap_count, config.snap_retain_count) == (7, 5)


def test_without_a_network_links_are_left_alone() -> None:
    spec = spec_of(voters=3, observers=0, limits={})
    assert spec.shape(("server", 1), ("client", 0)) is None
    assert spec.site_of(("server", 1)) == ""


def test_servers_and_clients_stand_where_the_network_says() -> None:
    network = load_network("zones").placed({"observer": "zone-2,zone-1", "client": "zone-3"})
    spec = spec_of(voters=4, observers=2, limits={}, network=network)
    places = {number: spec.site_of(("server", number)) for number in spec.zab.members}
    assert places == {1: "zone-1", 2: "zone-2", 3: "zone-3", 4: "zone-1", 5: "zone-2", 6: "zone-1"}
    assert spec.site_of(("client", 5)) == "zone-3"
    assert spec.shape(("server", 1), ("server", 2)) == network.shape("zone-1", "zone-2")
    assert spec.shape(("server", 5), ("client", 1)) == network.shape("zone-2", "zone-3")
    assert spec.shape(("server", 1), ("server", 4)) == network.shape("zone-1", "zone-1")


def test_a_link_that_does_nothing_has_no_shape() -> None:
    spec = spec_of(voters=3, observers=0, limits={}, network=uniform(0.0, 0.0))
    assert spec.shape(("server", 1), ("server", 2)) is None
