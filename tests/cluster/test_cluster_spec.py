"""What an ensemble is to be is checked before anything is started."""

from typing import Any

import pytest

from lab.cluster.spec import spec_of
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
