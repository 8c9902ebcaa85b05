"""Zxids, the commit log, and recovery."""

import random
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zab_parties import THREE, batch, batches, z

from lab.zab import commit_log
from lab.zab.commit_log import CommitLog
from lab.zab.config import ZabConfig
from lab.zab.effects import Restore
from lab.zab.events import History, Recovered, Start
from lab.zab.messages import TxnBatch
from lab.zab.peer import Peer
from lab.zab.zxid import counter_of, epoch_of, follows, make_zxid, show


def zxids(*parts: TxnBatch) -> list[int]:
    return [zxid for part in parts for zxid in msgspec.msgpack.decode(part.body)]


# -- zxids


@pytest.mark.covers("S21", "S22", "S27")
def test_zxid_is_epoch_and_counter():
    assert make_zxid(1, 7) == 0x100000007
    assert (epoch_of(0x100000007), counter_of(0x100000007)) == (1, 7)
    assert (show(0x100000007), show(-1)) == ("1.7", "none")


@pytest.mark.parametrize(
    ("zxid", "previous", "may"),
    [
        ("1.2", "1.1", True),
        ("1.3", "1.1", False),  # a hole
        ("1.1", "1.1", False),
        ("1.1", "1.2", False),
        ("2.1", "1.7", True),
        ("4.1", "1.7", True),  # epochs may be skipped
        ("2.2", "1.7", False),  # an epoch starts with 1
        ("1.1", "0.0", True),
        ("2.0", "1.7", False),  # NEWLEADER is no transaction
    ],
)
@pytest.mark.covers("S20", "INV-7")
def test_what_may_follow_in_a_history(zxid: str, previous: str, may: bool):
    assert follows(z(zxid), z(previous)) is may


# -- the commit log


@pytest.mark.covers("X-21", "INV-7")
def test_commit_log_refuses_a_hole():
    log = CommitLog(z("1.3"), 100)
    log.append(batch("1.4", 2))
    with pytest.raises(AssertionError, match="a hole in the history"):
        log.append(batch("1.7"))


def test_commit_log_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commit_log, "BYTES_MAX", 3 * len(batch("1.1", 4).body))
    log = CommitLog(0, 1_000)
    for counter in range(1, 41, 4):
        log.append(batch(make_zxid(1, counter), 4))
    assert log.base == z("1.28")
    assert [held.first for held in log.after(log.base)] == [z("1.29"), z("1.33"), z("1.37")]


@pytest.mark.covers("S32")
def test_commit_log_keeps_at_least_what_it_should_and_moves_its_base():
    log = CommitLog(0, 5)
    for first, count in (("1.1", 3), ("1.4", 2), ("2.1", 3)):
        log.append(batch(first, count))
    assert (log.base, log.last) == (z("1.3"), z("2.3"))  # 5 kept, in whole batches
    assert zxids(*log.after(log.base)) == [z("1.4"), z("1.5"), z("2.1"), z("2.2"), z("2.3")]


@pytest.mark.parametrize(
    ("zxid", "floor"),
    [
        ("1.2", None),  # below the base
        ("1.3", "1.3"),
        ("1.4", "1.4"),
        ("1.9", "1.5"),  # between the epochs
        ("2.2", "2.2"),
        ("9.9", "2.3"),
    ],
)
def test_floor_is_the_greatest_zxid_held(zxid: str, floor: str | None):
    log = CommitLog(z("1.3"), 100)
    for part in batches(("1.4", 2), ("2.1", 3)):
        log.append(part)
    assert log.floor(z(zxid)) == (z(floor) if floor else None)


@given(st.integers(0, 7))
def test_what_follows_a_zxid(cut: int):
    held = [z("1.4"), z("1.5"), z("2.1"), z("2.2"), z("2.3")]
    log = CommitLog(z("1.3"), 100)
    for part in batches(("1.4", 2), ("2.1", 3)):
        log.append(part)
    after = ([z("1.3"), *held])[min(cut, 5)]
    assert zxids(*log.after(after)) == [zxid for zxid in held if zxid > after]


# -- recovery


@pytest.mark.covers("S33", "S47")
def test_recovery_walks_a_log_as_the_tree_is_rebuilt_and_keeps_only_its_end():
    """S33: a log longer than memory; the commit log learns of each batch from the service's walk over it."""
    walked: list[int] = []

    def batches_of_a_long_log() -> Iterator[TxnBatch]:
        for counter in range(1, 1001):
            walked.append(counter)
            yield batch(make_zxid(1, counter))

    config = ZabConfig(voters=(1, 2, 3), commit_log_count=10)
    held = History(0, (), batches_of_a_long_log(), z("1.1000"))
    peer = Peer(1, config, Recovered(1, 1, held, may_vote=True), random.Random(0))
    restore = peer.step(Start())[0]
    assert isinstance(restore, Restore)
    assert (walked, peer.last_zxid) == ([], z("1.1000"))
    walk = iter(restore.history.batches)
    for counter in range(1, 1001):
        assert next(walk).last == peer.state_of_zab.applied.last == z(f"1.{counter}")
        assert len(walked) == counter
    assert next(walk, None) is None
    assert [held.first for held in peer.state_of_zab.applied.after(z("1.990"))] == [
        z(f"1.{counter}") for counter in range(991, 1001)
    ]
    assert peer.state_of_zab.applied.base == z("1.990")


@pytest.mark.parametrize("last", ["1.2", "1.4", "2.1"])
def test_a_log_that_does_not_end_where_it_was_said_to_is_our_bug(last: str):
    held = History(0, (), batches(("1.1", 3)), z(last))
    peer = Peer(1, THREE, Recovered(2, 1, held, may_vote=True), random.Random(0))
    restore = peer.step(Start())[0]
    assert isinstance(restore, Restore)
    with pytest.raises(AssertionError, match="the log ends at"):
        list(restore.history.batches)
