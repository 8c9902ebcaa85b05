"""What a user may turn: bounds, and messages that name the field."""

import msgspec
import pytest

from lab.zab.config import ZabConfig
from lab.zab.errors import ConfigError
from lab.zab.quorum import is_quorum


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
        ({"finalize_wait_ms": -1}, "finalize_wait_ms=-1"),
        ({"notify_interval_ms": 0}, "notify_interval_ms=0"),
        ({"notify_interval_ms_max": 100}, "notify_interval_ms_max=100 is below notify_interval_ms=200"),
        ({"max_outstanding": -1}, "max_outstanding=-1"),
        ({"batch_txns_max": 0}, "batch_txns_max=0"),
        ({"commit_log_count": 0}, "commit_log_count=0"),
    ],
)
def test_bad_setting_is_named(settings: dict[str, object], part: str):
    with pytest.raises(ConfigError, match=part):
        ZabConfig(**{"voters": (1, 2, 3)} | settings)  # type: ignore[arg-type]


def test_unknown_field_is_refused():
    with pytest.raises(msgspec.ValidationError, match="sink_limit_ticks"):
        msgspec.convert({"voters": [1], "sink_limit_ticks": 3}, ZabConfig)


@pytest.mark.parametrize(("voters", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (9, 5)])
def test_quorum_of(voters: int, quorum: int):
    smallest = next(n for n in range(voters + 1) if is_quorum(range(n), range(voters)))
    assert smallest == quorum


def test_members_are_voters_and_observers():
    assert ZabConfig(voters=(3, 1), observers=(2,)).members == (1, 2, 3)
