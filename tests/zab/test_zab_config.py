"""What a user may turn: bounds, and messages that name the field."""

import msgspec
import pytest

from lab.zab.config import ZabConfig
from lab.zab.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"voters": ()}, "voters=0: an ensemble needs at least 1"),
        ({"voters": tuple(range(1, 15))}, "14 servers: an ensemble has 1 to 13"),
        ({"voters": (1, 2), "observers": (2,)}, "a server id stands twice"),
        ({"voters": (1, 255)}, "ids are 1 to 254"),
        ({"voters": (0, 1)}, "ids are 1 to 254"),
        ({"sync_limit_ticks": 1}, "sync_limit_ticks=1: must be at least 2"),
        ({"init_limit_ticks": 5}, "init_limit_ticks=5 must exceed sync_limit_ticks=5"),
        ({"sync_grace_ticks": -1}, "sync_grace_ticks=-1"),
        ({"sync_grace_ticks": 20}, "init_limit_ticks=20 must exceed sync_grace_ticks=20"),
        ({"finalize_wait_ms": -1}, "finalize_wait_ms=-1"),
        ({"notify_interval_ms": 0}, "notify_interval_ms=0"),
        ({"notify_interval_ms_max": 100}, "notify_interval_ms_max=100 is below notify_interval_ms=200"),
        ({"proposal_timeout_ms": -1}, "proposal_timeout_ms=-1"),
        ({"max_outstanding": -1}, "max_outstanding=-1"),
        ({"batch_txns_max": 0}, "batch_txns_max=0"),
        ({"commit_log_count": 0}, "commit_log_count=0"),
        (
            {"voters": (1,), "leader_serves": False},
            "leader_serves=false: with 1 voter and no observer nobody would serve",
        ),
        ({"sync_mode": "majority"}, "sync_mode=majority: there are leader, quorum"),
        ({"weights": (1, 1)}, r"weights=\(1, 1\): one for each of the 3 voters"),
        ({"weights": (1, 1, -1)}, r"weights=\(1, 1, -1\): none may be below 0"),
        ({"weights": (0, 0, 0)}, r"weights=\(0, 0, 0\): .* one has to be above"),
        ({"groups": ((1, 2), (2, 3))}, "each voter of .* stands in exactly one group"),
        ({"groups": ((1,), (2,))}, "each voter of .* stands in exactly one group"),
        ({"groups": ((1, 2), (3, 4))}, "each voter of .* stands in exactly one group"),
    ],
)
def test_bad_setting_is_named(settings: dict[str, object], part: str):
    with pytest.raises(ConfigError, match=part):
        ZabConfig(**{"voters": (1, 2, 3)} | settings)  # type: ignore[arg-type]


def test_unknown_field_is_refused():
    with pytest.raises(msgspec.ValidationError, match="sink_limit_ticks"):
        msgspec.convert({"voters": [1], "sink_limit_ticks": 3}, ZabConfig)


def test_members_are_voters_and_observers():
    assert ZabConfig(voters=(3, 1), observers=(2,)).members == (1, 2, 3)
