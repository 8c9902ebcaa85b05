"""What a store answers to ReadLog (zab.md 4.3, R4)."""

import pytest

from lab.storage import reading
from lab.storage.reading import answer_read
from lab.zab.batches import make_batch
from lab.zab.messages import TxnBatch


def batches(*firsts: int) -> list[TxnBatch]:
    return [make_batch(first, 1, b"\x91\x01") for first in firsts]


def test_what_follows_is_answered_whole() -> None:
    assert answer_read(2, 5, 3, batches(4, 5, 6)).batches == tuple(batches(4, 5, 6))


def test_a_hole_is_answered_not_possible() -> None:
    assert answer_read(2, 5, 3, batches(4, 6)).batches is None


def test_more_than_a_link_takes_is_answered_not_possible_and_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READ_BYTES_MAX", 5)
    lazily = iter(batches(4, 5, 6, 7, 8))
    assert answer_read(2, 5, 3, lazily).batches is None
    assert [batch.first for batch in lazily] == [7, 8]
