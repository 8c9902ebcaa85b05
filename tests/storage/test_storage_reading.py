"""What a store reads of its log for a learner (zab.md 4.3, R4; Z-18)."""

from lab.storage.reading import read_slice
from lab.zab.batches import make_batch
from lab.zab.messages import TxnBatch


def batches(*firsts: int) -> list[TxnBatch]:
    return [make_batch(first, 1, b"\x91\x01") for first in firsts]


def test_what_follows_is_read_whole_if_it_is_little() -> None:
    assert read_slice(3, batches(4, 5, 6), 100) == tuple(batches(4, 5, 6))


def test_a_hole_is_answered_not_possible() -> None:
    assert read_slice(3, batches(4, 6), 100) is None


def test_a_slice_ends_with_the_batch_that_fills_it_and_nothing_behind_is_read() -> None:
    lazily = iter(batches(4, 5, 6, 7, 8))
    assert read_slice(3, lazily, 3) == tuple(batches(4, 5))
    assert [batch.first for batch in lazily] == [6, 7, 8]


def test_a_slice_holds_one_batch_at_least() -> None:
    assert read_slice(3, batches(4, 5), 1) == tuple(batches(4))
